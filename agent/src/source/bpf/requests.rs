//! HTTP requests that processes serve: the request programs, their counts, and which processes they watch.
//!
//! In: the object of the request programs, offsets of this kernel, and the processes that no group counts. Out: readings. Booking
//! them to accounts is left to `process`. Dropping [`Requests`] removes everything from the kernel.

use std::collections::HashMap;
use std::os::fd::AsFd;

use agent_common::{
    Identity, REQUEST_KILLS, REQUEST_OUTSIDERS, RequestLayout, RequestSums, RequestTotals,
};
use aya::maps::{HashMap as KernelHash, MapData, PerCpuArray};
use aya::{Btf, Ebpf, EbpfLoader};

use super::abandoned::Abandoned;
use super::call_hooks::CallHooks;
use super::load::{self, BpfError, Layouts, take};
use super::map_usage::MapUsage;
use super::program::KernelProgram;
use super::recursion_misses;
use super::sums_map::SumsMap;
use super::wire::{Wire, identity, process};
use crate::host::{boottime_ns, monotonic_ns};
use crate::process::{AccountId, ProcessId, RequestReading, ServedReading};
use crate::source::MapStatistics;

/// The object file of the request programs, made by the build script; empty if it could not be built.
#[cfg(has_ebpf)]
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/headcount-requests"));
#[cfg(not(has_ebpf))]
static OBJECT: &[u8] = &[];

/// The programs that are attached first.
const EVENTS: [KernelProgram; 3] = [
    KernelProgram::RequestExit,
    KernelProgram::RequestExec,
    KernelProgram::RequestState,
];

/// A request is seen only if its response will be.
const CALLS: CallHooks = CallHooks {
    tracepoints: &[KernelProgram::Responses, KernelProgram::Requests],
    functions: &[
        KernelProgram::Responses4,
        KernelProgram::Responses6,
        KernelProgram::ResponsesUnix,
        KernelProgram::Requests4,
        KernelProgram::Requests6,
        KernelProgram::RequestsUnix,
    ],
};

/// The warning that requests are not counted.
pub(super) fn without(why: &str) -> String {
    let loss = KernelProgram::Requests.loss().unwrap_or_default();
    format!("http: {why}; {loss}")
}

/// The running request programs and their maps.
pub(super) struct Requests {
    ebpf: Ebpf,
    /// The programs of [`CALLS`] that are attached.
    calls: &'static [KernelProgram],
    served: SumsMap<Identity, RequestSums>,
    outsiders: KernelHash<MapData, Wire<Identity>, u32>,
    /// The processes in `outsiders`, and the account by which each was decided: an exec removes a process from the map and
    /// changes its account.
    decided: HashMap<ProcessId, AccountId>,
    outsiders_usage: MapUsage,
    totals: PerCpuArray<MapData, Wire<RequestTotals>>,
    /// Processes that their parents have killed; `None` if the agent does not follow Gunicorn.
    killed: Option<SumsMap<Identity, u64>>,
    abandoned: Abandoned,
    /// Whether the programs look for further responses in a send.
    has_walk: bool,
}

impl Requests {
    /// Loads and attaches the programs. `owners`: number of entries of the map of processes. `has_gunicorn`: those for Gunicorn, too.
    ///
    /// # Errors
    /// When this kernel lacks a field, or refuses a map or a program.
    pub(super) fn load(
        owners: u32,
        has_gunicorn: bool,
        layouts: &Layouts,
        btf: &Btf,
    ) -> Result<Self, String> {
        let layout = layouts.requests.map_err(|why| why.to_string())?;
        let load = |layout: RequestLayout| -> Result<Self, String> {
            let loaded = Self::load_in(owners, layouts, layout, btf);
            let mut requests = loaded.map_err(|error| error.to_string())?;
            if has_gunicorn {
                let added = requests.follow_kills(btf);
                added.map_err(|error| error.to_string())?;
            }
            requests.calls = if layout.walks == 0 {
                CALLS.attach(&mut requests.ebpf, btf)?
            } else {
                // Not at functions: the kernels that need those refuse a walk, after seconds.
                let attached = CALLS.attach_tracepoints(&mut requests.ebpf, btf);
                attached.map_err(|error| error.to_string())?
            };
            Ok(requests)
        };
        load(layout).or_else(|why| {
            let requests = load(RequestLayout { walks: 0, ..layout })?;
            log::info!("http: of several responses in one send, the first one counts: {why}");
            Ok(requests)
        })
    }

    /// Attaches the program of signals.
    fn follow_kills(&mut self, btf: &Btf) -> Result<(), BpfError> {
        load::add(&mut self.ebpf, &[KernelProgram::RequestKill], Some(btf))?;
        let map = SumsMap::new(&mut self.ebpf, "KILLED", "http_killed", REQUEST_KILLS)?;
        self.killed = Some(map);
        Ok(())
    }

