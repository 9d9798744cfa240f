//! Children made in every way there is: each counts once, in the right group.

use super::{sum_within, unwaited_within, within};
use crate::agent::Agent;
use crate::group::Lives;
use crate::guest::scaled;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{EXACT, Tier};

table![
    vfork_children_are_each_counted for EXACT,
    vfork_children_that_exec_are_each_counted for EXACT,
    daemon_of_a_double_fork_is_counted for EXACT,
    unmatched_daemon_of_a_double_fork_joins_its_starter for EXACT,
    unwaited_children_are_each_counted for EXACT,
    forks_of_a_process_older_than_the_agent_are_counted for EXACT,
    reused_process_id_is_two_processes for EXACT,
    reused_process_id_is_two_processes_between_scrapes for EXACT,
];

/// Programs on tracepoints know the parent by its number only.
fn forks_of_a_process_older_than_the_agent_are_counted(tier: &'static Tier) {
    const FORKS: u64 = 20;
    let elder = Program::new("elder");
    let mut running = elder.work();
    running.ask("spin 1");
    let agent = Agent::start(tier);
    running.ask(&format!("fork {FORKS}"));
    let expected = Lives {
        forks: FORKS,
        success: FORKS,
        ..Lives::default()
    };
    agent.await_settled(|samples| expected.check(&samples.group(&elder.name)));
}

fn vfork_children_are_each_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let count = scaled(500);
    let program = Program::new("vfork");
    let report = program.run("vfork", &[&count.to_string()]);
    let expected = Lives {
        forks: count,
        success: count + 1,
        ..Lives::ONE_PROGRAM
    };
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        expected.check(&group)?;
        within(&agent, tier, &group, count + 1, report.reaped.cpu_ns)
    });
}

fn vfork_children_that_exec_are_each_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let count = scaled(200);
    let (parent, child) = (Program::new("vforP"), Program::new("vforC"));
    let report = parent.run(
        "vfork-exec",
        &[&count.to_string(), "2000000", child.path_text()],
    );
    let children_ns = report.of("children_ns");
    let forker = Lives {
        forks: count,
        ..Lives::ONE_PROGRAM
    };
    let children = Lives {
        execs: count,
        success: count,
        ..Lives::default()
    };
    agent.await_settled(|samples| {
        forker.check(&samples.group(&parent.name))?;
        let group = samples.group(&child.name);
        children.check(&group)?;
        within(&agent, tier, &group, count, children_ns)
    });
}

fn daemon_of_a_double_fork_is_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("daemo");
    let report = program.run("double-fork", &["100000000"]);
    let low_ns = report.of("used_ns") + report.reaped.cpu_ns;
    let expected = Lives {
        forks: 2,
        success: 3,
        ..Lives::ONE_PROGRAM
    };
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        expected.check(&group)?;
        unwaited_within(&agent, tier, &group, 3, low_ns)
    });
}

/// The daemon's program matches no item, and its parents are gone before a scrape: it joins the group of its starter.
fn unmatched_daemon_of_a_double_fork_joins_its_starter(tier: &'static Tier) {
    let (starter, daemon) = (Program::new("start"), Program::new("daemo"));
    let configuration = format!(
        "process_names:\n  - name: known-{{{{.Comm}}}}\n    comm: [{}]\n",
        starter.name
    );
    let agent = Agent::start_with(tier, &[], Some(&configuration));
    let report = starter.run("double-fork", &["100000000", daemon.path_text()]);
    let low_ns = report.of("used_ns") + report.reaped.cpu_ns;
    let expected = Lives {
        forks: 2,
        execs: 2,
        success: 3,
        ..Lives::default()
    };
    let name = format!("known-{}", starter.name);
    agent.await_settled(|samples| {
        let group = samples.group(&name);
        expected.check(&group)?;
        unwaited_within(&agent, tier, &group, 3, low_ns)
    });
}

fn unwaited_children_are_each_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let count = scaled(200);
    let program = Program::new("auto");
    let report = program.run("unwaited", &[&count.to_string(), "5000000"]);
    let low_ns = report.all("used_ns").iter().sum::<u64>() + report.reaped.cpu_ns;
    let expected = Lives {
        forks: count,
        success: count + 1,
        ..Lives::ONE_PROGRAM
    };
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        expected.check(&group)?;
        unwaited_within(&agent, tier, &group, count, low_ns)
    });
}

const REUSED: Lives = Lives {
    forks: 2,
    execs: 1,
    success: 3,
    failure: 0,
    signal: 0,
};

fn reused_process_id_is_two_processes(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("reuse");
    let report = program.run("reuse", &["50000000", "30000000"]);
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        REUSED.check(&group)?;
        within(&agent, tier, &group, 3, report.reaped.cpu_ns)
    });
}

/// Both were seen alive; the second must not be taken for the first.
fn reused_process_id_is_two_processes_between_scrapes(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("reuse");
    let mut running = program.start("reuse", &["50000000", "30000000", "hold"]);
    let first = running.await_line("held");
    let sum = |ns: u64| {
        agent.await_that(|samples| {
            let group = samples.group(&program.name);
            match (group.processes(), group.cpu_ns()) {
                (2.0, cpu_ns) if cpu_ns >= tier.least_alive(ns as f64) => Ok(()),
                found => Err(format!("[processes, ns] {found:?}")),
            }
        })
    };
    sum(50_000_000);
    running.tell("on");
    assert_eq!(running.await_line("held"), first);
    let samples = sum(80_000_000);
    assert_eq!(samples.group(&program.name).all_exits(), 1.0);
    running.tell("on");
    let report = running.finish();
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        REUSED.check(&group)?;
        sum_within(
            &agent,
            tier,
            samples,
            group.cpu_ns(),
            3,
            report.reaped.cpu_ns,
        )
    });
}
