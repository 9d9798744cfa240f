//! The agent's metrics about itself agree with the kernel's, for any client and any interval.
//!
//! Each scrape stands between two readings of the agent's own `/proc/<pid>/stat`, so that nothing is compared with a value of
//! another moment.

#![allow(clippy::unwrap_used)] // clippy takes only #[test] functions for tests

mod support;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use support::agent::{Agent, Launch, ask, until};
use support::fake_proc::FakeProc;
use support::scrape::Scrape;

/// Pauses between scrapes, far apart: errors of other exporters grew or shrank with the interval.
const INTERVALS: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(1000),
];
/// Scrapes of each interval.
const SCRAPES: usize = 3;

/// A node whose scrapes cost something.
fn start() -> (FakeProc, Agent) {
    let tree = FakeProc::new(1_600_000_000);
    for pid in 10..210 {
        let comm = format!("fake-{pid}");
        tree.process(pid).comm(&comm).argv(&[&comm]).write();
    }
    // Readers of proportional memory have files open when they like.
    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "-gather-smaps=false"])
        .start();
    (tree, agent)
}

/// The program that a thread scrapes.
#[derive(Clone, Copy)]
struct Target {
    address: SocketAddr,
    pid: u32,
}

impl Target {
    fn of(agent: &Agent) -> Self {
        Self {
            address: agent.address,
            pid: agent.pid(),
        }
    }
}

/// Fields 14 and 15 of the agent's stat file, clock ticks.
fn stat_ticks(target: Target) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", target.pid)).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields = rest.split(' ').skip(14 - 3).take(2);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}

fn ticks_per_second() -> f64 {
    // SAFETY: takes and gives plain numbers.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

/// Scrapes, and demands that the CPU counter is the stat file's within a tick. The counter is finer than a tick: its whole
/// ticks are compared.
fn scrape_between_readings(target: Target) -> Scrape {
    let before = stat_ticks(target) as f64;
    let scrape = Scrape::parse(ask(target.address, "/metrics").body);
    let after = stat_ticks(target) as f64;
    let shown = shown_cpu(&scrape);
    let ticks = (shown * ticks_per_second()).floor();
    assert!(
        before - 1.0 <= ticks && ticks <= after + 1.0,
        "{before} <= {ticks} <= {after} clock ticks"
    );
    scrape
}

/// The counter in seconds, by both of its names.
fn shown_cpu(scrape: &Scrape) -> f64 {
    let own = scrape.value("headcount_process_cpu_seconds_total", &[]);
    assert_eq!(own, scrape.value("process_cpu_seconds_total", &[]));
    own.unwrap()
}

#[test]
fn the_cpu_counter_is_the_stat_file_s_at_any_interval() {
    let (_tree, agent) = start();
    let target = Target::of(&agent);
    let mut last = 0.0;
    for interval in INTERVALS {
        for _ in 0..SCRAPES {
            thread::sleep(interval);
            let shown = shown_cpu(&scrape_between_readings(target));
            assert!(shown > last, "a scrape costs something: {last} {shown}");
            last = shown;
        }
    }
}

#[test]
fn the_cpu_counter_is_the_stat_file_s_with_two_scrapers_and_shows_what_was_burnt() {
    let (_tree, agent) = start();
    let target = Target::of(&agent);
    let first = shown_cpu(&scrape_between_readings(target));
    let from = stat_ticks(target);
    thread::scope(|scope| {
        for _ in 0..2 {
            // Each client sees the CPU time that the other one causes.
            scope.spawn(|| {
                until("10 ticks of the agent", || {
                    scrape_between_readings(target);
                    stat_ticks(target) >= from + 10
                });
            });
        }
    });
    let shown = shown_cpu(&scrape_between_readings(target));
    assert!(
        (shown - first) * ticks_per_second() >= 9.0,
        "{first} {shown}"
    );
}

#[test]
fn start_descriptors_and_threads_are_those_of_its_own_files() {
    let (_tree, agent) = start();
    let scrape = agent.scrape();
    let own = |name: &str| {
        let value = scrape.value(&format!("headcount_process_{name}"), &[]);
        assert_eq!(value, scrape.value(&format!("process_{name}"), &[]));
        value.unwrap()
    };
    let folder = format!("/proc/{}", agent.pid());
    let stat = std::fs::read_to_string(format!("{folder}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks: f64 = rest.split(' ').nth(22 - 3).unwrap().parse().unwrap();
    // The boot time is the tree's: `-procfs` names the tree.
    let expected = 1_600_000_000.0 + ticks / ticks_per_second();
    assert!((own("start_time_seconds") - expected).abs() < 1e-3);
    let limits = std::fs::read_to_string(format!("{folder}/limits")).unwrap();
    let limit = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft: f64 = limit
        .unwrap()
        .split_ascii_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(own("max_fds"), soft);
    let open = std::fs::read_dir(format!("{folder}/fd")).unwrap().count() as f64;
    // The connection of the scrape was open then and may be closed now.
    assert!(
        (open..=open + 1.0).contains(&own("open_fds")),
        "{open} {}",
        own("open_fds")
    );
    assert!(own("threads") >= 1.0 && own("resident_memory_bytes") < own("virtual_memory_bytes"));
}
