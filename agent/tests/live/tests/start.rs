//! An agent's own beginning and end.

use super::between;
use crate::{
    agent::Agent,
    group::Lives,
    guest::is_here,
    kernel_objects::{self, Objects},
    program::Program,
    runner::table,
    tier::{EXACT, PROCFS, border_ns},
};

table![
    self_test_passes,
    history_is_not_credited,
    history_of_the_dying_is_not_credited,
    a_new_agent_starts_at_zero,
    a_killed_agent_leaves_nothing,
];

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
        let is_right = rung == "release" || (rung == "free" && !takes_fentry());
        assert!(is_right, "final totals by {rung}");
    }
}

/// Whether fentry must work here: an emulated machine takes it where functions can call programs directly, which arm64 can from
/// 6.4 on.
fn takes_fentry() -> bool {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap();
    is_here() && symbols.contains(" register_ftrace_direct")
}

/// Runs already at the start: what it used before is not the agent's to tell, what it uses from then on is.
fn history_is_not_credited() {
    for tier in [EXACT[0], EXACT[1], &PROCFS] {
        let program = Program::new("old");
        let mut running = program.work();
        let before_ns = running.ask("spin 300000000");
        let agent = Agent::start(tier);
        let samples = agent.scrape();
        let group = samples.group(&program.name);
        assert_eq!(group.processes(), 1.0);
        between(group.cpu_ns(), 0.0, tier.history_ns()).unwrap();
        assert_eq!(group.all_exits() + group.forks() + group.execs(), 0.0);
        let after_ns = running.ask("spin 200000000");
        let used_ns = (after_ns - before_ns) as f64;
        agent.await_that(|samples| {
            let found_ns = samples.group(&program.name).cpu_ns();
            let (low, high) = (
                used_ns * 0.99 - tier.history_ns(),
                used_ns * 1.02 + tier.history_ns(),
            );
            between(found_ns, low, high).map_err(|complaint| format!("{}: {complaint}", tier.name))
        });
        let report = running.finish();
        if !tier.has_events {
            continue;
        }
        agent.await_settled(|samples| {
            let group = samples.group(&program.name);
            let ended = Lives {
                success: 1,
                ..Lives::default()
            };
            ended.check(&group)?;
            let used_ns = (report.reaped.cpu_ns - before_ns) as f64;
            let (low, high) = (used_ns * tier.low_alive, used_ns * tier.high);
            between(
                group.cpu_ns(),
                low - tier.history_ns(),
                high + tier.history_ns(),
            )
        });
    }
}

/// The first that is heard of it is its death, or its next program.
fn history_of_the_dying_is_not_credited() {
    for tier in EXACT {
        let (dying, former, next) = (
            Program::new("dying"),
            Program::new("form"),
            Program::new("next"),
        );
        let (mut ends, mut execs) = (dying.work(), former.work());
        ends.ask("spin 300000000");
        execs.ask("spin 300000000");
        let agent = Agent::start(tier);
        ends.finish();
        execs.ask(&format!("exec {}", next.path_text()));
        let report = execs.finish();
        let ended = Lives {
            success: 1,
            ..Lives::default()
        };
        agent.await_settled(|samples| {
            let group = samples.group(&dying.name);
            ended.check(&group)?;
            between(group.cpu_ns(), 0.0, tier.history_ns())?;
            let group = samples.group(&former.name);
            Lives::default().check(&group)?;
            between(group.cpu_ns(), 0.0, tier.history_ns())?;
            let group = samples.group(&next.name);
            Lives::ONE_PROGRAM.check(&group)?;
            let high = report.reaped.cpu_ns as f64 - 300e6 + tier.history_ns();
            between(group.cpu_ns(), 1.0, high)
        });
    }
}

fn a_new_agent_starts_at_zero() {
    for tier in EXACT {
        let program = Program::new("again");
        let mut running = program.work();
        for _ in 0..2 {
            let agent = Agent::start(tier);
            let ended = program.run("end", &["50000000", "success"]);
            running.ask("spin 10000000");
            agent.await_settled(|samples| {
                let group = samples.group(&program.name);
                Lives::ONE_PROGRAM.check(&group)?;
                let high = ended.reaped.cpu_ns as f64 + 10e6 + 2.0 * border_ns();
                between(group.cpu_ns(), 50e6 * tier.low, high)
            });
        }
    }
}

/// SIGKILL: programs, links and maps go with the process, and nothing is pinned.
fn a_killed_agent_leaves_nothing() {
    let pinned = kernel_objects::pinned();
    for tier in EXACT {
        let mut agent = Agent::start(tier);
        let objects = Objects::of_process(agent.pid());
        assert!(objects.programs.len() >= 5, "{objects:?}");
        assert!(objects.links.len() >= 4, "{objects:?}");
        assert!(objects.maps.len() >= 5, "{objects:?}");
        assert_eq!(objects.still_there(), objects, "the question works");
        agent.kill();
        objects.await_gone();
        assert_eq!(kernel_objects::pinned(), pinned);
    }
}
