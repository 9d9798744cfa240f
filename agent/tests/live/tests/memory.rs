//! What a process holds by its share, and killed for want of memory.

use crate::{
    agent::Agent,
    group::Lives,
    guest::is_unprivileged,
    limited::{Limited, MEMORY},
    process,
    program::Program,
    runner::table,
    tier::{ALL, TYPED, Tier},
};
use std::fs;

table![oom_kill for TYPED, proportional_memory for ALL];

const LIMIT: &str = "33554432";
/// Twice the limit.
const WANTED: &str = "67108864";

/// The share that is shown is the kernel's, soon after the process has run. Who may not trace it shows none, and counts that.
fn proportional_memory(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("share");
    let mut running = program.work();
    running.ask(&format!("hold {WANTED}"));
    let rollup = format!("/proc/{}/smaps_rollup", running.pid());
    agent.await_that(|samples| {
        let text = fs::read_to_string(&rollup).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib: f64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
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

fn oom_kill(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (victim, other) = (Program::new("oom"), Program::new("kill"));
    let limited = Limited::new(&victim.name, &MEMORY, LIMIT);
    let mut running = victim.work();
    limited.take(running.pid());
    running.tell(&format!("hold {WANTED}"));
    let report = running.finish();
    assert_eq!(report.reaped.end, process::End::Signal, "it was not killed");
    // The same signal, sent by somebody: no lack of memory.
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
