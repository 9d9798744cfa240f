//! Tests of the bounds of the table between two passes: they hold however many records arrive, even if no client scrapes.

use super::histories::counters;
use super::store::GROWTH;
use super::sums::Sums;
use super::tombstones::CAPACITY;
use super::{Event, ExitStatus, Facts, Pass, ProcessId, Released, Table};

fn id(tgid: u32) -> ProcessId {
    ProcessId {
        tgid,
        start_ns: 2000,
    }
}

fn forked(tgid: u32) -> Event {
    let parent = ProcessId {
        tgid: 1,
        start_ns: 1,
    };
    let child = id(tgid);
    Event::Forked { child, parent }
}

fn exited(tgid: u32) -> Event {
    Event::Exited {
        id: id(tgid),
        counters: counters(10),
        status: ExitStatus::Success,
        oom_killed: false,
    }
}

fn released(tgid: u32, projected: bool) -> Event {
    Event::Released(Box::new(Released {
        id: id(tgid),
        parent: 1,
        facts: Facts::default(),
        counters: counters(10),
        projected,
        repeated: false,
    }))
}

#[test]
fn repeated_records_of_a_large_drain_and_of_the_next_one_count_nothing_twice() {
    let ends = u32::try_from(2 * CAPACITY).unwrap();
    let (mut table, mut sums) = (Table::new(1000), Sums::default());
    let all = || 2..2 + ends;
    for tgid in all() {
        for event in [forked(tgid), exited(tgid), released(tgid, false)] {
            table.apply(event, &mut sums);
        }
    }
    for _ in 0..2 {
        for tgid in all() {
            for event in [forked(tgid), exited(tgid), released(tgid, false)] {
                table.apply(event, &mut sums);
            }
        }
        table.end_drain(&mut sums);
    }
    let total = sums.total;
    let (forks, exits) = (total.lifecycle.forks, total.lifecycle.exits_success);
    assert_eq!((forks, exits), (u64::from(ends), u64::from(ends)));
    assert_eq!(total.delta.cpu_ns(), 10 * u64::from(ends));
    // Only the parent is left; it has no fork record.
    assert_eq!(
        (
            table.statistics().unannounced,
            table.registry.processes.len()
        ),
        (0, 1)
    );
    table.end_drain(&mut sums);
    assert_eq!(table.registry.graves.finals.len(), CAPACITY);
    let users: i64 = sums.users.values().sum();
    assert_eq!(users, 1 + i64::try_from(CAPACITY).unwrap());
}

/// The record of the last thread of a leader that its parent does not wait for has brought the totals; the free of the
/// leader reports that the process is gone.
fn left_leader_is_freed(table: &mut Table, sums: &mut Sums) {
    let mut event = released(2, false);
    if let Event::Released(released) = &mut event {
        released.repeated = true;
    }
    table.apply(event, sums);
}

#[test]
fn free_of_a_left_leader_closes_its_process() {
    let (mut table, mut sums) = (Table::new(1000), Sums::default());
    for event in [forked(2), exited(2), released(2, true)] {
        table.apply(event, &mut sums);
    }
    assert!(table.registry.processes.contains(id(2)));
    left_leader_is_freed(&mut table, &mut sums);
    assert!(!table.registry.processes.contains(id(2)));
    assert_eq!(sums.total.delta.cpu_ns(), 10);
}

#[test]
fn late_free_of_a_left_leader_counts_nothing_twice() {
    let (mut table, mut sums) = (Table::new(1000), Sums::default());
    for event in [forked(2), exited(2), released(2, true)] {
        table.apply(event, &mut sums);
    }
    let pass = Pass {
        started_ns: 3000,
        finals_follow: true,
        ..Pass::default()
    };
    table.observe(&pass, &mut sums);
    let others = 3..3 + u32::try_from(CAPACITY).unwrap();
    for tgid in others.clone() {
        for event in [forked(tgid), exited(tgid), released(tgid, false)] {
            table.apply(event, &mut sums);
        }
        table.end_drain(&mut sums);
    }
    assert!(!table.registry.graves.contains(id(2)), "it is still known");
    let before = (sums.total, table.statistics().unannounced);
    left_leader_is_freed(&mut table, &mut sums);
    assert_eq!((sums.total, table.statistics().unannounced), before);
    assert_eq!(table.statistics().late_ignored, 1);
}

#[test]
fn table_asks_for_a_pass_when_it_has_outgrown_the_last_one() {
    let (mut table, mut sums) = (Table::new(1000), Sums::default());
    let pass = |started_ns| Pass {
        started_ns,
        finals_follow: true,
        ..Pass::default()
    };
    table.observe(&pass(1500), &mut sums);
    let mut passes = 0;
    for tgid in 2..50_000 {
        // No program runs when the kernel releases this leader, so the record of its last thread is the only one.
        table.apply(forked(tgid), &mut sums);
        table.apply(released(tgid, true), &mut sums);
        if tgid.is_multiple_of(500) && table.end_drain(&mut sums) {
            table.observe(&pass(3000 + u64::from(tgid)), &mut sums);
            assert!(!table.end_drain(&mut sums));
            passes += 1;
        }
        assert!(table.registry.processes.len() <= GROWTH + 501);
    }
    assert!((9..=12).contains(&passes), "{passes} passes");
}
