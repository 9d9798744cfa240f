//! Tests of brief readings of processes in no group: a pass reads only their `stat`.

use super::sums::Sums;
use super::{Counters, Cpu, Io, Pass, ProcessId, Sample, Table};

const ID: ProcessId = ProcessId {
    tgid: 7,
    start_ns: 500,
};

fn sample(user_ns: u64, io: Option<u64>) -> Sample {
    Sample {
        id: ID,
        counters: Counters {
            cpu: Cpu {
                user_ns,
                system_ns: 0,
            },
            io: io.map(|read_bytes| Io {
                read_bytes,
                write_bytes: 0,
            }),
            ..Counters::default()
        },
        ran_marker: user_ns + io.unwrap_or_default(),
        ..Sample::of_process(ID)
    }
}

fn pass(whole: &[Sample], brief: &[Sample]) -> Pass {
    Pass {
        started_ns: 1000,
        processes: whole.to_vec(),
        in_no_group: brief.to_vec(),
        ..Pass::default()
    }
}

#[test]
fn cpu_goes_on_and_io_begins_anew_after_brief_readings() {
    let (mut table, mut sums) = (Table::new(0), Sums::default());
    table.observe(&pass(&[sample(10, Some(100))], &[]), &mut sums);
    let account = table.registry.processes.account_of(7).unwrap();
    table.classified(ID);
    let outside = |one| one == account;
    assert_eq!(table.in_no_group(7, u64::MAX, outside), Some(500));
    assert_eq!(table.in_no_group(7, 500, outside), None, "may be looked at");
    assert_eq!(table.in_no_group(7, u64::MAX, |_| false), None);
    assert_eq!(table.in_no_group(8, u64::MAX, outside), None);
    table.observe(&pass(&[], &[sample(30, None)]), &mut sums);
    assert_eq!(table.statistics().live, 1);
    let used = |table: &Table| table.live_one(7).unwrap().used();
    assert_eq!((used(&table).user_ns, used(&table).read_bytes), (30, 100));
    let booked = |sums: &Sums| sums.total.delta.read_bytes;
    let before = booked(&sums);
    table.observe(&pass(&[sample(40, Some(900))], &[]), &mut sums);
    assert_eq!(
        booked(&sums),
        before,
        "read before the process was in a group"
    );
    table.observe(&pass(&[sample(40, Some(907))], &[]), &mut sums);
    assert_eq!(booked(&sums), before + 7);
}

#[test]
fn process_that_waits_for_a_decision_is_read_whole() {
    let (mut table, mut sums) = (Table::new(0), Sums::default());
    table.observe(&pass(&[sample(10, None)], &[]), &mut sums);
    assert_eq!(table.in_no_group(7, u64::MAX, |_| true), None);
}
