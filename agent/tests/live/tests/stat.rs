//! A long-lived process: the agent shows what `/proc/<pid>` shows. Each value stands between two readings of it, one
//! before and one after the scrape.

use crate::{
    agent::Agent,
    exposition::Samples,
    procfs::Reading,
    program::{self, Program, Running},
    runner::table,
    tier::{ITERATOR, PROCFS, SWITCH, TICK_NS, Tier},
};

table![
    shows_what_proc_shows_iterator,
    shows_what_proc_shows_switch,
    shows_what_proc_shows_procfs,
];

fn shows_what_proc_shows_iterator() {
    shows_what_proc_shows(&ITERATOR);
}

fn shows_what_proc_shows_switch() {
    shows_what_proc_shows(&SWITCH);
}

fn shows_what_proc_shows_procfs() {
    shows_what_proc_shows(&PROCFS);
}

fn shows_what_proc_shows(tier: &Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("busy");
    let mut running = program.work();
    let file = program::folder().join(format!("{}.data", program.name));
    let store = format!("store 8388608 {}", file.display());
    for work in [
        "spin 300000000",
        "system 200000000",
        "hold 67108864",
        "fault 16777216",
        &store,
        "nap 200",
        "spin-threads 3 50000000",
        "spin 50000000",
    ] {
        running.ask(work);
        compare(&agent, tier, &program, &running, work);
    }
    running.tell("spin 1500000000");
    for _ in 0..5 {
        compare(&agent, tier, &program, &running, "while it runs");
    }
    running.await_line("cpu_ns");
    compare(&agent, tier, &program, &running, "after it ran");
    let samples = agent.scrape();
    assert_eq!(samples.groups_with_prefix(&program.name), [&*program.name]);
}

fn compare(agent: &Agent, tier: &Tier, program: &Program, running: &Running, when: &str) {
    let before = Reading::of(running.pid());
    let samples = agent.scrape();
    let after = Reading::of(running.pid());
    let complaints = complaints(&samples, &program.name, &before, &after);
    assert!(
        complaints.is_empty(),
        "{} {when}:\n{}",
        tier.name,
        complaints.join("\n")
    );
}

/// What does not stand between the two readings, or not near enough.
fn complaints(samples: &Samples, name: &str, before: &Reading, after: &Reading) -> Vec<String> {
    let group = samples.group(name);
    let memory = |kind| group.labelled("memory_bytes", &[("memtype", kind)]);
    let switches = |kind| group.labelled("context_switches_total", &[("ctxswitchtype", kind)]);
    // A shown tick is one that is complete.
    let tick = |before: u64, after: u64| {
        let (before, after) = (before as f64 * TICK_NS, (after + 1) as f64 * TICK_NS);
        (before - TICK_NS, after + TICK_NS)
    };
    let exact = |before: u64, after: u64| (before as f64, after as f64);
    let share = |before: u64, after: u64| (before as f64 * 0.98, after as f64 * 1.02);
    let (a, b) = (before, after);
    let rows = [
        (
            "user",
            group.mode_ns("user"),
            tick(a.user_ticks, b.user_ticks),
        ),
        (
            "system",
            group.mode_ns("system"),
            tick(a.system_ticks, b.system_ticks),
        ),
        (
            "resident",
            memory("resident"),
            share(a.resident_bytes, b.resident_bytes),
        ),
        (
            "virtual",
            memory("virtual"),
            exact(a.virtual_bytes, b.virtual_bytes),
        ),
        (
            "minor faults",
            group.value("minor_page_faults_total"),
            exact(a.minor_faults, b.minor_faults),
        ),
        (
            "major faults",
            group.value("major_page_faults_total"),
            exact(a.major_faults, b.major_faults),
        ),
        (
            "voluntary",
            switches("voluntary"),
            exact(a.voluntary, b.voluntary),
        ),
        (
            "nonvoluntary",
            switches("nonvoluntary"),
            exact(a.nonvoluntary, b.nonvoluntary),
        ),
        (
            "read",
            group.value("read_bytes_total"),
            exact(a.read_bytes, b.read_bytes),
        ),
        (
            "written",
            group.value("write_bytes_total"),
            exact(a.write_bytes, b.write_bytes),
        ),
        (
            "threads",
            group.value("num_threads"),
            exact(a.threads, b.threads),
        ),
        (
            "descriptors",
            group.value("open_filedesc"),
            exact(a.descriptors, b.descriptors),
        ),
        ("processes", group.processes(), (1.0, 1.0)),
    ];
    rows.iter()
        .filter(|(_, found, (low, high))| !(low..=high).contains(&found))
        .map(|(what, found, (low, high))| format!("{what}: {found}, expected {low} to {high}"))
        .collect()
}
