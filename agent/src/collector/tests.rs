//! Tests of all collectors over two groups, with the whole body compared, and of a collector that fails.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::group::{Gauges, Group, ThreadNames, ThreadUse};
use crate::process::{self, Delta, IoAccess, Lifecycle, Proportional, Tally};
use crate::source::{
    Balances, ExitHook, Fact, HiddenStatistics, KernelTotals, MapStatistics, Origin,
    ProgramStatistics, RunQueueStatistics, RunQueueWaits, SelfTest, Sides, SmapsStatistics,
    SourceStatistics, Tier,
};

pub(super) fn busy() -> Group {
    let delta = Delta {
        user_ns: 1_500_000_001,
        system_ns: 20_000_000,
        read_bytes: 1 << 60,
        write_bytes: 4096,
        io_access: IoAccess::Read,
        major_faults: 7,
        minor_faults: 8,
        voluntary_switches: 9,
        nonvoluntary_switches: 10,
        run_queue_wait_ns: 250_000_000,
    };
    let lifecycle = Lifecycle {
        forks: 11,
        execs: 12,
        exits_success: 13,
        exits_failure: 14,
        exits_signal: 15,
        exits_unknown: 0,
        oom_kills: 1,
    };
    let gauges = Gauges {
        processes: 2,
        resident_bytes: 8_065_024,
        virtual_bytes: 17_174_528,
        swapped_bytes: 10_240,
        proportional: Some(Proportional {
            resident_bytes: 4096,
            swapped_bytes: 1024,
        }),
        open_files: 5,
        worst_fd_ratio: 0.0048828125,
        oldest_start_ns: Some(3_242_190_000_000),
        threads: 3,
        states: [1, 2, 0, 0, 0],
        wchans: [("do_poll".to_owned(), 1), ("futex_wait".to_owned(), 1)].into(),
    };
    let worker = ThreadUse {
        threads: 2,
        used: delta,
    };
    let gone = ThreadUse {
        threads: 0,
        used: delta,
    };
    let by_name = [("w\u{FFFD}".to_owned(), worker), ("gone".to_owned(), gone)];
    Group {
        id: 7,
        name: "a\"b\\c\nd\u{FFFD}".to_owned(),
        labels: Vec::new(),
        total: Tally { delta, lifecycle },
        gauges,
        threads: ThreadNames::from_iter(by_name),
        network: Some(Box::new(network_tests::network())),
        requests: Some(Box::new(requests::tests::tally())),
        requests_in_flight: 1,
        servers: vec![requests::tests::server()],
        ..Group::default()
    }
}

/// Run-queue waits of the busy group; the empty group has none.
fn run_queue() -> RunQueueStatistics {
    let mut waits = RunQueueWaits {
        sum_ns: 2_500_001_000,
        ..RunQueueWaits::default()
    };
    (waits.buckets[0], waits.buckets[12], waits.buckets[21]) = (3, 4, 1);
    RunQueueStatistics {
        by_group: [(7, waits)].into(),
        unknown: RunQueueWaits::default(),
        missed: 61,
        full: 62,
    }
}

pub(super) fn source() -> SourceStatistics {
    SourceStatistics {
        tier: Tier::Iterator,
        exit_hook: Some(ExitHook::Free),
        self_test: SelfTest::Passed,
        facts: Fact::ALL.iter().map(|fact| (*fact, Origin::Bpf)).collect(),
        programs: vec![
            ProgramStatistics {
                name: "fork",
                attached: true,
                run_count: Some(3),
                run_time_ns: Some(1000),
            },
            ProgramStatistics {
                name: "release",
                ..ProgramStatistics::default()
            },
        ],
        maps: vec![MapStatistics {
            name: "ring",
            used: 1,
            peak: 3,
            capacity: 4,
        }],
        kernel: Some(KernelTotals {
            forks: 1,
            execs: 2,
            exits: 3,
            exited_cpu_ns: 4_000_000_000,
        }),
        balances: Balances {
            cpu_ns: Some(Sides {
                accounted: 47_000_000_000,
                node: 48_000_000_000,
            }),
            taken_cpu_ns: Some(1_500_000_000),
            creations: Some(Sides {
                accounted: 49,
                node: 60,
            }),
        },
        events_received: 20,
        events_overflowed: 21,
        events_coarse: 22,
        events_lost: 23,
        lost_cpu_ns: 24_000_000,
        switch_map_full: 25,
        switch_unseen_ns: None,
        run_queue: Some(run_queue()),
        udp_missed: Some(63),
        smaps: Some(SmapsStatistics {
            readings: 29,
            failures: 35,
            waiting: 36,
            held_up: 37,
            refused: 47,
            oldest_age_ns: Some(38_500_000_000),
        }),
        hidden: Some(HiddenStatistics {
            read: 45,
            omitted: 46,
        }),
        scrape_errors: 26,
        procread_errors: 27,
        partial_errors: 28,
        held_up: 40,
        reads_refused: 48,
        pod_link_failures: Some(39),
    }
}

