//! Changes of a whole machine, so of an emulated one only: its clock is set, and a CPU goes off and comes back. Neither changes
//! any count.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{between, rise, sum_within, within};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::group::Lives;
use crate::process;
use crate::program::{Program, Report, Running};
use crate::runner::table;
use crate::tier::{EXACT, PROCFS, Tier};

table![
    the_clock_that_is_set_changes_no_count for EXACT,
    cpu_that_goes_off_and_comes_back_changes_no_count for EXACT,
    the_clock_and_the_cpus_change_no_sampled_count for &[&PROCFS],
];

const HOUR: i64 = 3600;
/// Lives of the churn under which it happens, and CPU time of each.
const LIVES: u64 = 400;
const LIFE_NS: u64 = 1_000_000;
/// Uses both CPUs. The values in `/proc` later are within a few ticks.
const SPIN_BOTH: &str = "spin-threads 2 300000000";
/// How far a start time may be off: whole seconds, and the time between two looks at an emulated machine.
const START_SECONDS: f64 = 10.0;

/// Programs that come and go, and the counts that they must have afterwards.
struct Churn {
    parent: Program,
    child: Program,
    running: Running,
}

impl Churn {
    fn start() -> Self {
        let (parent, child) = (Program::new("machP"), Program::new("machC"));
        let arguments = [&*LIVES.to_string(), &LIFE_NS.to_string(), child.path_text()];
        Self {
            running: parent.start("churn", &arguments),
            parent,
            child,
        }
    }

    /// Returns when so many more of them have lived than `before` knows.
    fn await_more(&self, agent: &Agent, before: &Samples) -> Samples {
        let seen = before.group(&self.child.name).execs();
        agent.await_that(|samples| {
            let execs = samples.group(&self.child.name).execs();
            let is_more = execs >= seen + LIVES as f64 / 20.0;
            is_more
                .then_some(())
                .ok_or_else(|| format!("{execs} lives"))
        })
    }

    /// It must still be under way, so that all events happened during it.
    fn finish(self, agent: &Agent, tier: &Tier) {
        assert!(!self.running.has_ended(), "all had lived before");
        let Self {
            parent,
            child,
            running,
        } = self;
        let report: Report = running.finish();
        let children = Lives {
            execs: LIVES,
            ..Lives::of(&report)
        };
        let forker = Lives {
            forks: LIVES,
            ..Lives::ONE_PROGRAM
        };
        let samples = agent.await_settled(|samples| {
            let (forked, ran) = (samples.group(&parent.name), samples.group(&child.name));
            forker.check(&forked)?;
            children.check(&ran)?;
            // If a pass finds a child before its exec, the use up to then belongs to the parent's group.
            let sum_ns = forked.cpu_ns() + ran.cpu_ns();
            sum_within(
                agent,
                tier,
                samples,
                sum_ns,
                LIVES + 1,
                report.reaped.cpu_ns,
            )
        });
        all_is_well(agent, tier, &samples);
    }
}

/// Nothing was lost, every collector works, and no shown time is impossible. Preemptible kernels leave out runs of programs on
/// classic tracepoints (21 were seen); the agent counts them, and [`Lives::check`] includes that count.
fn all_is_well(agent: &Agent, tier: &Tier, samples: &Samples) {
    let mut complaints = agent.complaints(tier);
    if tier.without_types {
        complaints.retain(|reason| !reason.contains("records were lost"));
    }
    assert!(complaints.is_empty(), "{complaints:?}");
    if tier.has_events {
        let most = if tier.without_types { LIVES / 4 } else { 0 } as f64;
        let lost = samples.the("headcount_events_lost_total", &[]);
        assert!(lost <= most, "{lost} records are lost");
        assert_eq!(samples.the("headcount_events_coarse_total", &[]), 0.0);
    }
    let mut collectors = 0;
    for (labels, success) in samples.series("headcount_collector_success") {
        assert_eq!(success, 1.0, "{labels:?}");
        collectors += 1;
    }
    assert!(collectors > 0);
    let took: f64 = samples
        .series("headcount_collector_duration_seconds_sum")
        .map(|(_, seconds)| seconds)
        .sum();
    assert!((0.0..HOUR as f64 / 2.0).contains(&took), "{took} s");
}

