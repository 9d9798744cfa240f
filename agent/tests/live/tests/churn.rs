//! Processes that live shorter than any scrape interval: each counted, and its CPU time in full.

use super::{border_ns, sum_within, within};
use crate::agent::Agent;
use crate::group::Lives;
use crate::guest::scaled;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{EXACT, ITERATOR, PROCFS, Tier};

table![
    short_processes_are_each_counted_with_their_cpu_time for EXACT,
    ends_without_final_totals_are_billed_by_the_second_scrape for &[&ITERATOR],
    sampling_counts_no_short_process_twice for &[&PROCFS],
];

const COUNT: u64 = 2000;
/// CPU time of each process, and how many have it.
const LENGTHS_NS: [(u64, u64); 3] = [(5_000_000, COUNT / 2), (1_000_000, COUNT), (0, COUNT)];

fn short_processes_are_each_counted_with_their_cpu_time(tier: &'static Tier) {
    let agent = Agent::start(tier);
    for (ns, count) in LENGTHS_NS {
        by_exec(&agent, tier, ns, scaled(count));
        by_fork(&agent, tier, ns, scaled(count));
    }
}

/// The children's images are a program of their own, so a group of their own.
fn by_exec(agent: &Agent, tier: &Tier, ns: u64, count: u64) {
    let (parent, child) = (Program::new("paren"), Program::new("child"));
    let report = parent.run(
        "churn",
        &[&count.to_string(), &ns.to_string(), child.path_text()],
    );
    let children_ns = report.of("children_ns");
    let children = Lives {
        execs: count,
        ..Lives::of(&report)
    };
    let forker = Lives {
        forks: count,
        ..Lives::ONE_PROGRAM
    };
    agent.await_settled(|samples| {
        children.check(&samples.group(&child.name))?;
        forker.check(&samples.group(&parent.name))?;
        within(agent, tier, &samples.group(&child.name), count, children_ns)?;
        let parent_ns = report.reaped.cpu_ns - children_ns;
        within(agent, tier, &samples.group(&parent.name), 1, parent_ns)
    });
}

/// The children share their parent's image, so its group.
fn by_fork(agent: &Agent, tier: &Tier, ns: u64, count: u64) {
    let program = Program::new("bare");
    let report = program.run("churn", &[&count.to_string(), &ns.to_string()]);
    let all = Lives {
        forks: count,
        execs: 1,
        success: report.of("success") + 1,
        ..Lives::of(&report)
    };
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        all.check(&group)?;
        within(agent, tier, &group, count + 1, report.reaped.cpu_ns)
    });
}

/// Sampling counts nothing twice, and does not pretend to know births and deaths.
fn sampling_counts_no_short_process_twice(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let count = scaled(COUNT) / 10;
    let program = Program::new("bare");
    let report = program.run("churn", &[&count.to_string(), "1000000"]);
    let samples = agent.scrape();
    let group = samples.group(&program.name);
    within(&agent, tier, &group, count, report.reaped.cpu_ns).unwrap();
    for family in [
        "forks_total",
        "execs_total",
        "exits_total",
        "oom_kills_total",
    ] {
        let name = format!("namedprocess_namegroup_{family}");
        assert_eq!(samples.series(&name).count(), 0, "{name}");
    }
}

/// Some final totals come after a grace period, and the kernel leaves some out; the test waits for neither.
fn ends_without_final_totals_are_billed_by_the_second_scrape(tier: &'static Tier) {
    const NS: u64 = 40_000_000;
    let agent = Agent::start(tier);
    let count = scaled(60);
    let program = Program::new("untol");
    let report = program.run("churn", &[&count.to_string(), &NS.to_string()]);
    agent.scrape();
    let samples = agent.scrape();
    let pending = samples.the("headcount_processes", &[("state", "pending")]);
    // The totals in an exit record are as fresh as the last tick.
    let untold_ns = pending.min(count as f64) * border_ns();
    let found_ns = samples.group(&program.name).cpu_ns() + untold_ns;
    let true_ns = report.reaped.cpu_ns;
    let found_ns = found_ns.min(true_ns as f64);
    sum_within(&agent, tier, &samples, found_ns, count + 1, true_ns).unwrap();
}