    /// Attaches the programs of [`EVENTS`].
    fn load_in(
        owners: u32,
        layouts: &Layouts,
        layout: RequestLayout,
        btf: &Btf,
    ) -> Result<Self, BpfError> {
        let mut ebpf = EbpfLoader::new()
            .btf(Some(btf))
            .override_global("LAYOUT", &Wire(layouts.types), true)
            .override_global("REQUEST_LAYOUT", &Wire(layout), true)
            .map_max_entries("REQUESTS", owners)
            .load(OBJECT)?;
        let abandoned = Abandoned::load(&mut ebpf, btf)?;
        load::add(&mut ebpf, &EVENTS, Some(btf))?;
        Ok(Self {
            calls: &[],
            abandoned,
            has_walk: layout.walks != 0,
            killed: None,
            served: SumsMap::new(&mut ebpf, "REQUESTS", "http_owners", owners)?,
            outsiders: take(&mut ebpf, "OUTSIDERS")?,
            decided: HashMap::new(),
            outsiders_usage: MapUsage::new("http_outsiders", REQUEST_OUTSIDERS),
            totals: take(&mut ebpf, "REQUEST_TOTALS")?,
            ebpf,
        })
    }

    /// Whether each of several responses in one send is counted; else only the first one is.
    pub(super) const fn has_walk(&self) -> bool {
        self.has_walk
    }

    /// The counts of all processes since the programs were attached.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub(super) fn read(&mut self) -> Result<RequestReading, BpfError> {
        let now_ns = boottime_ns();
        let mut reading = RequestReading {
            now_ns,
            owners: owners(&mut self.served, monotonic_ns())?,
            ..RequestReading::default()
        };
        let again = || owners(&mut self.served, monotonic_ns());
        self.abandoned.settle(&reading.owners, again)?;
        for cpu in self.totals.get(&0, 0)?.iter() {
            reading.totals = RequestTotals {
                unreadable: reading.totals.unreadable + cpu.0.unreadable,
                owners_full: reading.totals.owners_full + cpu.0.owners_full,
                storage_full: reading.totals.storage_full + cpu.0.storage_full,
                kills_full: reading.totals.kills_full + cpu.0.kills_full,
            };
        }
        for &program in EVENTS.iter().chain(self.calls) {
            let refused = |error| BpfError::Refused(program, error);
            let symbol = program.symbol();
            let loaded = self.ebpf.program(symbol).ok_or(BpfError::Lacking(symbol))?;
            let fd = loaded.fd().map_err(refused)?.as_fd();
            reading.missed_runs +=
                recursion_misses::read(fd).map_err(|error| refused(error.into()))?;
        }
        Ok(reading)
    }

    /// Takes the processes to which their parents have sent ABRT or KILL since the last call.
    ///
    /// # Errors
    /// When the map cannot be read or written.
    pub(super) fn take_killed(&mut self) -> Result<Vec<ProcessId>, BpfError> {
        let Some(killed) = &mut self.killed else {
            return Ok(Vec::new());
        };
        let mut found: Vec<Identity> = Vec::new();
        killed.read(|id, _| found.push(*id))?;
        for id in &found {
            killed.remove(id)?;
        }
        let ids = found.iter().map(|id| ProcessId {
            tgid: id.tgid,
            start_ns: id.start_ns,
        });
        Ok(ids.collect())
    }

    /// Removes the counts of processes that are `gone`, and watches all processes but `outsiders`.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub(super) fn watch(
        &mut self,
        gone: impl IntoIterator<Item = ProcessId>,
        outsiders: impl Iterator<Item = (ProcessId, AccountId)>,
    ) -> Result<(), BpfError> {
        for id in gone {
            self.served.remove(&identity(id))?;
        }
        let wanted: HashMap<_, _> = outsiders.take(REQUEST_OUTSIDERS as usize).collect();
        let outsiders = &mut self.outsiders;
        self.decided.retain(|id, account| {
            let stays = wanted.get(id) == Some(account);
            if !stays {
                // It fails if an exec has removed it.
                let _ = outsiders.remove(&Wire(identity(*id)));
            }
            stays
        });
        for (id, account) in wanted {
            if !self.decided.contains_key(&id) {
                self.outsiders.insert(Wire(identity(id)), 1, 0)?;
                self.decided.insert(id, account);
            }
        }
        self.outsiders_usage.found(self.decided.len() as u64);
        Ok(())
    }

    /// The object with the programs, all attached.
    pub(super) fn programs(&self) -> &Ebpf {
        &self.ebpf
    }

    pub(super) fn usages(&self) -> impl Iterator<Item = MapStatistics> {
        let killed = self.killed.as_ref().map(SumsMap::usage);
        let usages = [self.served.usage(), &self.outsiders_usage];
        usages.into_iter().chain(killed).map(MapUsage::statistics)
    }
}

/// The counts of each process, at this time.
fn owners(
    served: &mut SumsMap<Identity, RequestSums>,
    now_ns: u64,
) -> Result<Vec<ServedReading>, BpfError> {
    let mut owners = Vec::new();
    served.read(|owner, sums| {
        owners.push(ServedReading {
            id: process(*owner),
            counters: sums.counters_at(now_ns),
        });
    })?;
    Ok(owners)
}