/// By an hour forward, and back. The start of a program that starts afterwards follows the new clock.
fn the_clock_that_is_set_changes_no_count(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let churn = Churn::start();
    let resident = Program::new("older");
    let older = resident.work();
    let mut last = churn.await_more(&agent, &agent.scrape());
    for step in [HOUR, -HOUR] {
        process::set_clock(step);
        let young = Program::new("young");
        let running = young.work();
        let samples = churn.await_more(&agent, &last);
        rise::check(&last, &samples);
        all_started_lately(&samples, &[&resident, &young]);
        all_is_well(&agent, tier, &samples);
        drop(running);
        last = agent.scrape();
    }
    drop(older);
    churn.finish(&agent, tier);
}

/// After the clock was set, starts follow the new clock.
fn all_started_lately(samples: &Samples, programs: &[&Program]) {
    let now = process::wall_clock().as_secs_f64();
    let agent = samples.the("process_start_time_seconds", &[]);
    let starts = programs
        .iter()
        .map(|program| oldest_start(samples, program));
    for started in starts.chain([agent]) {
        let since = now - started;
        let is_right = (-START_SECONDS..HOUR as f64 / 2.0).contains(&since);
        assert!(is_right, "started {since} s ago");
    }
}

fn oldest_start(samples: &Samples, program: &Program) -> f64 {
    samples
        .group(&program.name)
        .value("oldest_start_time_seconds")
}

/// The second CPU. Dropping it brings it back.
struct SecondCpu;

impl SecondCpu {
    const ONLINE: &'static str = "/sys/devices/system/cpu/cpu1/online";

    fn take_away() -> Self {
        fs::write(Self::ONLINE, "0").unwrap();
        Self
    }

    fn is_there() -> bool {
        fs::read_to_string(Path::new(Self::ONLINE)).unwrap().trim() == "1"
    }
}

impl Drop for SecondCpu {
    fn drop(&mut self) {
        fs::write(Self::ONLINE, "1").unwrap();
    }
}

/// Twice, under short programs and one that keeps both CPUs busy.
fn cpu_that_goes_off_and_comes_back_changes_no_count(tier: &'static Tier) {
    const SPIN: Duration = Duration::from_millis(1500);
    let agent = Agent::start(tier);
    let churn = Churn::start();
    let program = Program::new("busy");
    let mut busy = program.work();
    busy.tell(&format!("spin-threads 2 {}", SPIN.as_nanos()));
    let mut last = churn.await_more(&agent, &agent.scrape());
    for _ in 0..2 {
        let taken = SecondCpu::take_away();
        assert!(!SecondCpu::is_there());
        let without = churn.await_more(&agent, &last);
        rise::check(&last, &without);
        all_is_well(&agent, tier, &without);
        drop(taken);
        assert!(SecondCpu::is_there());
        last = churn.await_more(&agent, &without);
        rise::check(&without, &last);
    }
    let used_ns = busy.await_line("cpu_ns");
    let low_ns = tier.least_alive(used_ns as f64);
    agent.await_that(|samples| {
        let found_ns = samples.group(&program.name).cpu_ns();
        between(found_ns, low_ns, f64::MAX)
    });
    let report = busy.finish();
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        within(&agent, tier, &group, 1, report.reaped.cpu_ns)
    });
    churn.finish(&agent, tier);
}

/// The sampling tier sees no short processes: one process stays, and uses both CPUs after each change.
fn the_clock_and_the_cpus_change_no_sampled_count(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("stays");
    let mut running = program.work();
    let mut told_ns = running.ask(SPIN_BOTH);
    let mut last = agent.scrape();
    let mut goes_on = || {
        let before_ns = last.group(&program.name).cpu_ns();
        let tells_ns = running.ask(SPIN_BOTH);
        let used_ns = (tells_ns - told_ns) as f64;
        told_ns = tells_ns;
        let now = agent.scrape();
        let found_ns = now.group(&program.name).cpu_ns() - before_ns;
        between(found_ns, 0.9 * used_ns, 1.1 * used_ns).unwrap();
        rise::check(&last, &now);
        all_is_well(&agent, tier, &now);
        all_started_lately(&now, &[&program]);
        last = now;
    };
    for step in [HOUR, -HOUR] {
        process::set_clock(step);
        goes_on();
    }
    let taken = SecondCpu::take_away();
    goes_on();
    drop(taken);
    goes_on();
}
