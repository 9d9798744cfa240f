//! Fuzz target for readings of sockets, with any numbers in them, between passes and records of a few processes.

use arbitrary::{Arbitrary, Unstructured};

use crate::process::sums::Sums;
use crate::process::{
    Counters, Event, ExitStatus, Facts, Former, NETWORK_OWNERS, NetworkCounters, NetworkReading,
    NetworkSums, NetworkTotals, OwnerReading, Pass, ProcessId, Released, SCOPES, Sample, Table,
};

/// Words of the kernel's values.
const SUMS: usize = size_of::<NetworkSums>() / 8;
const UNKNOWN: usize = size_of::<[NetworkCounters; SCOPES]>() / 8;
const TOTALS: usize = size_of::<NetworkTotals>() / 8;

/// Processes that may occur.
const PROCESSES: u8 = 8;

#[derive(Debug, Arbitrary)]
enum ReadingStep {
    /// A pass that sees the processes of this mask.
    Pass(u8),
    Exec(u8),
    End(u8),
    /// One more entry of the next reading.
    Entry(u8, u8, Box<[u64; SUMS]>),
    /// The reading is complete.
    Read(u64, Box<[u64; UNKNOWN]>, [u64; TOTALS]),
}

fn id(which: u8) -> ProcessId {
    ProcessId {
        tgid: u32::from(which % PROCESSES) + 2,
        start_ns: 2000 + u64::from(which % PROCESSES),
    }
}

/// Input: steps. No use is booked to a closed account, unattributed sums and the sums of the node never fall, and every owner
/// that the kernel is to forget was in the reading.
pub(crate) fn network(input: &[u8]) {
    let mut bytes = Unstructured::new(input);
    let (mut table, mut sums) = (Table::new(1000), Sums::default());
    let mut reading = NetworkReading::default();
    let mut before = table.statistics().network.unwrap_or_default();
    while !bytes.is_empty() {
        let Ok(step) = ReadingStep::arbitrary(&mut bytes) else {
            return;
        };
        match step {
            ReadingStep::Pass(mask) => {
                let seen = (0..PROCESSES).filter(|which| mask & (1 << which) != 0);
                let pass = Pass {
                    started_ns: 3000,
                    finals_follow: mask & 1 == 0,
                    processes: seen.map(|which| Sample::of_process(id(which))).collect(),
                    ..Pass::default()
                };
                table.observe(&pass, &mut sums);
            }
            ReadingStep::Exec(which) => table.apply(execed(id(which)), &mut sums),
            ReadingStep::End(which) => {
                for event in ended(id(which)) {
                    table.apply(event, &mut sums);
                }
                table.end_drain(&mut sums);
            }
            ReadingStep::Entry(which, scope, words) => reading.owners.push(OwnerReading {
                id: id(which),
                scope: usize::from(scope % 8),
                sums: bytemuck::cast(*words),
            }),
            ReadingStep::Read(look, unknown, totals) => {
                reading.look = look;
                reading.unknown = bytemuck::cast(*unknown);
                reading.totals = bytemuck::cast(totals);
                let idle = table.book_network(&reading, &mut sums);
                let is_listed = |id: &ProcessId| reading.owners.iter().any(|one| one.id == *id);
                assert!(idle.iter().all(is_listed), "a process without an entry");
                let living = table.living_sockets(&reading).count();
                assert!(living <= reading.owners.len());
                let now = table.statistics().network.unwrap_or_default();
                assert!(now.owners <= 2 * u64::from(NETWORK_OWNERS));
                assert!(now.unattributed.sent_bytes >= before.unattributed.sent_bytes);
                assert!(now.totals.received_bytes >= before.totals.received_bytes);
                before = now;
                reading.owners.clear();
            }
        }
    }
}

/// An exec of a process whose facts do not matter.
pub(in crate::process) fn execed(id: ProcessId) -> Event {
    Event::Execed {
        id,
        facts: Box::new(Facts::default()),
        parent: 1,
        counters: Counters::default(),
        former: Former::default(),
    }
}

/// The records of its end.
pub(in crate::process) fn ended(id: ProcessId) -> [Event; 2] {
    let released = Released {
        id,
        parent: 1,
        facts: Facts::default(),
        counters: Counters::default(),
        projected: false,
        repeated: false,
    };
    let exited = Event::Exited {
        id,
        counters: Counters::default(),
        status: ExitStatus::Success,
        oom_killed: false,
    };
    [exited, Event::Released(Box::new(released))]
}
