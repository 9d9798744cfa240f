//! Start and end of an agent.

use super::between;
use crate::agent::Agent;
use crate::group::Lives;
use crate::guest;
use crate::kernel_objects::{self, Objects};
use crate::program::Program;
use crate::rights::Rights;
use crate::runner::table;
use crate::surroundings::{Surroundings, Tracefs, Types};
use crate::tier::{ALL, EXACT, ITERATOR, TRACED, Tier, border_ns};

table![
    the_best_tier_that_works_is_chosen,
    without_types_the_best_remaining_tier_is_chosen for &[&TRACED],
    source_info_names_the_origin_of_each_fact for ALL,
    self_test_passes for EXACT,
    history_is_not_credited for ALL,
    history_of_the_dying_is_not_credited for EXACT,
    a_new_agent_starts_at_zero for EXACT,
    a_killed_agent_leaves_nothing for EXACT,
];

/// Without `--accounting`. An agent with a forced tier that cannot work here ends with an error.
fn the_best_tier_that_works_is_chosen() {
    let best = Tier::best();
    let agent = Agent::start_as(&Rights::usual(), &[], None);
    assert_eq!(agent.tier(), best.name);
    let has_types = ITERATOR.can_work();
    let is_about_btf = |text: &str| text.contains("/sys/kernel/btf/vmlinux");
    let log = agent.log();
    let warnings = log
        .lines()
        .filter(|line| line.contains("level=warn") && is_about_btf(line));
    assert_eq!(warnings.count(), usize::from(!has_types), "{log}");
    let health = agent.ask("/health");
    assert_eq!(is_about_btf(&health), !has_types, "{health}");
    if !has_types {
        let flag = format!("--accounting={}", ITERATOR.name);
        let said = Agent::fail_in(Surroundings::default(), &[&flag]);
        assert!(is_about_btf(&said) && said.contains(&flag), "{said}");
    }
}

/// The tier that `auto` takes on a kernel without type information, and its warnings.
fn without_types_the_best_remaining_tier_is_chosen(_: &'static Tier) {
    for (tracefs, tier, exit_hook, told) in [
        (
            Tracefs::Mounted,
            "switch",
            Some("last_switch"),
            "CONFIG_DEBUG_INFO_BTF is needed",
        ),
        (
            Tracefs::Hidden,
            "procfs",
            Some("none"),
            "mount -t tracefs tracefs /sys/kernel/tracing",
        ),
    ] {
        let here = Surroundings {
            types: Types::Hidden,
            tracefs,
            ..Surroundings::default()
        };
        let agent = Agent::start_in(here, &[]);
        assert_eq!((agent.tier(), agent.exit_hook()), (tier, exit_hook));
        assert!(agent.log().contains(told), "{}", agent.log());
    }
}

fn source_info_names_the_origin_of_each_fact(tier: &'static Tier) {
    let samples = Agent::start(tier).scrape();
    let split = match (tier.name, guest::has_tickless_cpus()) {
        ("iterator", false) => "bpf",
        _ => "procfs",
    };
    for (fact, source) in tier.sources.iter().chain(&[("cpu_split", split)]) {
        let labels = [("fact", *fact), ("source", *source)];
        assert_eq!(samples.the("headcount_source_info", &labels), 1.0);
    }
}

/// The agent's own check at its start, and the exit hook of the final totals on this kernel.
fn self_test_passes(tier: &'static Tier) {
    let agent = Agent::start(tier);
    // An emulated CPU may stand still between the scheduler's reading of its clock and the program's.
    let is_noisy = guest::is_here() && tier.without_types;
    let good: &[&str] = if is_noisy {
        &["passed", "failed"]
    } else {
        &["passed"]
    };
    agent.await_that(|samples| {
        let is = |state| samples.the("headcount_self_test_state", &[("state", state)]) == 1.0;
        match good.iter().any(|state| is(*state)) {
            true => Ok(()),
            false => Err("the self-test has not passed".to_owned()),
        }
    });
    let exit_hook = agent.exit_hook().expect("all of them have final totals");
    let possible: &[&str] = match (guest::is_here(), guest::is_without_ftrace()) {
        _ if tier.without_types => &["last_switch"],
        (false, _) => &["release", "free"],
        (true, true) => &["free"],
        (true, false) if takes_fentry() => &["release"],
        (true, false) => &["free"],
    };
    assert!(possible.contains(&exit_hook), "totals at {exit_hook}");
}

/// Whether functions of this kernel can call programs directly, which they can on arm64 from 6.4 on.
fn takes_fentry() -> bool {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap();
    symbols.contains(" register_ftrace_direct")
}

/// A process that runs before the agent: only its use after the start of the agent counts.
fn history_is_not_credited(tier: &'static Tier) {
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
        return;
    }
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        let ended = |success| Lives {
            success,
            ..Lives::default()
        };
        // On the kernel of a sandbox no program may run at the end: it is unconfirmed then, after 60 s, and no exit.
        let unconfirmed = samples.the("headcount_processes_unconfirmed_total", &[]);
        ended(1).check(&group).or_else(|complaint| {
            let is_lost = !guest::is_here() && unconfirmed > 0.0;
            ended(0)
                .check(&group)
                .ok()
                .filter(|()| is_lost)
                .ok_or(complaint)
        })?;
        let used_ns = (report.reaped.cpu_ns - before_ns) as f64;
        let (low, high) = (tier.least_alive(used_ns), used_ns * tier.high);
        let slack_ns = tier.history_ns() + tier.cut_ns();
        between(group.cpu_ns(), low - slack_ns, high + slack_ns)
    });
}

/// The first record of such a process is its end, or its exec.
fn history_of_the_dying_is_not_credited(tier: &'static Tier) {
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
        // On tracepoints a preemptible kernel may leave out that record, and the agent counts this.
        let is_lost = samples.the("headcount_events_lost_total", &[]) > 0.0;
        let low = if is_lost && tier.without_types {
            0.0
        } else {
            1.0
        };
        between(group.cpu_ns(), low, high)
    });
}

fn a_new_agent_starts_at_zero(tier: &'static Tier) {
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
            between(group.cpu_ns(), tier.least_alive(50e6), high)
        });
    }
}

/// SIGKILL: programs, links and maps go with the process, and nothing is pinned.
fn a_killed_agent_leaves_nothing(tier: &'static Tier) {
    let pinned = kernel_objects::pinned();
    let mut agent = Agent::start(tier);
    let objects = Objects::of_process(agent.pid());
    assert!(objects.programs.len() >= 5, "{objects:?}");
    // Before 5.15 a program is attached to a tracepoint by an event, not a link; the event goes with the process.
    assert!(
        objects.links.len() >= 4 || tier.without_types,
        "{objects:?}"
    );
    assert!(objects.maps.len() >= 5, "{objects:?}");
    assert_eq!(objects.still_there(), objects, "the question works");
    agent.kill();
    objects.await_gone();
    assert_eq!(kernel_objects::pinned(), pinned);
}
