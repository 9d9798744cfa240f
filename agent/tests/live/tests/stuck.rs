//! A process with a file in `/proc` that no reader gets.

use std::time::Duration;
use std::{fs, thread};

use super::between;
use crate::agent::Agent;
use crate::group::Lives;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ALL, EXACT, Tier};

table![
    exec_that_does_not_end_delays_no_scrape for ALL,
    an_exec_during_a_scrape_takes_nothing_from_the_one_before for EXACT,
    many_execs_of_one_user_that_do_not_end_hide_no_process_of_others for ALL,
];

/// Groups by comm, and has the working directory of each process read, too.
const BY_COMM_AND_DIRECTORY: &str = "\
process_names:
  - name: '{{.Cwd}}'
    comm: [of-nobody]
  - name: '{{.Comm}}'
    cmdline: ['.*']
";

const SPIN_NS: u64 = 200_000_000;

fn exec_that_does_not_end_delays_no_scrape(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &[], Some(BY_COMM_AND_DIRECTORY));
    let (program, other) = (Program::new("stuck"), Program::new("other"));
    let folder = tempfile::tempdir().unwrap();
    let mut server = program.start("stuck", &[folder.path().to_str().unwrap()]);
    let pid = server.await_line("stuck");
    let mut running = other.work();
    let used = |samples: &crate::exposition::Samples| samples.group(&other.name).cpu_ns();
    agent.await_one(&other.name);
    let before_ns = used(&agent.scrape());
    let began_ns = running.ask("spin 1");
    let used_ns = (running.ask(&format!("spin {SPIN_NS}")) - began_ns) as f64;
    let samples = agent.await_that(|samples| {
        let found_ns = used(samples) - before_ns;
        between(found_ns, used_ns * 0.9 - 20e6, used_ns * 1.1 + 20e6)
    });
    // The files that wait for an exec differ from kernel to kernel; the iterator reads few.
    let held_up = samples.the("headcount_procfs_readers_held_up", &[]);
    assert!(held_up > 0.0 || tier.name == "iterator");
    // One that starts meanwhile serves, too.
    drop(Agent::start_with(tier, &[], Some(BY_COMM_AND_DIRECTORY)));
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

/// The middle of the 200 ms that a scrape waits at most for the files of a stuck process.
const INTO_THE_SCRAPE: Duration = Duration::from_millis(100);

/// The agent takes the records before it reads names: a process that runs another program by then has the names of that program.
fn an_exec_during_a_scrape_takes_nothing_from_the_one_before(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let [stuck, first, next] = ["stuck", "first", "next"].map(Program::new);
    let folder = tempfile::tempdir().unwrap();
    // Older than the other process, so the agent reads its name first, and gets no answer.
    let mut server = stuck.start("stuck", &[folder.path().to_str().unwrap()]);
    server.await_line("stuck");
    let mut running = first.work();
    thread::scope(|scope| {
        scope.spawn(|| agent.scrape());
        thread::sleep(INTO_THE_SCRAPE);
        running.ask(&format!("exec {}", next.path_text()));
    });
    running.ask("spin 1");
    running.finish();
    server.finish();
    agent.await_settled(|samples| {
        let born = Lives {
            execs: 1,
            ..Lives::default()
        };
        born.check(&samples.group(&first.name))?;
        Lives::ONE_PROGRAM.check(&samples.group(&next.name))
    });
}

const ATTACKER: u32 = 54_321;
const HELD: usize = 64;

/// The attacker needs no rights: a FUSE file system in a user namespace of its own, whose server does not answer.
fn many_execs_of_one_user_that_do_not_end_hide_no_process_of_others(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &[], Some(BY_COMM_AND_DIRECTORY));
    let (program, other) = (Program::new("crowd"), Program::new("other"));
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(ATTACKER), None).unwrap();
    let path = folder.path().to_str().unwrap();
    let (uid, count) = (ATTACKER.to_string(), HELD.to_string());
    let mut server = program.start("stuck-crowd", &[path, &uid, &count]);
    server.await_line("stuck");
    // The agent has asked for all files of them before the process that must be seen is there.
    agent.scrape();
    agent.scrape();
    let running = other.work();
    agent.await_one(&other.name);
    let samples = agent.scrape();
    let held_up = samples.the("headcount_procfs_readers_held_up", &[]);
    assert!(held_up <= 16.0, "{held_up} readers are held up");
    let smaps = samples.value("headcount_smaps_readers_held_up", &[]);
    assert!(smaps.is_none_or(|count| count <= 2.0), "{smaps:?}");
    if tier.name == "iterator" {
        // The server, and the forks of its image that do not answer.
        let seen = samples.group(&program.name).processes();
        assert_eq!(seen, (HELD + 1) as f64);
    } else {
        let refused = samples.the("headcount_procfs_reads_refused_total", &[]);
        assert!(refused > 0.0, "{}", agent.log());
    }
    running.finish();
    server.finish();
    agent.await_that(
        |samples| match samples.the("headcount_procfs_readers_held_up", &[]) {
            0.0 => Ok(()),
            count => Err(format!("{count} readers are held up")),
        },
    );
}
