//! The payload of the sockets of processes: the network programs, and one look at all sockets for each pass.
//!
//! ```text
//! look at sockets  iter over the map of them credits what living sockets carried since
//! look at files    iter/task_file            which process holds which socket; only if the programs do not know
//! sums             map of owners, node       --> NetworkReading
//! ```
//!
//! In: the object of the network programs, offsets of this kernel. Out: readings. Booking them to accounts is left to
//! `process`. Dropping [`Network`] removes everything from the kernel.

mod file_pace;
mod udp;

use std::io::{self, Read};
use std::os::fd::AsFd;

use agent_common::{
    NETWORK_OWNERS, NetworkLayout, NetworkOwner, NetworkSums, NetworkTotals, SCOPES, SocketLook,
};
use aya::maps::{Array, MapData, PerCpuArray};
use aya::{Btf, Ebpf, EbpfLoader};
use file_pace::FilePace;
pub(super) use udp::without as without_udp;

use super::iterator::IteratorLink;
use super::load::{self, BpfError, Layouts, take};
use super::network_way::Way;
use super::no_preempt;
use super::program::KernelProgram;
use super::recursion_misses;
use super::sums_map::SumsMap;
use super::support::is_ftrace_off;
use super::wire::Wire;
use crate::host::{boottime_ns, monotonic_ns};
use crate::process::{NetworkReading, OwnerReading, ProcessId};
use crate::source::{MapStatistics, Origin};

/// The warning that sockets are not counted.
pub(super) fn without(why: &str) -> String {
    let loss = KernelProgram::SocketState.loss().unwrap_or_default();
    format!("--collector.network: {why}; {loss}")
}

/// The programs that the kernel does not run where the same one is running.
const TRACING: [KernelProgram; 2] = [KernelProgram::SocketEnd, KernelProgram::SocketState];

/// The programs that report when a socket may have changed hands.
const HANDOVER: [KernelProgram; 3] = [
    KernelProgram::SocketAccept,
    KernelProgram::SocketFork,
    KernelProgram::SocketReceive,
];

/// How often an iterator may stop before its end: the kernel lets other work go on after a million elements.
const STOPS: u32 = 64;

/// The running network programs and their maps.
pub(super) struct Network {
    way: Way,
    ebpf: Ebpf,
    files: IteratorLink,
    sockets: IteratorLink,
    look: Array<MapData, Wire<SocketLook>>,
    owners: SumsMap<NetworkOwner, NetworkSums>,
    totals: PerCpuArray<MapData, Wire<NetworkTotals>>,
    /// Entries of `owners` that were removed, and that had been made at the last reading.
    owners_removed: u64,
    owners_read: u64,
    /// The last look.
    last: SocketLook,
    pace: FilePace,
    /// Whether [`HANDOVER`] is attached.
    sees_handover: bool,
    /// When the last look at files began: sockets that got no storage, and runs that the kernel left out. Each of them may have
    /// left a socket with another owner than it has.
    losses: [u64; 2],
    /// The programs that count UDP; none if it is not counted.
    udp: &'static [KernelProgram],
}

impl Network {
    /// Loads and attaches the programs, and looks at the files of all processes for sockets that are older. `owners`: number of
    /// entries of the map of owners.
    ///
    /// # Errors
    /// When this kernel lacks a field, or refuses a map or a program, for each [`Way`].
    pub(super) fn load(owners: u32, layouts: &Layouts, btf: &Btf) -> Result<Self, String> {
        let mut refusals = Vec::new();
        for (way, layout) in Way::ALL.into_iter().zip(layouts.network) {
            let loaded = layout.map_err(|why| why.to_string()).and_then(|layout| {
                let loaded = Self::load_in(way, owners, layouts, layout, btf);
                loaded.map_err(|error| error.to_string())
            });
            match loaded {
                Ok(network) => {
                    for why in refusals {
                        log::info!("sockets are kept in a hash: {why}");
                    }
                    return Ok(network);
                }
                Err(why) if refusals.contains(&why) => {}
                Err(why) => refusals.push(why),
            }
        }
        Err(refusals.join("; "))
    }

