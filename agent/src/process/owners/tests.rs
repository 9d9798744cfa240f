//! The account that gets the traffic of a process's sockets, at each moment of its life and after.

use super::*;
use crate::process::network::model::{ModelKernel, carried};
use crate::process::sums::Sums;
use crate::process::{
    Counters, Event, ExitStatus, Facts, Former, NetworkTally, Pass, Released, SCOPE_LISTEN,
    SCOPE_REMOTE, Sample, Table,
};

const REMOTE: usize = SCOPE_REMOTE as usize;

const fn id(tgid: u32) -> ProcessId {
    ProcessId {
        tgid,
        start_ns: 5000 + tgid as u64,
    }
}

const fn payload(sent_bytes: u64, received_bytes: u64) -> Payload {
    Payload {
        sent_bytes,
        received_bytes,
    }
}

/// A table, a ledger and a kernel, driven as the pipeline drives them.
#[derive(Debug)]
struct SocketNode {
    table: Table,
    sums: Sums,
    kernel: ModelKernel,
}

impl SocketNode {
    fn new() -> Self {
        let mut node = Self {
            table: Table::new(1000),
            sums: Sums::default(),
            kernel: ModelKernel::default(),
        };
        node.observe(&[]);
        node
    }

    fn observe(&mut self, live: &[u32]) {
        let samples = live.iter().map(|tgid| Sample::of_process(id(*tgid)));
        let pass = Pass {
            started_ns: 1_000_000,
            finals_follow: true,
            processes: samples.collect(),
            ..Pass::default()
        };
        self.table.observe(&pass, &mut self.sums);
    }

    fn execed(&mut self, tgid: u32) {
        let event = Event::Execed {
            id: id(tgid),
            facts: Box::new(Facts::default()),
            parent: 1,
            counters: Counters::default(),
            former: Former::default(),
        };
        self.table.apply(event, &mut self.sums);
    }

    fn ended(&mut self, tgid: u32) {
        let exited = Event::Exited {
            id: id(tgid),
            counters: Counters::default(),
            status: ExitStatus::Success,
            oom_killed: false,
        };
        self.table.apply(exited, &mut self.sums);
        self.released(tgid);
        self.table.end_drain(&mut self.sums);
    }

    fn released(&mut self, tgid: u32) {
        let released = Released {
            id: id(tgid),
            parent: 1,
            facts: Facts::default(),
            counters: Counters::default(),
            projected: false,
            repeated: false,
        };
        let event = Event::Released(Box::new(released));
        self.table.apply(event, &mut self.sums);
    }

    /// Books a reading, and removes from the kernel the sums that it need not keep.
    fn read(&mut self) -> Vec<ProcessId> {
        let reading = self.kernel.read();
        let idle = self.table.book_network(&reading, &mut self.sums);
        self.kernel.forget(&idle);
        idle
    }

    fn account(&self, tgid: u32) -> AccountId {
        self.table.live_one(tgid).unwrap().account()
    }

    fn booked(&self, account: AccountId) -> Payload {
        let tally = self.sums.network.get(&account);
        tally.map_or_else(Payload::default, NetworkTally::payload)
    }

    fn all_booked(&self) -> u64 {
        let all = self.sums.network.values();
        all.map(|tally| tally.payload().sent_bytes).sum()
    }

    fn books(&self) -> NetworkBooks {
        self.table.statistics().network.unwrap()
    }
}

#[test]
fn exec_leaves_booked_use_with_the_old_image() {
    let mut node = SocketNode::new();
    node.observe(&[7]);
    let before = node.account(7);
    node.kernel.credit(id(7), REMOTE, payload(10, 1));
    node.read();
    node.execed(7);
    let after = node.account(7);
    node.kernel.credit(id(7), REMOTE, payload(5, 2));
    node.read();
    assert_ne!(before, after);
    assert_eq!(
        (node.booked(before), node.booked(after)),
        (payload(10, 1), payload(5, 2))
    );
}

#[test]
fn late_sums_go_to_the_account_at_the_end_long_after_the_table_forgot_the_process() {
    let mut node = SocketNode::new();
    node.observe(&[7]);
    let account = node.account(7);
    node.kernel.open(id(7), REMOTE);
    node.kernel.credit(id(7), REMOTE, payload(10, 0));
    node.read();
    node.ended(7);
    node.kernel.credit(id(7), REMOTE, payload(3, 0));
    assert!(node.read().is_empty(), "the socket lives");
    assert_eq!(node.booked(account), payload(13, 0));
    // More processes than there are tombstones end.
    for _ in 0..3 {
        for tgid in 100..9000 {
            node.released(tgid);
        }
        node.table.end_drain(&mut node.sums);
    }
    node.kernel.credit(id(7), REMOTE, payload(4, 0));
    node.read();
    assert_eq!(node.booked(account), payload(17, 0));
    node.kernel.close(id(7), REMOTE);
    assert_eq!(node.read(), [id(7)]);
    node.read();
    assert_eq!(node.books().owners, 0);
    assert_eq!(node.sums.users[&account], 0, "the account is closed");
}

