//! The iterator cannot be opened: from the start, or for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::thread::CapabilitySet;

use super::{NEEDED, exit_hook, goes_on, judging, text};
use crate::agent::Agent;
use crate::bpf_calls::{Call, Verdict};
use crate::exposition::Samples;
use crate::group::Lives;
use crate::program::Program;
use crate::rights::Rights;
use crate::runner::table;
use crate::surroundings::Surroundings;
use crate::tests::{alive_within, within};
use crate::tier::{ITERATOR, SWITCH, Tier};

table![
    from_the_start for NEEDED,
    for_a_while for NEEDED,
    processes_that_proc_hides_are_grouped_by_their_exec_records_and_reported for NEEDED,
];

fn from_the_start(_: &'static Tier) {
    let surroundings = judging(
        |call| *call == Call::OpenIterator,
        Verdict::Refuse(libc::EPERM),
    );
    let agent = Agent::start_in(surroundings, &[]);
    goes_on(
        &agent,
        (&SWITCH, exit_hook()),
        &["iter/task", &text(libc::EPERM)],
    );
}

/// Meanwhile a program runs and ends, and another one lives on. No group is shown; afterwards nothing of them is missing.
fn for_a_while(_: &'static Tier) {
    let errno = Arc::new(AtomicI32::new(0));
    let now = Arc::clone(&errno);
    let surroundings = Surroundings {
        judge: Some(Box::new(move |call| match now.load(Ordering::SeqCst) {
            0 => Verdict::Allow,
            errno if *call == Call::OpenIterator => Verdict::Refuse(errno),
            _ => Verdict::Allow,
        })),
        ..Surroundings::default()
    };
    let agent = Agent::start_in(surroundings, &[]);
    let living = Program::new("lives");
    let mut lives = living.work();
    for refused in [libc::EMFILE, libc::ENOMEM] {
        let ended = Program::new("ended");
        lives.ask("spin 20000000");
        agent.scrape();
        assert_eq!(agent.health().0, "ok");
        errno.store(refused, Ordering::SeqCst);
        let before = agent.scrape().the("namedprocess_scrape_errors", &[]);
        let report = ended.run("end", &["20000000", "success"]);
        let used_ns = lives.ask("spin 20000000");
        let samples = agent.scrape();
        assert_eq!(samples.the("namedprocess_scrape_errors", &[]), before + 1.0);
        assert_eq!(
            samples.series("namedprocess_namegroup_num_procs").count(),
            0
        );
        let (status, reasons) = agent.health();
        assert_eq!(status, "degraded");
        let reason = text(refused);
        let expected = format!("the last pass failed: cannot read tasks from the kernel: {reason}");
        assert_eq!(reasons, [expected]);
        errno.store(0, Ordering::SeqCst);
        agent.await_settled(|samples| {
            let group = samples.group(&ended.name);
            Lives::ONE_PROGRAM.check(&group)?;
            within(&agent, &ITERATOR, &group, 1, report.reaped.cpu_ns)?;
            alive_within(&ITERATOR, samples.group(&living.name).cpu_ns(), used_ns)
        });
        assert_eq!(agent.health(), ("ok".to_owned(), vec![]));
    }
}

/// `/proc` with `hidepid`, for an agent without CAP_SYS_PTRACE: the iterator alone shows the processes of others.
fn processes_that_proc_hides_are_grouped_by_their_exec_records_and_reported(_: &'static Tier) {
    let surroundings = Surroundings {
        hides_processes: true,
        ..Surroundings::default()
    };
    let rights = Rights::root_with(CapabilitySet::BPF | CapabilitySet::PERFMON);
    let agent = Agent::start_in_as(&rights, surroundings, &["--accounting=iterator"]);
    let program = Program::new("hides");
    let mut running = program.work();
    let used_ns = running.ask("spin 20000000");
    let errors = |samples: &Samples| samples.the("namedprocess_scrape_procread_errors", &[]);
    let before = errors(&agent.scrape());
    agent.await_one(&program.name);
    assert!(errors(&agent.scrape()) > before);
    let is_it = |text: &&String| text.contains("hidepid") && text.contains("CAP_SYS_PTRACE");
    assert_eq!(agent.warnings().iter().filter(is_it).count(), 1);
    let (status, reasons) = agent.health();
    assert_eq!(status, "degraded");
    assert_eq!(reasons.iter().filter(is_it).count(), 1, "{reasons:?}");
    let found_ns = agent.scrape().group(&program.name).cpu_ns();
    assert_eq!(alive_within(&ITERATOR, found_ns, used_ns), Ok(()));
    running.finish();
}