    fn load_in(
        way: Way,
        owners: u32,
        layouts: &Layouts,
        layout: NetworkLayout,
        btf: &Btf,
    ) -> Result<Self, BpfError> {
        let layout = NetworkLayout {
            agent_tgid: std::process::id(),
            ..layout
        };
        let object = no_preempt::object(way.object(), layouts.no_preempt);
        let mut ebpf = EbpfLoader::new()
            .btf(Some(btf))
            .override_global("LAYOUT", &Wire(layouts.types), true)
            .override_global("NETWORK_LAYOUT", &Wire(layout), true)
            .map_max_entries("OWNERS", owners)
            .load(bytemuck::cast_slice(&object))?;
        let iterators = [KernelProgram::SocketFiles, way.sockets()];
        for program in iterators {
            load::add(&mut ebpf, &[program], Some(btf))?;
        }
        let map = way.map(&ebpf).ok_or(BpfError::Lacking(way.map_name()))?;
        let [files, sockets] = iterators;
        let mut network = Self {
            way,
            files: IteratorLink::of(&ebpf, files, None)?,
            sockets: IteratorLink::of(&ebpf, sockets, Some(map.fd().as_fd()))?,
            look: take(&mut ebpf, "LOOK")?,
            owners: SumsMap::new(&mut ebpf, "OWNERS", "network_owners", owners)?,
            totals: take(&mut ebpf, "NETWORK")?,
            owners_removed: 0,
            owners_read: 0,
            last: SocketLook::default(),
            pace: FilePace::default(),
            sees_handover: false,
            losses: [0; 2],
            udp: &[],
            ebpf,
        };
        for program in TRACING {
            load::add(&mut network.ebpf, &[program], Some(btf))?;
        }
        match attach_handover(&mut network.ebpf, btf) {
            Ok(()) => network.sees_handover = true,
            Err(why) => {
                let loss = KernelProgram::SocketAccept.loss().unwrap_or_default();
                log::info!("--collector.network: {why}; {loss}");
            }
        }
        // Sockets that began before the programs were attached get their storage now; they count from here on.
        network.begin_look(true)?;
        network.look_at_files(boottime_ns())?;
        Ok(network)
    }

    /// Begins to count UDP, too.
    ///
    /// # Errors
    /// When the kernel refuses the programs.
    pub(super) fn add_udp(&mut self, btf: &Btf) -> Result<(), String> {
        self.udp = udp::HOOKS.attach(&mut self.ebpf, btf)?;
        Ok(())
    }

    pub(super) const fn counts_udp(&self) -> bool {
        !self.udp.is_empty()
    }

    /// Runs of the programs that count UDP which the kernel left out; `None` if UDP is not counted.
    ///
    /// # Errors
    /// When the kernel does not describe a program.
    pub(super) fn udp_missed(&self) -> Result<Option<u64>, BpfError> {
        let missed = self.missed(self.udp)?;
        Ok(self.counts_udp().then_some(missed))
    }

    /// Looks at all sockets and returns the sums of their owners. `now_ns`: the current time, nanoseconds since boot.
    ///
    /// # Errors
    /// When a map or an iterator cannot be read.
    pub(super) fn read(&mut self, now_ns: u64) -> Result<NetworkReading, BpfError> {
        let files = self.needs_files(now_ns)? && self.pace.is_due(now_ns);
        self.look(files, now_ns)?;
        if !files && self.last.doubtful > 0 && self.pace.is_due(now_ns) {
            self.look(true, now_ns)?;
        }
        let mut reading = NetworkReading {
            look: self.last.number,
            ..NetworkReading::default()
        };
        self.owners.read(|owner, sums| {
            let scope = owner.scope as usize;
            if owner.tgid == 0 {
                if let Some(unknown) = reading.unknown.get_mut(scope) {
                    *unknown = sums.counters;
                }
                return;
            }
            let id = ProcessId {
                tgid: owner.tgid,
                start_ns: owner.start_ns,
            };
            reading.owners.push(OwnerReading {
                id,
                scope,
                sums: *sums,
            });
        })?;
        reading.totals = self.totals()?;
        self.owners_read = reading.totals.owners_made;
        reading.missed = self.missed_runs()?;
        Ok(reading)
    }

