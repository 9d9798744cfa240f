//! Fuzz target for readings of requests, between passes and records of a few processes. A model of the kernel programs makes them.

use arbitrary::{Arbitrary, Unstructured};

use super::owners::fuzzing::{ended, execed};
use super::sums::Sums;
use super::{
    METHODS, Pass, ProcessId, RequestCounters, RequestReading, RequestTally, STATUS_ABORTED,
    Sample, ServedReading, Table,
};

/// Words of the kernel's values.
const WORDS: usize = size_of::<RequestCounters>() / 8;

/// Process ids that may occur.
const PIDS: u8 = 6;

#[derive(Debug, Arbitrary)]
enum ServerStep {
    /// A process begins, with a record or without, unless one with its process id lives.
    Start(u8, bool),
    /// It ends, with records or without. Another process may answer requests in flight.
    End(u8, bool),
    Begin(u8, u8),
    /// The second process answers a request that the first one has received, which may have ended since.
    Answer(u8, u8, u8),
    Abort(u8),
    Elapse(u16),
    /// One more entry of the next reading, of any process, with any number in one place.
    Noise(u8, u8, u64),
    /// A reading, the pass after it, and the bookings then.
    Read,
}

/// The kernel's entry of a process.
#[derive(Debug)]
struct ServerModel {
    id: ProcessId,
    is_alive: bool,
    counters: RequestCounters,
    /// Methods of the requests in flight.
    pending: Vec<usize>,
}

/// A table, a ledger, and the kernel.
#[derive(Debug)]
struct ServerNode {
    table: Table,
    sums: Sums,
    now_ns: u64,
    servers: Vec<ServerModel>,
    noise: Vec<ServedReading>,
    /// Exchanges that have ended.
    ended: u64,
    /// Busy time of all processes.
    busy_ns: u64,
    is_noisy: bool,
    before: (RequestTally, u64),
}

impl ServerNode {
    fn new(is_noisy: bool) -> Self {
        Self {
            table: Table::new(1000),
            sums: Sums::default(),
            now_ns: 1_000_000,
            servers: Vec::new(),
            noise: Vec::new(),
            ended: 0,
            busy_ns: 0,
            is_noisy,
            before: (RequestTally::default(), 0),
        }
    }

    fn living(&mut self, which: u8) -> Option<&mut ServerModel> {
        let tgid = pid(which);
        let mut servers = self.servers.iter_mut();
        servers.find(|server| server.is_alive && server.id.tgid == tgid)
    }

    /// A process with a request in flight, which may have ended.
    fn waiting(&mut self, which: u8) -> Option<&mut ServerModel> {
        let tgid = pid(which);
        let mut servers = self.servers.iter_mut();
        servers.find(|server| server.id.tgid == tgid && !server.pending.is_empty())
    }

    fn take(&mut self, step: ServerStep) -> Option<()> {
        self.elapse(1);
        match step {
            ServerStep::Start(which, is_reported) => self.start(which, is_reported),
            ServerStep::End(which, is_reported) => self.end(which, is_reported)?,
            ServerStep::Begin(which, method) => {
                let method = usize::from(method) % METHODS;
                let server = self.living(which)?;
                server.counters.begun[method] += 1;
                server.pending.push(method);
            }
            ServerStep::Answer(owner, by, status) => {
                let status = usize::from(status) % STATUS_ABORTED;
                self.living(by)?;
                let owner = self.waiting(owner)?;
                let method = owner.pending.pop()?;
                owner.counters.moved[method] += 1;
                let by = self.living(by)?;
                by.counters.begun[method] += 1;
                by.counters.ended[method][status] += 1;
                self.ended += 1;
            }
            ServerStep::Abort(which) => {
                let server = self.waiting(which)?;
                let method = server.pending.pop()?;
                server.counters.ended[method][STATUS_ABORTED] += 1;
                self.ended += 1;
            }
            ServerStep::Elapse(ns) => self.elapse(u64::from(ns)),
            ServerStep::Noise(which, place, number) => {
                let known = self.living(which);
                let (id, counters) = known.map_or_else(
                    || (unknown(which), RequestCounters::default()),
                    |server| (server.id, server.counters),
                );
                let mut words: [u64; WORDS] = bytemuck::cast(counters);
                words[usize::from(place) % WORDS] = number;
                let counters = bytemuck::cast(words);
                self.noise.push(ServedReading { id, counters });
            }
            ServerStep::Read => self.read(),
        }
        Some(())
    }

    fn elapse(&mut self, ns: u64) {
        self.now_ns += ns;
        for server in &mut self.servers {
            if server.is_alive && !server.pending.is_empty() {
                server.counters.busy_ns += ns;
                self.busy_ns += ns;
            }
        }
    }

