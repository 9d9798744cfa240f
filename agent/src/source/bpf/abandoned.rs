//! Requests whose socket is gone without a response. No hook sees the end of a Unix socket, so each pass in which a request is in
//! flight looks at all sockets with an HTTP exchange.
//!
//! In: the counts of processes, and the exchanges that the look finds in flight. Out: the requests that two looks in a row have
//! missed, which the kernel programs count as aborted. A request that begins or ends during a look can only hide another one,
//! until a later look.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use agent_common::{METHODS, REQUESTS_ABANDONED, RequestCounters, RequestInFlight};
use aya::maps::{Array, Map, MapData};
use aya::{Btf, Ebpf};

use super::iterator::IteratorLink;
use super::load::{self, BpfError, take};
use super::program::KernelProgram;
use super::wire::{Wire, identity, process};
use crate::process::{ProcessId, ServedReading};

/// Maximum bytes that the kernel returns for one read.
const READ_BYTES: usize = 32 * 1024;
/// Most times that an iterator may stop before its end in one look.
const STOPS: u32 = 64;

/// How often the slots are filled in one look, at most: 16,384 requests that are gone. The rest is counted at later looks.
const ROUNDS: usize = 64;

/// Number of requests, by process and method. None of them is 0.
type Counts = HashMap<(ProcessId, usize), u64>;

/// The programs that find and count them.
pub(super) struct Abandoned {
    sockets: IteratorLink,
    gone: IteratorLink,
    slots: Array<MapData, Wire<RequestInFlight>>,
    /// How many slots have had a request.
    filled: usize,
    /// The requests that the last look missed.
    missed: Counts,
}

impl Abandoned {
    /// Loads and attaches the iterators.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub(super) fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<Self, BpfError> {
        let link = |ebpf: &mut Ebpf, program, name| {
            load::add(ebpf, &[program], Some(btf))?;
            let map = match ebpf.map(name) {
                Some(Map::SkStorage(map) | Map::Array(map)) => map.fd().as_fd(),
                _ => return Err(BpfError::Lacking(name)),
            };
            IteratorLink::of(ebpf, program, Some(map))
        };
        Ok(Self {
            sockets: link(ebpf, KernelProgram::RequestSockets, "EXCHANGES")?,
            gone: link(ebpf, KernelProgram::RequestsGone, "ABANDONED")?,
            slots: take(ebpf, "ABANDONED")?,
            filled: 0,
            missed: Counts::new(),
        })
    }

    /// Looks for requests in flight by `owners`, and counts those that are gone. `again` reads the counts anew.
    ///
    /// # Errors
    /// When a map or an iterator cannot be read.
    pub(super) fn settle(
        &mut self,
        owners: &[ServedReading],
        again: impl FnOnce() -> Result<Vec<ServedReading>, BpfError>,
    ) -> Result<(), BpfError> {
        let mut missed = counts(owners, |counters, method| {
            counters.begun[method].saturating_sub(ended(counters, method))
        });
        if !missed.is_empty() {
            run(&self.sockets, |found| {
                let method = usize::try_from(found.method).unwrap_or(METHODS);
                reduce(&mut missed, (process(found.owner), method), 1);
            })?;
        }
        if !missed.is_empty() {
            // The look could not find requests that have ended since.
            for (key, before) in counts(owners, ended) {
                if let Some(count) = missed.get_mut(&key) {
                    *count += before;
                }
            }
            let after = counts(&again()?, ended);
            missed.retain(|key, count| {
                *count = count.saturating_sub(after.get(key).copied().unwrap_or(0));
                *count > 0
            });
        }
        let mut gone = Vec::new();
        for (&(id, method), &count) in &missed {
            let twice = count.min(self.missed.get(&(id, method)).copied().unwrap_or(0));
            let request = RequestInFlight {
                owner: identity(id),
                method: method as u64,
            };
            let room = REQUESTS_ABANDONED as usize * ROUNDS - gone.len();
            let twice = usize::try_from(twice).map_or(room, |twice| twice.min(room));
            gone.resize(gone.len() + twice, request);
        }
        self.missed = missed;
        gone.chunks(REQUESTS_ABANDONED as usize)
            .try_for_each(|gone| self.abort(gone))
    }

    /// Has the programs count these requests as aborted.
    fn abort(&mut self, gone: &[RequestInFlight]) -> Result<(), BpfError> {
        self.filled = self.filled.max(gone.len());
        let none = RequestInFlight::default();
        let requests = gone.iter().chain(std::iter::repeat(&none));
        for (index, request) in (0..).zip(requests.take(self.filled)) {
            self.slots.set(index, Wire(*request), 0)?;
        }
        run(&self.gone, |_| {})?;
        for request in gone {
            let method = usize::try_from(request.method).unwrap_or(METHODS);
            reduce(&mut self.missed, (process(request.owner), method), 1);
        }
        Ok(())
    }
}

/// Requests that are no longer in flight.
fn ended(counters: &RequestCounters, method: usize) -> u64 {
    let ended: u64 = counters.ended[method].iter().sum();
    ended + counters.moved[method]
}

fn counts(owners: &[ServedReading], count: impl Fn(&RequestCounters, usize) -> u64) -> Counts {
    let each = owners.iter().flat_map(|owner| {
        (0..METHODS).map(|method| ((owner.id, method), count(&owner.counters, method)))
    });
    each.filter(|(_, count)| *count > 0).collect()
}

/// Takes so many away from a count.
fn reduce(counts: &mut Counts, key: (ProcessId, usize), by: u64) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(by);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// Has the kernel run an iterator to its end, and returns its output.
fn run(iterator: &IteratorLink, mut sink: impl FnMut(RequestInFlight)) -> Result<(), BpfError> {
    let mut file = iterator.open().map_err(BpfError::Look)?;
    let mut buffer = vec![0; READ_BYTES];
    let (mut held, mut stops) = (0, 0);
    loop {
        match file.read(&mut buffer[held..]) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                let filled = held + count;
                let records = buffer[..filled].chunks_exact(size_of::<RequestInFlight>());
                held = records.remainder().len();
                records
                    .map(bytemuck::pod_read_unaligned)
                    .for_each(&mut sink);
                buffer.copy_within(filled - held..filled, 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && stops < STOPS => stops += 1,
            Err(error) => return Err(BpfError::Look(error)),
        }
    }
}