    /// Whether the map of owners may be full before the next scrape: a quarter of it is in use, and an eighth was made since the
    /// last reading. Entries of processes that have ended are removed by the second reading after.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub(super) fn is_crowded(&self) -> Result<bool, BpfError> {
        let made = self.totals()?.owners_made;
        let used = made.saturating_sub(self.owners_removed);
        let new = made.saturating_sub(self.owners_read);
        Ok(used >= u64::from(NETWORK_OWNERS) / 4 && new >= u64::from(NETWORK_OWNERS) / 8)
    }

    /// Whether a look at files is necessary, as far as that is known before the look at sockets. If the look before found
    /// sockets with a doubtful owner, this one will, too: then it need not go through the sockets twice.
    fn needs_files(&self, now_ns: u64) -> Result<bool, BpfError> {
        Ok(!self.sees_handover
            || self.last.doubtful > 0
            || self.pace.is_overdue(now_ns)
            || self.losses != self.losses()?)
    }

    fn losses(&self) -> Result<[u64; 2], BpfError> {
        Ok([self.totals()?.storage_full, self.missed_runs()?])
    }

    /// Runs of the programs of TCP that the kernel left out.
    fn missed_runs(&self) -> Result<u64, BpfError> {
        let handover: &[_] = if self.sees_handover { &HANDOVER } else { &[] };
        Ok(self.missed(&TRACING)? + self.missed(handover)?)
    }

    /// Removes the sums of these processes.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub(super) fn forget(
        &mut self,
        gone: impl IntoIterator<Item = ProcessId>,
    ) -> Result<(), BpfError> {
        for id in gone {
            for scope in 0..SCOPES {
                let had = self.owners.remove(&NetworkOwner {
                    tgid: id.tgid,
                    scope: u32::try_from(scope).unwrap_or(0),
                    start_ns: id.start_ns,
                })?;
                self.owners_removed += u64::from(had);
            }
        }
        Ok(())
    }

    /// Where the programs keep the traffic of sockets.
    pub(super) const fn origin(&self) -> Origin {
        self.way.origin()
    }

    /// The object with the programs. Those that are loaded are attached.
    pub(super) fn programs(&self) -> &Ebpf {
        &self.ebpf
    }

    pub(super) fn usage(&self) -> MapStatistics {
        self.owners.usage().statistics()
    }

    /// Runs of these programs that the kernel left out.
    fn missed(&self, programs: &[KernelProgram]) -> Result<u64, BpfError> {
        let misses = programs.iter().map(|&program| {
            let refused = |error| BpfError::Refused(program, error);
            let symbol = program.symbol();
            let loaded = self.ebpf.program(symbol).ok_or(BpfError::Lacking(symbol))?;
            let fd = loaded.fd().map_err(refused)?.as_fd();
            recursion_misses::read(fd).map_err(|error| refused(error.into()))
        });
        misses.sum()
    }

    fn totals(&self) -> Result<NetworkTotals, BpfError> {
        let cpus = self.totals.get(&0, 0)?;
        Ok(cpus.iter().fold(NetworkTotals::default(), |sum, cpu| {
            let cpu = cpu.0;
            NetworkTotals {
                sent_bytes: sum.sent_bytes.wrapping_add(cpu.sent_bytes),
                received_bytes: sum.received_bytes.wrapping_add(cpu.received_bytes),
                unowned_sent_bytes: sum.unowned_sent_bytes.wrapping_add(cpu.unowned_sent_bytes),
                unowned_received_bytes: sum
                    .unowned_received_bytes
                    .wrapping_add(cpu.unowned_received_bytes),
                owners_full: sum.owners_full.wrapping_add(cpu.owners_full),
                owners_made: sum.owners_made.wrapping_add(cpu.owners_made),
                storage_full: sum.storage_full.wrapping_add(cpu.storage_full),
            }
        }))
    }

    /// Looks at all sockets, and at files before, if `files`.
    fn look(&mut self, files: bool, now_ns: u64) -> Result<(), BpfError> {
        self.begin_look(files)?;
        if files {
            self.look_at_files(now_ns)?;
        }
        run(&self.sockets)?;
        self.last.doubtful = self.look.get(&0, 0)?.0.doubtful;
        Ok(())
    }

    fn begin_look(&mut self, files: bool) -> Result<(), BpfError> {
        self.last = SocketLook {
            number: self.last.number + 1,
            files: u64::from(files),
            last_files: match self.last.files {
                1 => self.last.number,
                _ => self.last.last_files,
            },
            doubtful: 0,
        };
        Ok(self.look.set(0, Wire(self.last), 0)?)
    }

    fn look_at_files(&mut self, now_ns: u64) -> Result<(), BpfError> {
        self.losses = self.losses()?;
        let began_ns = monotonic_ns();
        run(&self.files)?;
        let took_ns = monotonic_ns().saturating_sub(began_ns);
        self.pace.note(now_ns, took_ns);
        Ok(())
    }
}

fn attach_handover(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), String> {
    if is_ftrace_off() {
        return Err(
            "the programs for functions do not run while kernel.ftrace_enabled is 0".into(),
        );
    }
    load::add(ebpf, &HANDOVER, Some(btf)).map_err(|error| error.to_string())
}

/// Has the kernel run an iterator to its end. Its program writes nothing.
fn run(iterator: &IteratorLink) -> Result<(), BpfError> {
    let mut file = iterator.open().map_err(BpfError::Look)?;
    let mut buffer = [0; 64];
    let mut stops = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && stops < STOPS => stops += 1,
            Err(error) => return Err(BpfError::Look(error)),
        }
    }
}
