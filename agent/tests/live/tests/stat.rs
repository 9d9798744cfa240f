//! A long-lived process: the agent shows the values of `/proc/<pid>`. Each value stands between two readings of it, one before
//! and one after the scrape. All of it happens on the last CPU, which has no tick on a machine for that (`nohz_full=`).

use super::{between, within};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::scaled;
use crate::process::Pinned;
use crate::procfs::{Reading, thread_ticks};
use crate::program::{self, Program, Running};
use crate::runner::table;
use crate::tier::{ALL, TICK_NS, TYPED, Tier};

table![
    values_agree_with_proc for ALL,
    split_of_cpu_time_agrees_with_wait4 for TYPED,
    split_of_threads_agrees_with_proc for ALL,
];

fn values_agree_with_proc(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("busy");
    let _pinned = Pinned::to_last_cpu();
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
    let unread = samples.the("namedprocess_scrape_partial_errors", &[]);
    assert!(tier.sees_io() || unread > 0.0, "what is missing is counted");
}

/// The processes are gone before the scrape.
fn split_of_cpu_time_agrees_with_wait4(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("short");
    let count = scaled(500);
    let _pinned = Pinned::to_last_cpu();
    let report = program.run("churn", &[&count.to_string(), "3000000"]);
    let (user_ns, all_ns) = (report.reaped.user_ns as f64, report.reaped.cpu_ns as f64);
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        within(&agent, tier, &group, count + 1, report.reaped.cpu_ns)?;
        let found_ns = group.mode_ns("user");
        match (found_ns - user_ns).abs() < 0.03 * all_ns {
            true => Ok(()),
            false => Err(format!("{found_ns} ns of user time, expected {user_ns}")),
        }
    });
}

/// A thread that computes, and one that has the kernel work.
fn split_of_threads_agrees_with_proc(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("modes");
    let _pinned = Pinned::to_last_cpu();
    let mut running = program.work();
    running.ask("stay-thread spins 400000000");
    running.ask("stay-thread-in-kernel reads 400000000");
    // The threads have done all their work.
    let threads = ["spins", "reads"].map(|name| (name, thread_ticks(running.pid(), name)));
    agent.await_that(|samples| {
        let group = samples.group(&program.name);
        for (name, [user, system]) in threads {
            for (mode, ticks) in [("user", user), ("system", system)] {
                let labels = [("mode", mode), ("threadname", name)];
                let found_ns = group.labelled("thread_cpu_seconds_total", &labels) * 1e9;
                let low = (ticks as f64 - 1.0) * TICK_NS;
                between(found_ns, low, low + 3.0 * TICK_NS)
                    .map_err(|complaint| format!("{name}, {mode}: {complaint}"))?;
            }
        }
        Ok(())
    });
}

fn compare(agent: &Agent, tier: &Tier, program: &Program, running: &Running, when: &str) {
    let before = Reading::of(running.pid());
    let samples = agent.scrape();
    let after = Reading::of(running.pid());
    let complaints = complaints(tier, &samples, &program.name, &before, &after);
    assert!(
        complaints.is_empty(),
        "{} {when}:\n{}",
        tier.name,
        complaints.join("\n")
    );
}

/// The values that are not between the two readings, or not close enough.
fn complaints(
    tier: &Tier,
    samples: &Samples,
    name: &str,
    before: &Reading,
    after: &Reading,
) -> Vec<String> {
    let group = samples.group(name);
    let memory = |kind| group.labelled("memory_bytes", &[("memtype", kind)]);
    let switches = |kind| group.labelled("context_switches_total", &[("ctxswitchtype", kind)]);
    // `/proc` shows complete ticks only.
    let tick = |before: u64, after: u64| {
        let (before, after) = (before as f64 * TICK_NS, (after + 1) as f64 * TICK_NS);
        (before - TICK_NS, after + TICK_NS)
    };
    let exact = |before: u64, after: u64| (before as f64, after as f64);
    let io = |before: u64, after: u64| match tier.sees_io() {
        true => exact(before, after),
        false => (0.0, 0.0),
    };
    // Memory may be given back between the readings.
    let share = |a: u64, b: u64| (a.min(b) as f64 * 0.98, a.max(b) as f64 * 1.02);
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
            io(a.read_bytes, b.read_bytes),
        ),
        (
            "written",
            group.value("write_bytes_total"),
            io(a.write_bytes, b.write_bytes),
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
