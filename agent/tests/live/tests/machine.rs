//! What happens to a whole machine, so to an emulated one only: its clock is set, and a CPU goes and comes back. Counting
//! notices neither.

use super::{rise, sum_within, within};
use crate::{
    agent::Agent,
    exposition::Samples,
    group::Lives,
    process,
    program::{Program, Report, Running},
    runner::table,
    tier::{TYPED, Tier},
};
use std::{fs, path::Path, time::Duration};

// Not on tracepoints: their clock and the scheduler's are far enough apart in emulation for the self-test to fail.
table![the_clock_is_set for TYPED, a_cpu_goes_and_comes_back for TYPED];

const HOUR: i64 = 3600;
/// Lives of the churn under which it happens, and CPU time of each.
const LIVES: u64 = 400;
const LIFE_NS: u64 = 1_000_000;
/// How far a start time may be off: whole seconds, and what passes between two looks at an emulated machine.
const START_SECONDS: f64 = 10.0;

/// Programs that come and go, and what must be known of them afterwards.
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

    /// It must still be under way: what happened, happened under it.
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
            // A child that a look finds before its exec is its parent's up to then.
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
        all_is_well(agent, &samples);
    }
}

/// Nothing was lost, every collector works, and no time that is told is one that cannot be.
fn all_is_well(agent: &Agent, samples: &Samples) {
    let health = agent.ask("/health");
    assert!(health.contains(r#""status":"ok""#), "{health}");
    for family in ["lost", "coarse"] {
        let name = format!("headcount_events_{family}_total");
        assert_eq!(samples.the(&name, &[]), 0.0, "{name}");
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

/// By an hour forward, and back. A program that starts then has started by the clock that now is.
fn the_clock_is_set(tier: &'static Tier) {
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
        let now = process::wall_clock().as_secs_f64();
        for started in [
            oldest_start(&samples, &resident),
            oldest_start(&samples, &young),
            samples.the("process_start_time_seconds", &[]),
        ] {
            let since = now - started;
            let age = (-START_SECONDS..HOUR as f64 / 2.0).contains(&since);
            assert!(age, "started {since} s ago, after a step of {step} s");
        }
        all_is_well(&agent, &samples);
        drop(running);
        last = agent.scrape();
    }
    drop(older);
    churn.finish(&agent, tier);
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
fn a_cpu_goes_and_comes_back(tier: &'static Tier) {
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
        all_is_well(&agent, &without);
        drop(taken);
        assert!(SecondCpu::is_there());
        last = churn.await_more(&agent, &without);
        rise::check(&without, &last);
    }
    let used_ns = busy.await_line("cpu_ns");
    let low_ns = tier.least_alive(used_ns as f64);
    agent.await_that(|samples| {
        let found_ns = samples.group(&program.name).cpu_ns();
        super::between(found_ns, low_ns, f64::MAX)
    });
    let report = busy.finish();
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        within(&agent, tier, &group, 1, report.reaped.cpu_ns)
    });
    churn.finish(&agent, tier);
}
