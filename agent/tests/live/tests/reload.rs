//! Another configuration while processes come and go: nothing is lost, and nothing is counted twice.

use super::{alive_within, between, rise, sum_within};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::group::{Group, Lives};
use crate::guest::scaled;
use crate::process::End;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ITERATOR, PROCFS, SWITCH, TYPED, Tier};

table![
    reload_under_churn_loses_nothing for TYPED,
    a_reload_moves_the_living for TYPED,
    reload_moves_a_zombie for SHOW_ZOMBIES,
];

/// On tracepoints a process is gone with the last switch of its last thread.
const SHOW_ZOMBIES: &[&Tier] = &[&ITERATOR, &SWITCH, &PROCFS];

const ENABLED: &[&str] = &["--web.enable-lifecycle"];

/// The children of the process that changes its group.
const FORKS: u64 = 1000;

/// Two configurations take turns while processes come and go, by exec and by fork. Both know some of the groups, whose totals
/// are exact; the others' are exact together.
fn reload_under_churn_loses_nothing(tier: &'static Tier) {
    let [forker, child, mover] = ["reloP", "reloC", "reloM"].map(Program::new);
    let configuration = |prefix: &str| {
        let item = |name: &str, program: &Program| {
            let comm = &program.name;
            format!("  - {{name: \"{name}{{{{.Comm}}}}\", comm: [{comm}]}}\n")
        };
        let items = [
            item("", &child),
            item(prefix, &forker),
            item(prefix, &mover),
        ];
        format!("process_names:\n{}", items.concat())
    };
    let both = ["a-", "b-"];
    let agent = Agent::start_with(tier, ENABLED, Some(&configuration(both[0])));
    let count = scaled(1000);
    let ns = "1000000";
    let by_exec = forker.start("churn", &[&count.to_string(), ns, child.path_text()]);
    // Long enough for some reloads, also where others use the machine.
    let by_fork = mover.start("churn", &[&FORKS.to_string(), ns]);
    let mut reloads = 0;
    let mut before = agent.scrape();
    while !(by_exec.has_ended() && by_fork.has_ended()) {
        reloads += 1;
        agent.reload(&configuration(both[reloads % 2]));
        let now = agent.scrape();
        rise::check(&before, &now);
        before = now;
    }
    let (by_exec, by_fork) = (by_exec.finish(), by_fork.finish());
    let children = Lives {
        execs: count,
        ..Lives::of(&by_exec)
    };
    let children_ns = by_exec.of("children_ns");
    let samples = agent.await_settled(|samples| {
        let group = samples.group(&child.name);
        children.check(&group)?;
        // If a pass finds a child before its exec, the use up to then belongs to the parent, and each reload is a pass: the
        // children have most of their use, no more than that, and with the parent all of it.
        let found_ns = group.cpu_ns();
        between(found_ns, 0.9 * children_ns as f64, f64::MAX)?;
        let at_most_ns = found_ns.max(children_ns as f64);
        sum_within(&agent, tier, samples, at_most_ns, count, children_ns)?;
        let names = both.map(|prefix| format!("{prefix}{}", forker.name));
        let forks = sum(samples, &names, Group::forks);
        let found_ns = sum(samples, &names, Group::cpu_ns) + group.cpu_ns();
        equal(samples, "forks", forks, count)?;
        let all_ns = by_exec.reaped.cpu_ns;
        sum_within(&agent, tier, samples, found_ns, count + 1, all_ns)?;
        let names = both.map(|prefix| format!("{prefix}{}", mover.name));
        equal(samples, "forks", sum(samples, &names, Group::forks), FORKS)?;
        equal(samples, "execs", sum(samples, &names, Group::execs), 1)?;
        equal(
            samples,
            "ends",
            sum(samples, &names, Group::all_exits),
            FORKS + 1,
        )?;
        let found_ns = sum(samples, &names, Group::cpu_ns);
        sum_within(
            &agent,
            tier,
            samples,
            found_ns,
            FORKS + 1,
            by_fork.reaped.cpu_ns,
        )
    });
    for name in both.map(|prefix| format!("{prefix}{}", mover.name)) {
        assert!(samples.group(&name).forks() > 0.0, "{name} was never used");
    }
    let failures = samples.the("headcount_config_reload_failures_total", &[]);
    assert_eq!(failures, 0.0);
}

fn sum<'a>(samples: &'a Samples, names: &'a [String], value: fn(&Group<'a>) -> f64) -> f64 {
    names.iter().map(|name| value(&samples.group(name))).sum()
}

/// Equal except for the loss that the agent has counted; see [`Lives::check`].
fn equal(samples: &Samples, what: &str, found: f64, expected: u64) -> Result<(), String> {
    let lost = samples
        .value("headcount_events_lost_total", &[])
        .unwrap_or(0.0);
    let expected = expected as f64;
    match (expected - lost..=expected).contains(&found) {
        true => Ok(()),
        false => Err(format!("{found} {what}, expected {expected}, {lost} lost")),
    }
}

/// The use of a process before the reload stays with its former group; later use goes to the new one.
fn a_reload_moves_the_living(tier: &'static Tier) {
    let program = Program::new("moved");
    let configuration = |name: &str| {
        format!(
            "process_names: [{{name: {name}, comm: [{}]}}]\n",
            program.name
        )
    };
    let agent = Agent::start_with(tier, ENABLED, Some(&configuration("first")));
    let mut worker = program.work();
    let first_ns = worker.ask("spin 200000000");
    agent.reload(&configuration("second"));
    let samples = agent.scrape();
    assert_eq!(samples.group("first").processes(), 0.0);
    assert_eq!(samples.group("second").processes(), 1.0);
    worker.ask("spin 100000000");
    let report = worker.finish();
    agent.await_settled(|samples| {
        let (first, second) = (samples.group("first"), samples.group("second"));
        equal(samples, "execs", first.execs(), 1)?;
        equal(samples, "ends", second.exits(End::Success), 1)?;
        alive_within(tier, first.cpu_ns(), first_ns)?;
        let found_ns = first.cpu_ns() + second.cpu_ns();
        sum_within(&agent, tier, samples, found_ns, 1, report.reaped.cpu_ns)
    });
}

/// The parent of a zombie has not waited for it; its task name is all that is left of it.
fn reload_moves_a_zombie(tier: &'static Tier) {
    let program = Program::new("zombi");
    let configuration = |name: &str, key: &str| {
        format!(
            "process_names: [{{name: {name}, {key}: [{}]}}]\n",
            program.name
        )
    };
    let agent = Agent::start_with(tier, ENABLED, Some(&configuration("first", "cmdline")));
    let mut running = program.work();
    running.ask("spin 1000000");
    let holds = |name: &'static str| {
        move |samples: &Samples| {
            let found = ["first", "second", "third"].map(|name| samples.group(name).processes());
            let expected = ["first", "second", "third"].map(|one| f64::from(u8::from(one == name)));
            let complaint = || format!("{found:?} processes, expected one in {name}");
            (found == expected).then_some(()).ok_or_else(complaint)
        }
    };
    agent.await_that(holds("first"));
    running.close_input();
    while !running.has_ended() {
        std::thread::yield_now();
    }
    agent.await_that(holds("first"));
    // Its arguments are gone, so no item that needs them matches.
    agent.reload(&configuration("second", "cmdline"));
    agent.await_that(holds("none"));
    agent.reload(&configuration("third", "comm"));
    agent.await_that(holds("third"));
    running.finish();
    agent.await_that(holds("none"));
}
