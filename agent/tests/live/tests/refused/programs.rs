//! One program is not loaded, or not attached; or no program at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headcount::source::bpf::{KernelProgram, Plan};
use headcount::source::{self, ExitHook};

use super::maps::network_is_absent;
use super::{NEEDED, Way, counts, ends, error, exit_hook, goes_on, judging, judging_in, text};
use crate::agent::Agent;
use crate::bpf_calls::{Call, Verdict};
use crate::guest::{is_locked_down, is_without_ftrace};
use crate::runner::table;
use crate::surroundings::{Surroundings, Tracefs};
use crate::tier::{EXACT, ITERATOR, PROCFS, SWITCH, TRACED, Tier};

table![
    each_is_not_loaded for NEEDED,
    each_is_not_attached for NEEDED,
    each_of_a_forced_tier_is_not_loaded for NEEDED,
    tracepoints_are_left for NEEDED,
    creations_are_left_out_where_threads_are_not_counted for NEEDED,
    run_queue_latency_is_left_out for NEEDED,
    calls_are_left_out for NEEDED,
    no_call_is_allowed for NEEDED,
    no_memory_may_be_locked for NEEDED,
];

fn loading(program: KernelProgram) -> impl Fn(&Call) -> bool + Send {
    move |call| matches!(call, Call::Program(name) if name == program.symbol())
}

fn attaching(program: KernelProgram) -> impl Fn(&Call) -> bool + Send {
    move |call| matches!(call, Call::Attach(name) if name == program.symbol())
}

const fn plan(tier: source::Tier, exit_hook: ExitHook) -> Plan {
    Plan {
        tier,
        exit_hook: Some(exit_hook),
    }
}

/// The plans that need type information, best first, on a kernel with this exit hook.
fn typed_plans(exit_hook: &str) -> impl Iterator<Item = (Way, Plan)> {
    use source::Tier::{Iterator, Switch};
    let all: [(Way, Plan); 4] = [
        ((&ITERATOR, "release"), plan(Iterator, ExitHook::Release)),
        ((&ITERATOR, "free"), plan(Iterator, ExitHook::Free)),
        ((&SWITCH, "release"), plan(Switch, ExitHook::Release)),
        ((&SWITCH, "free"), plan(Switch, ExitHook::Free)),
    ];
    let has_release = exit_hook == "release";
    all.into_iter()
        .filter(move |((_, hook), _)| has_release || *hook == "free")
}

/// The best way without `program`, on a kernel with this exit hook.
fn left_without(program: KernelProgram, exit_hook: &str) -> Way {
    typed_plans(exit_hook)
        .find(|(_, plan)| !plan.programs().contains(&program))
        .map_or((&PROCFS, "none"), |(way, _)| way)
}

/// Whether the agent comes to `program` when it is free to choose: a better one may do.
fn is_tried(program: KernelProgram, exit_hook: &str) -> bool {
    let is_needed_with = |hook| {
        let best = plan(source::Tier::Iterator, hook);
        best.programs().contains(&program)
    };
    match [ExitHook::Release, ExitHook::Free].map(is_needed_with) {
        [true, false] => !is_without_ftrace(),
        [false, true] => exit_hook == "free",
        [with_each, _] => with_each,
    }
}

/// The programs without which no plan of `tier` is left, on a kernel with this exit hook.
fn needed_in(tier: &Tier, exit_hook: &str) -> Vec<KernelProgram> {
    let plans: Vec<Plan> = match tier.without_types {
        true => vec![Plan::TRACED],
        false => typed_plans(exit_hook)
            .filter(|((way, _), _)| way.name == tier.name)
            .map(|(_, plan)| plan)
            .collect(),
    };
    let all = KernelProgram::ALL.iter().copied();
    all.filter(|program| plans.iter().all(|plan| plan.programs().contains(program)))
        .collect()
}

fn each_is_not_loaded(_: &'static Tier) {
    let exit_hook = exit_hook();
    for (nth, program) in KernelProgram::ALL.iter().copied().enumerate() {
        for errno in [error(nth), error(nth + 1)] {
            let surroundings = judging(loading(program), Verdict::Refuse(errno));
            let agent = Agent::start_in(surroundings, &[]);
            let error = text(errno);
            let parts: &[&str] = match is_tried(program, exit_hook) {
                true => &[program.hook(), &error, "; trying "],
                false => &[],
            };
            goes_on(&agent, left_without(program, exit_hook), parts);
            check_network(&agent, program);
        }
    }
}

/// If a program that counts payload is refused, the agent takes another way, or payload is absent.
fn check_network(agent: &Agent, refused: KernelProgram) {
    let samples = agent.scrape();
    let labels = |source| [("fact", "network"), ("source", source)];
    let is = |source| samples.value("headcount_source_info", &labels(source)) == Some(1.0);
    match refused {
        // The hash of sockets needs no storage of the kernel.
        KernelProgram::Sockets => assert!(is("bpf_hash"), "{}", agent.log()),
        KernelProgram::SocketEnd | KernelProgram::SocketState | KernelProgram::SocketFiles => {
            network_is_absent(agent);
        }
        // It is tried only where the kernel has no such storage.
        KernelProgram::HashedSockets => assert!(is("bpf") || is("absent"), "{}", agent.log()),
        refused => {
            let is_counted = is("bpf") || is("bpf_hash");
            assert!(is_counted || !refused.is_for_network(), "{}", agent.log());
        }
    }
}

