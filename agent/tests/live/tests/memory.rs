//! What a process holds by its share, and killed for want of memory.

use crate::{
    agent::Agent,
    group::Lives,
    guest::is_unprivileged,
    process,
    program::Program,
    runner::table,
    tier::{ALL, TYPED, Tier},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

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

/// A control group with little memory. Dropping it removes it.
struct Limited(PathBuf);

impl Limited {
    /// In the first hierarchy that has a memory controller: a version 1 one of its own, or the unified one.
    fn new(name: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let (folder, limits) = if root.join("memory/memory.limit_in_bytes").exists() {
            (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
            )
        } else {
            fs::write(root.join("cgroup.subtree_control"), "+memory").unwrap();
            (root.to_owned(), ["memory.max", "memory.swap.max"])
        };
        let group = Self(folder.join(name));
        fs::create_dir(&group.0).unwrap();
        fs::write(group.0.join(limits[0]), LIMIT).unwrap();
        // Without swap accounting there is no such file; then there must be no swap.
        if group.0.join(limits[1]).exists() {
            fs::write(group.0.join(limits[1]), LIMIT).unwrap();
        }
        group
    }

    fn take(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // One that somebody is still in stays; the test has failed then.
        let _ = fs::remove_dir(&self.0);
    }
}

fn oom_kill(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (victim, other) = (Program::new("oom"), Program::new("kill"));
    let limited = Limited::new(&victim.name);
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