/// Calls `test` with a view of a busy group, an empty one, and `source`.
pub(super) fn with_view<T>(source: &SourceStatistics, test: impl FnOnce(&View<'_>) -> T) -> T {
    let empty = Group {
        name: "empty".to_owned(),
        ..Group::default()
    };
    with_groups(&[busy(), empty], source, test)
}

/// Calls `test` with a view of `groups` and `source`.
pub(super) fn with_groups<T>(
    groups: &[Group],
    source: &SourceStatistics,
    test: impl FnOnce(&View<'_>) -> T,
) -> T {
    test(&View {
        groups,
        processes: &process::TableStatistics {
            live: 30,
            pending: 31,
            unconfirmed: 32,
            late_ignored: 33,
            unannounced: 34,
            dropped_cpu_ns: 35_000_000_000,
            announced_late: 0,
            network: Some(network_tests::books()),
            requests: Some(requests::tests::books()),
        },
        source,
        group_statistics: &crate::group::GroupStatistics {
            overflowed: 40,
            threads_overflowed: 44,
            folded_groups: 45,
            folded_threads: 46,
            unattributed_cpu_ns: 41_000_000_000,
            incomplete: 42,
            cut: 45,
            deferred: 46,
            names_cut: 47,
            accounts: 43,
            booked_cpu_ns: 0,
            booked_forks: 0,
            coarse_forks: 0,
            booked_payload: network_tests::payload(4900, 4900),
            ungrouped_payload: network_tests::payload(96, 97),
            servers_omitted: 98,
        },
        gunicorn: Some(&gunicorn::tests::gunicorn()),
        serving: &ServingStatistics {
            connections: 50,
            rejected: 51,
            evicted: 52,
            accept_errors: 53,
            handshake_failures: 57,
            reload_failures: 58,
            requests: vec![("200", 54), ("404", 55)],
            unsent: UnsentStatistics {
                bytes: 67,
                max_bytes: 68,
                unread: 69,
                delayed_passes: 70,
            },
            timeouts: vec![("header", 56)],
            limits: ServingLimits {
                connections: 61,
                header_bytes: 62,
                header_lines: 63,
                seconds: vec![("header", 6.5), ("drain", 66.0)],
            },
        },
        reloads: &ReloadStatistics {
            is_successful: true,
            success_unix_seconds: 1_508_450_400.25,
            failures: 59,
        },
        sandbox: &[("http", "seccomp", true), ("http", "landlock", false)],
        build: &Build {
            version: "1.2.3",
            revision: "abc",
            rustversion: "1.95.0",
            target: "t",
        },
        boot_time_seconds: 1_508_450_329.0,
        log_lines_suppressed: 60,
    })
}

/// The exposition of the parts of state and server.
pub(super) fn exposition(
    state: &mut Collectors,
    assembler: &mut Assembler,
    view: &View<'_>,
) -> String {
    let part = state.collect(view);
    let mut arrived = Arrived::default();
    arrived.add(&part);
    String::from_utf8(assembler.exposition(view, arrived)).unwrap()
}

/// The body of all collectors except `self`, and without the counts of runs: their values differ from run to run.
pub(super) fn body(source: &SourceStatistics) -> String {
    let runs = Runs::new().unwrap();
    let of = |part: PartOf| {
        let collectors =
            all(&runs).filter(|collector| collector.part() == part && collector.name() != "self");
        Collectors::with(collectors.collect(), &runs)
    };
    let names = all(&runs)
        .filter(|collector| collector.part() != PartOf::Targets)
        .map(|collector| collector.name())
        .filter(|name| *name != "self");
    let mut assembler = Assembler::with(of(PartOf::Server), names.collect(), &runs);
    let mut state = of(PartOf::State);
    let body = with_view(source, |view| exposition(&mut state, &mut assembler, view));
    let of_runs = Runs::descriptors();
    let is_of_runs = |line: &str| {
        let line = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        of_runs.iter().any(|one| line.starts_with(one.name))
    };
    let lines = body.lines().filter(|line| !is_of_runs(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The descriptors of all collectors but those of targets.
fn described(runs: &Runs) -> Vec<&'static Descriptor> {
    let own = all(runs).filter(|collector| collector.part() != PartOf::Targets);
    own.flat_map(|collector| collector.descriptors()).collect()
}

pub(super) fn families(body: &str) -> HashSet<&str> {
    let heads = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    heads.map(|head| head.split(' ').next().unwrap()).collect()
}

#[test]
fn the_whole_body_for_two_groups() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/collector/expected.prom");
    let body = body(&source());
    if std::env::var_os("HEADCOUNT_ACCEPT").is_some() {
        std::fs::write(path, &body).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    assert_eq!(body, expected, "HEADCOUNT_ACCEPT=1 takes the new body");
}

#[test]
fn families_without_a_source_are_left_out() {
    let all = body(&source());
    let procfs = SourceStatistics {
        facts: vec![(Fact::Cpu, Origin::Procfs), (Fact::Io, Origin::Absent)],
        ..SourceStatistics::default()
    };
    let some = body(&procfs);
    assert!(families(&some).is_subset(&families(&all)));
    assert_eq!(
        families(&some)
            .iter()
            .filter(|name| name.contains("namegroup"))
            .count(),
        2,
        "process count and start: {some}"
    );
    assert!(!some.contains("headcount_events") && !some.contains("headcount_kernel"));
    assert!(some.contains("headcount_accounting_info{exit_hook=\"none\",tier=\"procfs\"} 1\n"));
    assert!(some.contains("headcount_source_info{fact=\"io\",source=\"absent\"} 1\n"));
}

#[test]
fn without_run_queue_latency_no_family_shows_it() {
    let off = SourceStatistics {
        run_queue: None,
        facts: Vec::new(),
        ..source()
    };
    let body = body(&off);
    let about = |line: &&str| line.contains("latency") || line.contains("runqueue");
    let found: Vec<_> = body.lines().filter(about).collect();
    assert_eq!(
        found,
        ["headcount_collector_success{collector=\"runqueue\"} 1"]
    );
}

#[test]
fn the_collector_self_counts_all_samples_and_shows_only_described_families() {
    let runs = Runs::new().unwrap();
    let mut state = Collectors::of(PartOf::State, &runs);
    let mut assembler = Assembler::new(&runs, &[]);
    let source = source();
    for scrape in 1..=2 {
        let body = with_view(&source, |view| exposition(&mut state, &mut assembler, view));
        let samples = body.lines().filter(|line| !line.starts_with('#')).count();
        assert!(
            body.contains(&format!("\nheadcount_exposed_samples {samples}\n")),
            "{body}"
        );
        assert!(
            body.contains(&format!("\nheadcount_scrapes_total {scrape}\n")),
            "{body}"
        );
        // The sum and the count of one histogram have no labels, but belong to a family with labels.
        let labelled = body.lines().filter(|line| line.contains("} ")).count() + 2;
        assert_eq!(sum(&body, "headcount_exposed_series{"), labelled as f64);
        let names = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        assert!(names.is_sorted());
        let described: HashSet<_> = described(&runs)
            .iter()
            .map(|descriptor| descriptor.name)
            .collect();
        // These families belong to another tier than that of this view.
        let unseen: Vec<_> = described.difference(&families(&body)).copied().collect();
        let of_tiers = [
            "headcount_switch_map_full_total",
            "headcount_switch_unseen_seconds_total",
        ];
        assert_eq!(unseen.len(), of_tiers.len());
        assert!(of_tiers.iter().all(|name| unseen.contains(name)));
        assert!(families(&body).is_subset(&described));
    }
    for collector in ["self", "build", "web", "namegroup"] {
        assert_eq!(runs.count(collector, RunOutcome::Success), 2, "{collector}");
    }
}

fn sum(body: &str, start: &str) -> f64 {
    body.lines()
        .filter(|line| line.starts_with(start))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

#[test]
fn descriptors_are_unique_and_well_formed() {
    let runs = Runs::new().unwrap();
    let mut seen = HashSet::new();
    for descriptor in all(&runs).flat_map(|collector| collector.descriptors()) {
        let name = descriptor.name;
        assert!(seen.insert(name), "{name} twice");
        assert!(
            descriptor.labels.is_sorted(),
            "{name}: labels in alphabetical order"
        );
        assert!(descriptor.help.ends_with('.'), "{name}: help is a sentence");
        let is_counter = descriptor.kind == crate::exposition::Kind::Counter;
        // Names of exporters that this agent replaces.
        let old_name =
            name.starts_with("namedprocess_scrape_") || name == "passenger_go_process_processed";
        assert_eq!(name.ends_with("_total"), is_counter && !old_name, "{name}");
    }
}

#[test]
fn no_item_can_have_a_label_that_families_of_groups_have() {
    let labels = namegroup::NameGroup::new(&std::sync::Arc::default()).descriptors();
    let labels = labels.iter().flat_map(|descriptor| descriptor.labels);
    for label in labels {
        assert!(
            crate::config::OWN_LABELS.contains(label),
            "{label}: add it to OWN_LABELS"
        );
    }
}

/// A collector that writes one sample and then ends as its function says.
#[derive(Debug)]
struct Failing(Ending);

type Ending = fn() -> Result<(), CollectorError>;

pub(super) static HALF: Descriptor = Descriptor {
    name: "half",
    kind: crate::exposition::Kind::Gauge,
    help: "Half.",
    labels: &[],
    unit: "-",
    source: "-",
    fallback: "-",
};

impl Collector for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn descriptors(&self) -> Vec<&'static Descriptor> {
        vec![&HALF]
    }

    fn collect(&mut self, _: &View<'_>, out: &mut Writer) -> Result<(), CollectorError> {
        out.family(&HALF).sample(&[], 1_u64);
        (self.0)()
    }
}

pub(super) fn successes(body: &str) -> HashMap<&str, u64> {
    let samples = body.lines().filter_map(|line| {
        let rest = line.strip_prefix("headcount_collector_success{collector=\"")?;
        rest.split_once("\"} ")
    });
    samples
        .map(|(collector, value)| (collector, value.parse().unwrap()))
        .collect()
}

#[test]
fn failing_collector_takes_back_only_its_own_families() {
    let cases: [(Ending, RunOutcome); 2] = [
        (
            || Err(CollectorError::Malformed { path: "/x" }),
            RunOutcome::Error,
        ),
        (|| panic!("a surprise"), RunOutcome::Cancelled),
    ];
    for (fail, outcome) in cases {
        let runs = Runs::new().unwrap();
        let all: Vec<Box<dyn Collector>> = vec![
            Box::new(Failing(fail)),
            MetricTable::boxed(PartOf::State, "scrape", scrape::METRICS),
        ];
        let mut state = Collectors::with(all, &runs);
        let names = vec!["failing", "scrape"];
        let mut assembler = Assembler::with(Collectors::with(Vec::new(), &runs), names, &runs);
        let body = with_view(&source(), |view| {
            exposition(&mut state, &mut assembler, view)
        });
        assert!(body.contains("namedprocess_scrape_errors 26\n") && !body.contains("\nhalf"));
        for (collector, success) in [("failing", 0), ("scrape", 1)] {
            assert_eq!(successes(&body)[collector], success, "{body}");
        }
        for (other, _) in RunOutcome::ALL {
            let expected = u64::from(other == outcome);
            assert_eq!(runs.count("failing", other), expected, "{other:?}");
        }
    }
}
