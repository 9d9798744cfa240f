//! A process of which the kernel lets nobody read a file.

use super::between;
use crate::{
    agent::Agent,
    program::Program,
    runner::table,
    tier::{ALL, Tier},
};
use std::fs;

table![an_exec_that_does_not_end_holds_up_nobody for ALL];

const SPIN_NS: u64 = 200_000_000;

fn an_exec_that_does_not_end_holds_up_nobody(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (program, other) = (Program::new("stuck"), Program::new("other"));
    let folder = tempfile::tempdir().unwrap();
    let mut server = program.start("stuck", &[folder.path().to_str().unwrap()]);
    let pid = server.await_line("stuck");
    let mut running = other.work();
    let used = |samples: &crate::exposition::Samples| samples.group(&other.name).cpu_ns();
    agent.await_that(|samples| match samples.group(&other.name).processes() {
        1.0 => Ok(()),
        count => Err(format!("{count} processes")),
    });
    let before_ns = used(&agent.scrape());
    let began_ns = running.ask("spin 1");
    let used_ns = (running.ask(&format!("spin {SPIN_NS}")) - began_ns) as f64;
    let samples = agent.await_that(|samples| {
        let found_ns = used(samples) - before_ns;
        between(found_ns, used_ns * 0.9 - 20e6, used_ns * 1.1 + 20e6)
    });
    // Which files wait for an exec, differs from kernel to kernel; the iterator reads few.
    let held_up = samples.the("headcount_procfs_readers_held_up", &[]);
    assert!(held_up > 0.0 || tier.name == "iterator");
    // The name follows when the files are closed; `comm` never waits.
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(comm.trim_end(), program.name);

    server.finish();
    agent.await_that(
        |samples| match samples.the("headcount_procfs_readers_held_up", &[]) {
            0.0 => Ok(()),
            count => Err(format!("{count} readers are held up")),
        },
    );
}