    fn start(&mut self, which: u8, is_reported: bool) {
        if self.living(which).is_some() {
            return;
        }
        // No process id is used again within two ticks. Only `/proc` gives starts in whole ticks.
        self.elapse(20_000_000);
        let id = ProcessId {
            tgid: pid(which),
            start_ns: self.now_ns | 1,
        };
        self.servers.push(ServerModel {
            id,
            is_alive: true,
            counters: RequestCounters::default(),
            pending: Vec::new(),
        });
        if is_reported {
            self.table.apply(execed(id), &mut self.sums);
        }
    }

    fn end(&mut self, which: u8, is_reported: bool) -> Option<()> {
        let server = self.living(which)?;
        server.is_alive = false;
        let id = server.id;
        if is_reported {
            for event in ended(id) {
                self.table.apply(event, &mut self.sums);
            }
            self.table.end_drain(&mut self.sums);
        }
        Some(())
    }

    /// Reads the kernel's counts. No sum falls, and busy time is none that was not.
    fn read(&mut self) {
        let of_servers = self.servers.iter().map(|server| ServedReading {
            id: server.id,
            counters: server.counters,
        });
        let mut reading = RequestReading {
            now_ns: self.now_ns,
            owners: of_servers.collect(),
            ..RequestReading::default()
        };
        if self.is_noisy {
            reading.owners.append(&mut self.noise);
        }
        let living = self.servers.iter().filter(|server| server.is_alive);
        let pass = Pass {
            started_ns: self.now_ns,
            finals_follow: true,
            processes: living.map(|server| Sample::of_process(server.id)).collect(),
            ..Pass::default()
        };
        self.table.observe(&pass, &mut self.sums);
        for id in self.table.book_requests(&reading, &mut self.sums) {
            assert!(reading.owners.iter().any(|one| one.id == id), "unread");
            let is_forgotten = |server: &ServerModel| server.id == id;
            let server = self.servers.iter().position(is_forgotten);
            if let Some(server) = server.map(|place| self.servers.swap_remove(place)) {
                assert!(!server.is_alive, "{:?} lives", server.id);
                let is_waiting = !self.is_noisy && !server.pending.is_empty();
                assert!(!is_waiting, "{:?} has a request in flight", server.id);
            }
        }
        let shown = self.table.living_servers().count();
        assert!(shown <= reading.owners.len());
        let books = self.table.statistics().requests.unwrap_or_default();
        let now = (self.sums.requests, books.unattributed);
        assert!(now.1 >= self.before.1);
        for (before, now) in words(&self.before.0).iter().zip(words(&now.0)) {
            assert!(before <= now, "{before} has fallen to {now}");
        }
        self.before = now;
        let booked_ns = now.0.counters().busy_ns;
        assert!(self.is_noisy || booked_ns <= self.busy_ns);
    }

    /// All exchanges are booked once: with a response, as aborted, or in flight.
    fn settle(&mut self) {
        // The kernel programs find that the sockets of the dead are gone.
        for server in self.servers.iter_mut().filter(|server| !server.is_alive) {
            for method in server.pending.drain(..) {
                server.counters.ended[method][STATUS_ABORTED] += 1;
                self.ended += 1;
            }
        }
        for _ in 0..3 {
            self.elapse(1);
            self.read();
        }
        if self.is_noisy {
            return;
        }
        let (booked, unattributed) = &self.before;
        let ended: u64 = booked.counters().ended.iter().flatten().sum();
        assert_eq!(ended + unattributed, self.ended);
        let in_flight = self.servers.iter().map(|server| server.pending.len());
        assert_eq!(booked.in_flight(), in_flight.sum::<usize>() as u64);
    }
}

/// Input: whether readings have noise, and steps.
pub(crate) fn requests(input: &[u8]) {
    let mut bytes = Unstructured::new(input);
    let is_noisy = bool::arbitrary(&mut bytes);
    let mut node = ServerNode::new(is_noisy.unwrap_or_default());
    while !bytes.is_empty() {
        let Ok(step) = ServerStep::arbitrary(&mut bytes) else {
            break;
        };
        // A step that is about no process does nothing.
        let _ = node.take(step);
    }
    node.settle();
}

fn pid(which: u8) -> u32 {
    u32::from(which % PIDS) + 2
}

/// A process that the table does not know.
fn unknown(which: u8) -> ProcessId {
    ProcessId {
        tgid: u32::from(which) + 1000,
        start_ns: 5,
    }
}

fn words(tally: &RequestTally) -> &[u64; WORDS] {
    bytemuck::cast_ref(tally.counters())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_histories_are_booked_once(input in prop::collection::vec(any::<u8>(), 0..4000)) {
            super::requests(&input);
        }
    }
}