fn each_is_not_attached(_: &'static Tier) {
    let exit_hook = exit_hook();
    let tried = KernelProgram::ALL
        .iter()
        .copied()
        .filter(|program| is_tried(*program, exit_hook));
    for (nth, program) in tried.enumerate() {
        let surroundings = judging(attaching(program), Verdict::Refuse(error(nth)));
        let agent = Agent::start_in(surroundings, &[]);
        // Where it is not even loaded, the kernel's own error comes first.
        let parts: &[&str] = match program {
            KernelProgram::Release => &[program.hook()],
            _ => &[program.hook(), &text(error(nth))],
        };
        goes_on(&agent, left_without(program, exit_hook), parts);
        check_network(&agent, program);
    }
}

fn each_of_a_forced_tier_is_not_loaded(_: &'static Tier) {
    let exit_hook = exit_hook();
    for tier in EXACT.iter().filter(|tier| tier.can_work()) {
        let needed = needed_in(tier, exit_hook).into_iter();
        for (nth, program) in needed.enumerate() {
            let refusal = Verdict::Refuse(error(nth));
            let surroundings = judging_in(tier, loading(program), refusal);
            ends(surroundings, tier, &[program.hook(), &text(error(nth))]);
        }
    }
}

/// The rest of the tier works, and the CPU side of the books, too.
fn creations_are_left_out_where_threads_are_not_counted(_: &'static Tier) {
    let surroundings = judging(loading(KernelProgram::Thread), Verdict::Refuse(error(0)));
    let agent = Agent::start_in(surroundings, &[]);
    let has_parts = |line: &String| {
        line.contains(KernelProgram::Thread.hook()) && line.contains(&text(error(0)))
    };
    assert!(
        agent.warnings().iter().any(has_parts),
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
    let surroundings = judging(loading(KernelProgram::RunQueue), Verdict::Refuse(error(0)));
    let agent = Agent::start_in(surroundings, &["--collector.runqueue"]);
    let parts = ["--collector.runqueue", &text(error(0))];
    assert!(
        agent
            .warnings()
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part))),
        "{:#?}",
        agent.warnings()
    );
    counts(&agent, &ITERATOR);
}

/// The programs of sends and receives, of which the kernel refuses the second one: no other one is attached before. It takes nothing
/// from the rest.
fn calls_are_left_out(_: &'static Tier) {
    for (flag, fact, refused, symbols) in [
        (
            "--collector.network.udp",
            "network_udp",
            [KernelProgram::UdpReceive, KernelProgram::UdpReceive6],
            ["udp_send", "udp_rec"],
        ),
        (
            "--collector.http",
            "http",
            [KernelProgram::Requests, KernelProgram::Responses6],
            ["http_send", "http_rec"],
        ),
    ] {
        let is_attached = Arc::new(AtomicBool::new(false));
        let seen = is_attached.clone();
        let is_meant = move |call: &Call| match call {
            Call::Program(name) => refused.iter().any(|program| name == program.symbol()),
            Call::Attach(name) if symbols.iter().any(|start| name.starts_with(start)) => {
                seen.store(true, Ordering::Relaxed);
                false
            }
            _ => false,
        };
        let agent = Agent::start_in(judging(is_meant, Verdict::Refuse(error(0))), &[flag]);
        let samples = agent.scrape();
        let source = |fact, source| {
            let labels = [("fact", fact), ("source", source)];
            samples.value("headcount_source_info", &labels)
        };
        assert_eq!(source(fact, "absent"), Some(1.0));
        assert!(!is_attached.load(Ordering::Relaxed), "{flag}");
        for program in KernelProgram::ALL {
            if symbols
                .iter()
                .any(|start| program.symbol().starts_with(start))
            {
                let labels = [("program", program.hook())];
                let attached = samples.value("headcount_program_attached", &labels);
                assert_eq!(attached, Some(0.0), "{program:?}");
            }
        }
        if source("network", "bpf").is_some() {
            let warnings = agent.warnings();
            let option = flag.trim_start_matches("--collector.");
            let parts = [option, &text(error(0))];
            let has_parts = |line: &String| parts.iter().all(|part| line.contains(part));
            assert!(warnings.iter().any(has_parts), "{warnings:#?}");
        }
        counts(&agent, &ITERATOR);
    }
}

/// Without the kernel's types the agent uses its tracepoints, and else `/proc`.
fn tracepoints_are_left(_: &'static Tier) {
    let surroundings = Surroundings {
        tracefs: Tracefs::Mounted,
        ..judging(loading(KernelProgram::Fork), Verdict::Refuse(libc::EINVAL))
    };
    let agent = Agent::start_in(surroundings, &[]);
    // By root, so nothing but lockdown stands against them.
    let (way, next): (Way, _) = match is_locked_down() {
        true => ((&PROCFS, "none"), "; trying /proc only"),
        false => (
            (&TRACED, "last_switch"),
            "; trying the switch tier on tracepoints",
        ),
    };
    goes_on(&agent, way, &[KernelProgram::Fork.hook(), next]);
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
