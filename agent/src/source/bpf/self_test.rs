//! The self-test at the start: does the final record of a process carry the CPU time that `wait4` returns?
//!
//! A child works for a few milliseconds, and the agent reaps it. Its record arrives at once or, with the hook
//! `sched_process_free`, after an RCU grace period. Serving never waits for it. The kernel sometimes leaves out a record or a
//! switch (both are counted elsewhere), which may hit one child; a fault of the programs hits every child. So up to three
//! children are tried, and one right figure is enough.

use std::io;

use crate::process::Event;
use crate::source::SelfTest;

/// CPU time that the child uses.
const WORK_NS: u64 = 3_000_000;
/// Maximum time until the record arrives.
const PATIENCE_NS: u64 = 60_000_000_000;
/// Maximum number of children.
const ATTEMPTS: u32 = 3;
/// Allowed difference, to which 2 % are added: the last switch and the teardown come after `wait4` took its figure.
const TOLERANCE_NS: u64 = 100_000;

/// The state of the self-test.
#[derive(Debug, Default)]
pub(super) enum SelfTestRun {
    #[default]
    NotBegun,
    Waiting {
        tgid: u32,
        expected_ns: u64,
        begun_ns: u64,
        attempt: u32,
    },
    /// This attempt failed; another one follows.
    Missed {
        attempt: u32,
    },
    Done(SelfTest),
}

/// Forks the first child and reaps it. Takes about as long as the child works.
pub(super) fn begin(now_ns: u64) -> SelfTestRun {
    SelfTestRun::attempt(1, now_ns)
}

/// Forks a child, waits for its end, and returns its id and its CPU time by `wait4` in nanoseconds.
fn worked_child() -> io::Result<(u32, u64)> {
    // SAFETY: the child calls only `clock_gettime` and `_exit`, which are safe after fork in any program.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        while own_cpu_ns() < WORK_NS {}
        // SAFETY: ends the child without running exit handlers of the parent.
        unsafe { libc::_exit(0) };
    }
    let Ok(tgid) = u32::try_from(pid) else {
        return Err(io::Error::last_os_error());
    };
    let mut status = 0;
    // SAFETY: all bytes zero are a valid value of the type.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that outlive the call.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if reaped != pid {
        return Err(io::Error::last_os_error());
    }
    let ns = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(time.tv_usec).unwrap_or(0) * 1000
    };
    Ok((tgid, ns(usage.ru_utime) + ns(usage.ru_stime)))
}

fn own_cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

impl SelfTestRun {
    /// Decides the test if `event` is the final record of the child.
    pub(super) fn check(&mut self, event: &Event) {
        let Self::Waiting {
            tgid,
            expected_ns,
            attempt,
            ..
        } = *self
        else {
            return;
        };
        let Event::Released(released) = event else {
            return;
        };
        if released.id.tgid != tgid || released.projected {
            return;
        }
        let counted_ns = released.counters.cpu.total_ns();
        let tolerance_ns = TOLERANCE_NS + expected_ns / 50;
        if counted_ns.abs_diff(expected_ns) <= tolerance_ns {
            *self = Self::Done(SelfTest::Passed);
            return;
        }
        *self = Self::missed(
            attempt,
            &format!(
                "a child used {expected_ns} ns of CPU by wait4, and {counted_ns} ns were counted"
            ),
        );
    }

    fn attempt(attempt: u32, now_ns: u64) -> Self {
        match worked_child() {
            Ok((tgid, expected_ns)) => Self::Waiting {
                tgid,
                expected_ns,
                begun_ns: now_ns,
                attempt,
            },
            Err(error) => Self::missed(
                attempt,
                &format!(
                    "no child could be started and reaped ({error}); it needs room for one more process"
                ),
            ),
        }
    }

    fn missed(attempt: u32, what: &str) -> Self {
        if attempt < ATTEMPTS {
            log::info!("self-test: {what}; trying another child");
            return Self::Missed { attempt };
        }
        log::warn!(
            "self-test: {what}; all {ATTEMPTS} attempts failed, so the CPU time of short processes may be wrong on this \
             kernel"
        );
        Self::Done(SelfTest::Failed)
    }

    /// The state at `now_ns`. Starts the next attempt when one is due.
    pub(super) fn state(&mut self, now_ns: u64) -> SelfTest {
        if let Self::Waiting {
            begun_ns, attempt, ..
        } = *self
            && now_ns.saturating_sub(begun_ns) >= PATIENCE_NS
        {
            *self = Self::missed(
                attempt,
                "the final record of a reaped child did not come within a minute",
            );
        }
        if let Self::Missed { attempt } = *self {
            *self = Self::attempt(attempt + 1, now_ns);
        }
        match *self {
            Self::Done(state) => state,
            _ => SelfTest::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Counters, Cpu, Facts, ProcessId, Released};

    /// The final record of the child that is waited for, with `more_ns` more CPU time than it used.
    fn record(run: &SelfTestRun, more_ns: u64) -> Event {
        let SelfTestRun::Waiting {
            tgid, expected_ns, ..
        } = *run
        else {
            panic!("{run:?}");
        };
        Event::Released(Box::new(Released {
            id: ProcessId { tgid, start_ns: 1 },
            parent: 1,
            facts: Facts::default(),
            counters: Counters {
                cpu: Cpu {
                    user_ns: expected_ns + more_ns,
                    system_ns: 0,
                },
                ..Counters::default()
            },
            projected: false,
            repeated: false,
        }))
    }

    #[test]
    fn a_child_whose_figure_is_right_is_enough() {
        let mut run = begin(0);
        assert_eq!(run.state(1), SelfTest::Pending);
        for _ in 1..ATTEMPTS {
            run.check(&record(&run, WORK_NS));
            assert_eq!(run.state(1), SelfTest::Pending);
        }
        run.check(&record(&run, 0));
        assert_eq!(run.state(1), SelfTest::Passed);
    }

    #[test]
    fn a_figure_that_is_always_wrong_fails() {
        let mut run = begin(0);
        for _ in 0..ATTEMPTS {
            assert_eq!(run.state(1), SelfTest::Pending);
            run.check(&record(&run, WORK_NS));
        }
        assert_eq!(run.state(1), SelfTest::Failed);
    }

    #[test]
    fn a_record_that_never_comes_fails() {
        let mut run = begin(0);
        for attempt in 1..u64::from(ATTEMPTS) {
            assert_eq!(run.state(attempt * PATIENCE_NS - 1), SelfTest::Pending);
            assert_eq!(run.state(attempt * PATIENCE_NS), SelfTest::Pending);
        }
        let last = u64::from(ATTEMPTS) * PATIENCE_NS;
        assert_eq!(run.state(last - 1), SelfTest::Pending);
        assert_eq!(run.state(last), SelfTest::Failed);
    }
}
