//! Processes that live shorter than any scrape interval: each counted, and its CPU time in full.

use crate::{
    agent::Agent,
    exposition::Samples,
    group::Lives,
    guest::scaled,
    program::{Program, Report},
    runner::table,
    tier::{EXACT, ITERATOR, LAST_SWITCH_NS, PROCFS, SWITCH, TICK_NS, Tier},
};

table![
    short_processes_iterator,
    short_processes_switch,
    short_processes_procfs,
    each_image_gets_its_share,
    self_test_passes,
];

const COUNT: u64 = 2000;
/// CPU time of each process.
const LENGTHS_NS: [u64; 3] = [5_000_000, 1_000_000, 0];

/// Whether a group's CPU is what `wait4` said of the `count` processes that used it.
pub(super) fn check_cpu(
    samples: &Samples,
    agent: &Agent,
    tier: &Tier,
    name: &str,
    count: u64,
    true_ns: u64,
) -> Result<(), String> {
    let found = samples.group(name).cpu_ns();
    let slack = match agent.rung() {
        Some("free") => LAST_SWITCH_NS * count as f64,
        _ => 0.0,
    };
    let low = tier.low * true_ns as f64;
    let high = tier.high * true_ns as f64 + slack;
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(format!(
        "group {name}: {found} ns of CPU, wait4 says {true_ns}, expected {low} to {high} ({})",
        tier.name
    ))
}

fn short_processes_iterator() {
    short_processes(&ITERATOR);
}

fn short_processes_switch() {
    short_processes(&SWITCH);
}

fn short_processes(tier: &Tier) {
    let agent = Agent::start(tier);
    for ns in LENGTHS_NS {
        by_exec(&agent, tier, ns);
        by_fork(&agent, tier, ns);
    }
}

fn lives(report: &Report) -> Lives {
    Lives {
        success: report.of("success"),
        failure: report.of("failure"),
        signal: report.of("signal"),
        ..Lives::default()
    }
}

/// The children's images are a program of their own, so a group of their own.
fn by_exec(agent: &Agent, tier: &Tier, ns: u64) {
    let count = scaled(COUNT);
    let (parent, child) = (Program::new("paren"), Program::new("child"));
    let report = parent.run(
        "churn",
        &[&count.to_string(), &ns.to_string(), child.path_text()],
    );
    let children_ns = report.of("children_ns");
    let children = Lives {
        execs: count,
        ..lives(&report)
    };
    let forker = Lives {
        forks: count,
        ..Lives::ONE_PROGRAM
    };
    agent.await_settled(|samples| {
        children.check(&samples.group(&child.name))?;
        forker.check(&samples.group(&parent.name))?;
        check_cpu(samples, agent, tier, &child.name, count, children_ns)?;
        let parent_ns = report.reaped.cpu_ns - children_ns;
        check_cpu(samples, agent, tier, &parent.name, 1, parent_ns)
    });
}

/// The children share their parent's image, so its group.
fn by_fork(agent: &Agent, tier: &Tier, ns: u64) {
    let count = scaled(COUNT);
    let program = Program::new("bare");
    let report = program.run("churn", &[&count.to_string(), &ns.to_string()]);
    let all = Lives {
        forks: count,
        execs: 1,
        success: report.of("success") + 1,
        ..lives(&report)
    };
    agent.await_settled(|samples| {
        all.check(&samples.group(&program.name))?;
        let total_ns = report.reaped.cpu_ns;
        check_cpu(samples, agent, tier, &program.name, count + 1, total_ns)
    });
}

/// Sampling counts nothing twice, and does not pretend to know births and deaths.
fn short_processes_procfs() {
    let agent = Agent::start(&PROCFS);
    let count = scaled(COUNT) / 10;
    let program = Program::new("bare");
    let report = program.run("churn", &[&count.to_string(), "1000000"]);
    let samples = agent.scrape();
    let total_ns = report.reaped.cpu_ns;
    check_cpu(&samples, &agent, &PROCFS, &program.name, count, total_ns).unwrap();
    for family in [
        "forks_total",
        "execs_total",
        "exits_total",
        "oom_kills_total",
    ] {
        let name = format!("namedprocess_namegroup_{family}");
        assert_eq!(samples.series(&name).count(), 0, "{name}");
    }
    assert!(!PROCFS.has_events);
}

/// `sh -c 'spin; exec program'`.
fn each_image_gets_its_share() {
    for tier in EXACT {
        let agent = Agent::start(tier);
        let (first, next) = (Program::new("first"), Program::new("next"));
        let report = first.run("relay", &["200000000", next.path_text(), "300000000"]);
        let first_ns = report.of("used_ns") as f64;
        let total_ns = report.reaped.cpu_ns;
        agent.await_settled(|samples| {
            let (former, later) = (samples.group(&first.name), samples.group(&next.name));
            let births = Lives {
                execs: 1,
                ..Lives::default()
            };
            births.check(&former)?;
            Lives::ONE_PROGRAM.check(&later)?;
            let sum_ns = former.cpu_ns() + later.cpu_ns();
            if (former.cpu_ns() - first_ns).abs() > TICK_NS {
                return Err(format!(
                    "the first image used {first_ns} ns, its group has {}",
                    former.cpu_ns()
                ));
            }
            let high = tier.high * total_ns as f64 + LAST_SWITCH_NS;
            if !(tier.low * total_ns as f64..=high).contains(&sum_ns) {
                return Err(format!("both images used {total_ns} ns, found {sum_ns}"));
            }
            Ok(())
        });
    }
}

/// The agent's own check at its start, and the rung that this kernel gives.
fn self_test_passes() {
    for tier in EXACT {
        let agent = Agent::start(tier);
        agent.await_that(|samples| {
            match samples.the("headcount_self_test_state", &[("state", "passed")]) {
                1.0 => Ok(()),
                _ => Err("the self-test has not passed".to_owned()),
            }
        });
        let rung = agent.rung().expect("both tiers have final totals");
        let is_right = rung == "release" || (rung == "free" && !crate::guest::is_here());
        assert!(is_right, "final totals by {rung}");
    }
}
