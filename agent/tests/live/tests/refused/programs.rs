//! One program is not loaded, or not attached; or no program at all.

use super::{NEEDED, Way, counts, ends, error, exit_hook, goes_on, judging, judging_in, text};
use crate::{
    agent::Agent,
    bpf_calls::{Call, Verdict},
    guest::{is_locked_down, is_without_ftrace},
    runner::table,
    surroundings::{Surroundings, Tracefs},
    tier::{EXACT, ITERATOR, PROCFS, SWITCH, TRACED, Tier},
};
use headcount::source::bpf::Program;

table![
    each_is_not_loaded for NEEDED,
    each_is_not_attached for NEEDED,
    each_of_a_forced_tier_is_not_loaded for NEEDED,
    tracepoints_are_left for NEEDED,
    creations_are_left_out_where_threads_are_not_counted for NEEDED,
    run_queue_latency_is_left_out for NEEDED,
    no_call_is_allowed for NEEDED,
    no_memory_may_be_locked for NEEDED,
];

fn loading(program: Program) -> impl Fn(&Call) -> bool + Send {
    move |call| matches!(call, Call::Program(name) if name == program.symbol())
}

fn attaching(program: Program) -> impl Fn(&Call) -> bool + Send {
    move |call| matches!(call, Call::Attach(name) if name == program.symbol())
}

/// What is left without `program`, on a kernel with this exit hook.
fn left_without(program: Program, exit_hook: &'static str) -> Way {
    match program {
        Program::Fork | Program::Exec | Program::Exit => (&PROCFS, "none"),
        Program::Free if exit_hook == "free" => (&PROCFS, "none"),
        Program::Release | Program::LeaderFree => (&ITERATOR, "free"),
        Program::Snapshot => (&SWITCH, exit_hook),
        _ => (&ITERATOR, exit_hook),
    }
}

/// Whether it sits on a classic tracepoint.
fn is_traced(program: Program) -> bool {
    program.symbol().starts_with("trace_")
}

/// Whether the agent comes to `program` when it is free to choose: a better one may do.
fn is_tried(program: Program, exit_hook: &str) -> bool {
    match program {
        Program::Switch | Program::RunQueue | Program::Thread => false,
        Program::Free => exit_hook == "free",
        Program::Release | Program::LeaderFree => !is_without_ftrace(),
        _ => !is_traced(program),
    }
}

fn each_is_not_loaded(_: &'static Tier) {
    let exit_hook = exit_hook();
    for (nth, program) in Program::ALL.into_iter().enumerate() {
        for errno in [error(nth), error(nth + 1)] {
            let surroundings = judging(loading(program), Verdict::Refuse(errno));
            let agent = Agent::start_in(surroundings, &[]);
            let error = text(errno);
            let told: &[&str] = match is_tried(program, exit_hook) {
                true => &[program.hook(), &error, "; trying "],
                false => &[],
            };
            goes_on(&agent, left_without(program, exit_hook), told);
        }
    }
}

fn each_is_not_attached(_: &'static Tier) {
    let exit_hook = exit_hook();
    let tried = Program::ALL
        .into_iter()
        .filter(|program| is_tried(*program, exit_hook));
    for (nth, program) in tried.enumerate() {
        let surroundings = judging(attaching(program), Verdict::Refuse(error(nth)));
        let agent = Agent::start_in(surroundings, &[]);
        // Where it is not even loaded, the kernel's own error comes first.
        let told: &[&str] = match program {
            Program::Release => &[program.hook()],
            _ => &[program.hook(), &text(error(nth))],
        };
        goes_on(&agent, left_without(program, exit_hook), told);
    }
}

fn each_of_a_forced_tier_is_not_loaded(_: &'static Tier) {
    let exit_hook = exit_hook();
    for tier in EXACT.iter().filter(|tier| tier.can_work()) {
        let needed = Program::ALL.into_iter().filter(|program| match program {
            _ if tier.without_types || is_traced(*program) => {
                tier.without_types && is_traced(*program)
            }
            Program::Release | Program::LeaderFree => false,
            Program::RunQueue | Program::Thread => false,
            Program::Free => exit_hook == "free",
            Program::Snapshot => tier.name == ITERATOR.name,
            Program::Switch => tier.name == SWITCH.name,
            _ => true,
        });
        for (nth, program) in needed.enumerate() {
            let refusal = Verdict::Refuse(error(nth));
            let surroundings = judging_in(tier, loading(program), refusal);
            ends(surroundings, tier, &[program.hook(), &text(error(nth))]);
        }
    }
}

/// The rest of the tier works, and the CPU side of the books, too.
fn creations_are_left_out_where_threads_are_not_counted(_: &'static Tier) {
    let surroundings = judging(loading(Program::Thread), Verdict::Refuse(error(0)));
    let agent = Agent::start_in(surroundings, &[]);
    let is_told =
        |line: &String| line.contains(Program::Thread.hook()) && line.contains(&text(error(0)));
    assert!(
        agent.warnings().iter().any(is_told),
        "{:#?}",
        agent.warnings()
    );
    counts(&agent, &ITERATOR);
    let samples = agent.scrape();
    let node = |fact| samples.value("headcount_balance_node_total", &[("fact", fact)]);
    assert_eq!(node("creations"), None);
    assert!(node("cpu_seconds").is_some());
}

/// It takes nothing from the tier.
fn run_queue_latency_is_left_out(_: &'static Tier) {
    let surroundings = judging(loading(Program::RunQueue), Verdict::Refuse(error(0)));
    let agent = Agent::start_in(surroundings, &["--collector.runqueue"]);
    let told = ["--collector.runqueue", &text(error(0))];
    assert!(
        agent
            .warnings()
            .iter()
            .any(|line| told.iter().all(|part| line.contains(part))),
        "{:#?}",
        agent.warnings()
    );
    counts(&agent, &ITERATOR);
}

/// Where the kernel's types help no more, its tracepoints may, and else `/proc`.
fn tracepoints_are_left(_: &'static Tier) {
    let surroundings = Surroundings {
        tracefs: Tracefs::Mounted,
        ..judging(loading(Program::Fork), Verdict::Refuse(libc::EINVAL))
    };
    let agent = Agent::start_in(surroundings, &[]);
    // By root, so nothing but lockdown stands against them.
    let (way, told): (Way, _) = match is_locked_down() {
        true => ((&PROCFS, "none"), "; trying /proc only"),
        false => (
            (&TRACED, "last_switch"),
            "; trying the switch tier on tracepoints",
        ),
    };
    goes_on(&agent, way, &[Program::Fork.hook(), told]);
}

/// As by the seccomp profile of a container, on a kernel without BPF, under a limit of memory.
fn no_call_is_allowed(_: &'static Tier) {
    for errno in [libc::EPERM, libc::ENOSYS, libc::ENOMEM] {
        let all = || judging(|_| true, Verdict::Refuse(errno));
        let agent = Agent::start_in(all(), &[]);
        goes_on(
            &agent,
            (&PROCFS, "none"),
            &[&text(errno), "; trying /proc only"],
        );
        ends(all(), &ITERATOR, &[&text(errno)]);
    }
}

/// Before 5.11 maps are locked memory, and root may raise the limit; since then they are not.
fn no_memory_may_be_locked(_: &'static Tier) {
    let surroundings = Surroundings {
        locked_memory: Some(0),
        ..Surroundings::default()
    };
    let agent = Agent::start_in(surroundings, &[]);
    goes_on(&agent, (&ITERATOR, exit_hook()), &[]);
}