#[test]
fn sum_of_a_process_that_is_only_known_later_waits_for_one_reading() {
    let mut node = SocketNode::new();
    node.kernel.credit(id(7), REMOTE, payload(10, 0));
    node.kernel.credit(id(8), REMOTE, payload(6, 7));
    node.read();
    assert_eq!(
        (node.all_booked(), node.books().unattributed),
        (0, Payload::default())
    );
    node.observe(&[7]);
    node.read();
    assert_eq!(node.booked(node.account(7)), payload(10, 0));
    assert_eq!(node.books().unattributed, payload(6, 7));
    // From now on the process is known: only its rises count.
    node.observe(&[7, 8]);
    node.kernel.credit(id(8), REMOTE, payload(1, 0));
    node.read();
    assert_eq!(node.booked(node.account(8)), payload(1, 0));
    assert_eq!(node.books().unattributed, payload(6, 7));
}

#[test]
fn owner_is_forgotten_when_it_has_ended_and_nothing_has_risen() {
    let mut node = SocketNode::new();
    node.observe(&[7]);
    node.kernel.credit(id(7), REMOTE, payload(10, 0));
    assert!(node.read().is_empty());
    assert!(node.read().is_empty(), "the process lives");
    node.ended(7);
    node.kernel.credit(id(7), REMOTE, payload(1, 0));
    assert!(node.read().is_empty(), "its sums have risen");
    assert_eq!(node.read(), [id(7)]);
    assert_eq!(node.all_booked(), 11);
}

#[test]
fn map_entry_that_begins_anew_counts_from_zero() {
    let mut node = SocketNode::new();
    node.observe(&[7]);
    let account = node.account(7);
    node.kernel.credit(id(7), REMOTE, payload(10, 10));
    node.read();
    node.ended(7);
    assert_eq!(node.read(), [id(7)]);
    node.kernel.credit(id(7), REMOTE, payload(4, 4));
    node.read();
    assert_eq!(node.booked(account), payload(14, 14));
    // Once more, after a reading without the entry.
    assert_eq!(node.read(), [id(7)]);
    node.read();
    node.kernel.credit(id(7), REMOTE, payload(400, 400));
    node.read();
    assert_eq!(node.booked(account), payload(414, 414));
}

#[test]
fn unknown_owners_and_a_full_map_are_unattributed() {
    let mut node = SocketNode::new();
    node.kernel.credit_unknown(REMOTE, payload(1, 2));
    node.kernel.credit_full(payload(10, 20));
    node.read();
    node.kernel.credit_unknown(REMOTE, payload(100, 200));
    node.read();
    assert_eq!(node.books().unattributed, payload(111, 222));
    assert_eq!(node.books().totals, node.kernel.totals);
}

#[test]
fn more_owners_than_the_kernel_has_room_for_are_left_out_and_counted() {
    let mut node = SocketNode::new();
    for tgid in 0..NETWORK_OWNERS + 3 {
        node.kernel.credit(id(tgid + 2), REMOTE, payload(1, 0));
    }
    node.read();
    let books = node.books();
    assert_eq!(
        (books.owners, books.omitted),
        (u64::from(NETWORK_OWNERS), 3)
    );
}

#[test]
fn entry_of_an_unknown_scope_is_ignored() {
    let mut node = SocketNode::new();
    node.observe(&[7]);
    node.kernel.credit(id(7), SCOPES, payload(1, 0));
    node.kernel.credit(id(7), REMOTE, payload(2, 0));
    node.read();
    assert_eq!((node.all_booked(), node.books().omitted), (2, 1));
}

#[test]
fn payload_of_a_listening_socket_counts_as_remote() {
    let mut tally = NetworkTally::default();
    let all = NetworkCounters {
        listen_drops: 3,
        ..carried(5, 6)
    };
    tally.put(SCOPE_LISTEN as usize, &all);
    assert_eq!(tally.of(REMOTE), carried(5, 6));
    assert_eq!(tally.of(SCOPE_LISTEN as usize).listen_drops, 3);
    assert_eq!(tally.payload(), payload(5, 6));
}

#[test]
fn only_sockets_that_the_last_look_saw_are_living() {
    let mut node = SocketNode::new();
    node.observe(&[7, 8]);
    node.kernel.open(id(7), REMOTE);
    node.kernel.open(id(8), REMOTE);
    node.read();
    node.kernel.close(id(7), REMOTE);
    let reading = node.kernel.read();
    node.table.book_network(&reading, &mut node.sums);
    let living: Vec<_> = node.table.living_sockets(&reading).collect();
    let [(account, scope, gauges)] = living[..] else {
        panic!("one owner lives: {living:?}");
    };
    assert_eq!(
        (account, scope, gauges.established),
        (node.account(8), REMOTE, 1)
    );
}
