//! The way from the kernel's bytes to the text, as the pipeline has it, without a kernel, `/proc` and HTTP.

use std::io;

use agent_common::Layout;
use bytemuck::Zeroable as _;
use headcount::collector::{
    Build, Collectors, PartOf, ReloadStatistics, Runs, ServingStatistics, View,
};
use headcount::config::Config;
use headcount::group::{BootTime, Classifier, Grouper, Policy};
use headcount::process::{Facts, Memory, Probe, ProcessId, Table};
use headcount::scrape::Joiner;
use headcount::source::bpf::{Carried, Pieces, Snapshot, from_ring};
use headcount::source::{ExitHook, Fact, NamesById, SourceStatistics, Tier, UserNames};

use super::recording::comm;

const PAGE_BYTES: u64 = 4096;
/// The agent is younger than all that is recorded, and older than all that is started.
const BEGAN_NS: u64 = 500_000_000_000;

/// The state of an agent, fed from memory.
#[derive(Debug)]
pub struct Node {
    carried: Carried,
    pieces: Pieces,
    names: NamesById,
    table: Table,
    grouper: Grouper,
    collectors: Collectors,
    joiner: Joiner,
    source: SourceStatistics,
    live: usize,
    now_ns: u64,
}

impl Node {
    /// One that groups by the built-in configuration.
    pub fn new() -> Self {
        let classifier = Classifier::new(&Config::built_in()).expect("the built-in configuration");
        let placer = move |facts: &Facts| classifier.classify(facts, BootTime { unix_seconds: 0 });
        let policy = Policy {
            max_groups: 1000,
            children: true,
            remove_empty: false,
        };
        let mut names = NamesById::new(UserNames::new("/nowhere".into()));
        names.learn(
            1,
            &facts(ProcessId {
                tgid: 1,
                start_ns: 1,
            }),
            None,
        );
        let runs = Runs::new().expect("valid descriptors");
        Self {
            // All that any kernel reports.
            carried: Carried::new(&Layout::zeroed(), PAGE_BYTES),
            pieces: Pieces::default(),
            names,
            table: Table::new(BEGAN_NS),
            grouper: Grouper::new(Box::new(placer), policy),
            collectors: Collectors::of(PartOf::State, &runs),
            joiner: Joiner::new(&runs, ServingStatistics::default, &[]),
            source: source(),
            live: 0,
            now_ns: BEGAN_NS,
        }
    }

    /// One scrape: `tasks`: the output of the iterator, read by read.
    pub fn scrape(&mut self, tasks: &[Vec<u8>]) -> Vec<u8> {
        self.now_ns += 15_000_000_000;
        let mut snapshot = Snapshot::new(self.carried, self.live);
        snapshot
            .read(&mut Reads(tasks.iter()))
            .expect("records of ours");
        let pass = snapshot.pass(self.now_ns);
        self.live = pass.processes.len();
        let Self { table, grouper, .. } = self;
        table.observe(&pass, grouper);
        for one in table.unclassified() {
            grouper.place(one.account, one.parent, &facts(one.id));
            table.classified(one.id);
        }
        grouper.settle();
        table.refresh(&pass, &mut Waits, |account| grouper.is_outside(account));
        grouper.measure(table.live());
        grouper.measure_threads(table.live_threads(&pass));
        grouper.forget_empty(table.present());
        self.exposition()
    }

    /// Takes records as a drain of the ring does.
    pub fn drain(&mut self, records: &[Vec<u8>]) {
        let Self { table, grouper, .. } = self;
        self.names.begin_drain();
        for record in records {
            let event = from_ring(record, self.carried, &mut self.pieces);
            let (_, mut event) = event.expect("a record of ours");
            self.names.complete(&mut event);
            table.apply(event, grouper);
        }
        table.end_drain(grouper);
        grouper.settle();
    }

    fn exposition(&mut self) -> Vec<u8> {
        let part = self.collectors.collect(&View {
            groups: self.grouper.groups(),
            processes: &self.table.statistics(),
            source: &self.source,
            group_statistics: &self.grouper.statistics(),
            gunicorn: None,
            serving: &ServingStatistics::default(),
            reloads: &ReloadStatistics::default(),
            sandbox: &[],
            build: &Build::default(),
            boot_time_seconds: 0.0,
            log_lines_suppressed: 0,
        });
        self.joiner.join(Some(&part), None)
    }
}

/// The facts that `/proc` would show.
fn facts(id: ProcessId) -> Facts {
    let comm = comm(id.tgid);
    let len = comm.iter().position(|byte| *byte == 0);
    let comm = comm[..len.unwrap_or(comm.len())].to_vec();
    Facts {
        tgid: id.tgid,
        start_ns: id.start_ns,
        argv: [&comm].into_iter().collect(),
        comm,
        uid: Some(0),
        username: "0".to_owned(),
        cgroups: vec!["/system.slice/replay.service".to_owned()],
        ..Facts::default()
    }
}

fn source() -> SourceStatistics {
    SourceStatistics {
        tier: Tier::Iterator,
        facts: Fact::ALL
            .iter()
            .filter(|fact| !matches!(fact, Fact::Proportional | Fact::RunQueueLatency))
            .map(|fact| {
                (
                    *fact,
                    fact.origin(Tier::Iterator, Some(ExitHook::Release), false),
                )
            })
            .collect(),
        ..SourceStatistics::default()
    }
}

/// Gives one read after the other.
struct Reads<'a>(std::slice::Iter<'a, Vec<u8>>);

impl io::Read for Reads<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(read) = self.0.next() else {
            return Ok(0);
        };
        buffer[..read.len()].copy_from_slice(read);
        Ok(read.len())
    }
}

/// Every process has three descriptors and waits.
struct Waits;

impl Probe for Waits {
    fn open_files(&mut self, _: u32) -> Option<u64> {
        Some(3)
    }

    fn wchan(&mut self, _: u32, _: u32) -> Option<String> {
        Some("do_wait".to_owned())
    }

    fn memory(&mut self, _: u32) -> Option<Memory> {
        None
    }
}
