//! One program is not loaded, or not attached; or no program at all.

use super::{Way, ends, error, goes_on, judging, rung, text};
use crate::{
    agent::Agent,
    bpf_calls::{Call, Verdict},
    runner::table,
    surroundings::Surroundings,
    tier::{EXACT, ITERATOR, PROCFS, SWITCH},
};
use headcount::source::bpf::Program;

table![
    each_is_not_loaded,
    each_is_not_attached,
    each_of_a_forced_tier_is_not_loaded,
    no_call_is_allowed,
    no_memory_may_be_locked,
];

fn loading(program: Program) -> impl Fn(&Call) -> bool + Send {
    move |call| matches!(call, Call::Program(name) if name == program.symbol())
}

fn attaching(program: Program) -> impl Fn(&Call) -> bool + Send {
    move |call| matches!(call, Call::Attach(name) if name == program.symbol())
}

/// What is left without `program`, on a kernel that gives this rung.
fn left_without(program: Program, rung: &'static str) -> Way {
    match program {
        Program::Fork | Program::Exec | Program::Exit => (&PROCFS, "none"),
        Program::Free if rung == "free" => (&PROCFS, "none"),
        Program::Release => (&ITERATOR, "free"),
        Program::Free | Program::Switch => (&ITERATOR, rung),
        Program::Snapshot => (&SWITCH, rung),
    }
}

/// Whether the agent comes to `program` when it is free to choose: a better one may do.
fn is_tried(program: Program, rung: &str) -> bool {
    match program {
        Program::Switch => false,
        Program::Free => rung == "free",
        _ => true,
    }
}

fn each_is_not_loaded() {
    let rung = rung();
    for (nth, program) in Program::ALL.into_iter().enumerate() {
        for errno in [error(nth), error(nth + 1)] {
            let surroundings = judging(loading(program), Verdict::Refuse(errno));
            let agent = Agent::start_in(surroundings, &[]);
            let error = text(errno);
            let told: &[&str] = match is_tried(program, rung) {
                true => &[program.hook(), &error, "; trying "],
                false => &[],
            };
            goes_on(&agent, left_without(program, rung), told);
        }
    }
}

fn each_is_not_attached() {
    let rung = rung();
    let tried = Program::ALL
        .into_iter()
        .filter(|program| is_tried(*program, rung));
    for (nth, program) in tried.enumerate() {
        let surroundings = judging(attaching(program), Verdict::Refuse(error(nth)));
        let agent = Agent::start_in(surroundings, &[]);
        // Where it is not even loaded, the kernel's own error comes first.
        let told: &[&str] = match program {
            Program::Release => &[program.hook()],
            _ => &[program.hook(), &text(error(nth))],
        };
        goes_on(&agent, left_without(program, rung), told);
    }
}

fn each_of_a_forced_tier_is_not_loaded() {
    let rung = rung();
    for tier in EXACT {
        let needed = Program::ALL.into_iter().filter(|program| match program {
            Program::Fork | Program::Exec | Program::Exit => true,
            Program::Release => false,
            Program::Free => rung == "free",
            Program::Snapshot => tier.name == ITERATOR.name,
            Program::Switch => tier.name == SWITCH.name,
        });
        for (nth, program) in needed.enumerate() {
            let surroundings = judging(loading(program), Verdict::Refuse(error(nth)));
            ends(surroundings, tier, &[program.hook(), &text(error(nth))]);
        }
    }
}

/// As by the seccomp profile of a container, on a kernel without BPF, under a limit of memory.
fn no_call_is_allowed() {
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
fn no_memory_may_be_locked() {
    let surroundings = Surroundings {
        locked_memory: Some(0),
        ..Surroundings::default()
    };
    let agent = Agent::start_in(surroundings, &[]);
    goes_on(&agent, (&ITERATOR, rung()), &[]);
}
