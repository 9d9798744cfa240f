//! Proportional memory, kills for want of memory, and the memory that the agent itself needs.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;

use crate::agent::Agent;
use crate::group::Lives;
use crate::guest::{is_unprivileged, scaled};
use crate::limited::{Limited, MEMORY};
use crate::process;
use crate::procfs::value;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ALL, ITERATOR, PROCFS, TYPED, Tier};

table![
    a_busy_node_fits_into_little_memory for &[&ITERATOR, &PROCFS],
    agent_without_memory_serves_a_whole_answer_or_ends for &[&ITERATOR],
    oom_kill_is_counted for TYPED,
    proportional_memory_is_that_of_the_kernel for ALL,
];

const LIMIT: &str = "33554432";
/// Enough for 5,000 processes, as docs/requirements.md and the manifests say.
const ENOUGH: &str = "67108864";
/// Twice the limit.
const WANTED: &str = "67108864";

/// The shown share is the kernel's, soon after the process has run. An agent that may not trace the process shows none, and
/// counts that.
fn proportional_memory_is_that_of_the_kernel(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("share");
    let mut running = program.work();
    running.ask(&format!("hold {WANTED}"));
    let rollup = format!("/proc/{}/smaps_rollup", running.pid());
    agent.await_that(|samples| {
        let text = fs::read_to_string(&rollup).unwrap();
        let kib = value(&text, "Pss:") as f64;
        let label = [("memtype", "proportionalResident")];
        let shown = samples
            .group(&program.name)
            .labelled("memory_bytes", &label);
        if is_unprivileged() {
            let failures = samples.the("headcount_smaps_failures_total", &[]);
            let is_right = shown == 0.0 && failures > 0.0;
            return is_right
                .then_some(())
                .ok_or_else(|| format!("{shown} bytes, {failures} failures"));
        }
        if kib < 65_536.0 || (shown / 1024.0 - kib).abs() > kib * 0.02 {
            return Err(format!("{shown} bytes of {kib} KiB"));
        }
        Ok(())
    });
}

fn oom_kill_is_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (victim, other) = (Program::new("oom"), Program::new("kill"));
    let limited = Limited::new(&victim.name, &MEMORY, LIMIT);
    let mut running = victim.work();
    limited.take(running.pid());
    running.tell(&format!("hold {WANTED}"));
    let report = running.finish();
    assert_eq!(report.reaped.end, process::End::Signal, "it was not killed");
    // The same signal, sent by a process: no lack of memory.
    drop(other.work());
    let killed = Lives {
        execs: 1,
        signal: 1,
        ..Lives::default()
    };
    let samples = agent.await_settled(|samples| {
        killed.check(&samples.group(&victim.name))?;
        killed.check(&samples.group(&other.name))
    });
    assert_eq!(samples.group(&victim.name).value("oom_kills_total"), 1.0);
    assert_eq!(samples.group(&other.name).value("oom_kills_total"), 0.0);
}

/// Five thousand processes with as many names, others that come and go, and clients that hold as many answers as they can: within
/// the limit, for the tier that loads the most, and the one that reads the most.
fn a_busy_node_fits_into_little_memory(tier: &'static Tier) {
    let crowd = Program::new("crowd");
    let count = scaled(5000);
    let mut members = crowd.start("crowd-of-processes", &[&count.to_string()]);
    assert_eq!(members.await_line("ready"), count);
    let (limited, churn) = (
        Limited::new(&crowd.name, &MEMORY, ENOUGH),
        Program::new("churn"),
    );
    let agent = Agent::start_within(&limited, tier);
    let silent: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(("127.0.0.1", agent.port())).unwrap())
        .collect();
    let lives = scaled(200);
    churn.run("churn", &[&lives.to_string(), "0", churn.path_text()]);
    for _ in 0..3 {
        let samples = agent.scrape();
        let live = samples.the("headcount_processes", &[("state", "live")]);
        assert!(live > count as f64, "{live} processes");
    }
    let groups = agent.scrape().the("headcount_groups", &[]);
    assert!(groups >= 1000.0_f64.min(count as f64), "{groups} groups");
    assert_eq!(silent.len(), 100);
    if tier.has_events {
        // More names than groups: they are in that of all others.
        let samples = agent.scrape();
        let execs = samples.the("headcount_kernel_execs_total", &[]);
        assert!(execs > lives as f64, "{execs} execs of {lives} and one");
        assert_eq!(samples.the("headcount_events_lost_total", &[]), 0.0);
    }
    // The names reach the bound of groups, which `/health` reports as its only reason.
    agent.await_that(|_| {
        let mut reasons = agent.complaints(tier);
        reasons.retain(|reason| !reason.contains("more group names"));
        match reasons.as_slice() {
            [] => Ok(()),
            reasons => Err(format!("{reasons:?}")),
        }
    });
    drop(agent);
    members.finish();
}

/// The kernel ends the agent at any point of its start. Each client has a whole answer by then, or none.
fn agent_without_memory_serves_a_whole_answer_or_ends(tier: &'static Tier) {
    for mib in [3_u32, 8, 16, 24] {
        let program = Program::new("tight");
        let limited = Limited::new(&program.name, &MEMORY, &(mib << 20).to_string());
        match Agent::spawn_within(&limited, tier).scrape_or_end() {
            Ok(samples) => assert!(samples.the("headcount_processes", &[("state", "live")]) > 1.0),
            Err(status) => assert_eq!(status.signal(), Some(libc::SIGKILL)),
        }
        assert!(mib > 3 || limited.kills() > 0, "3 MiB were enough");
    }
}
