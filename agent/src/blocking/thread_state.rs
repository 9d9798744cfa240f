//! Waits for the answer of a reader, and detects when the reader is held up.
//!
//! A thread is held up if it sleeps in a read that does not return. A thread that gets no CPU time from the scheduler is not
//! held up, however long it takes.
//!
//! ```text
//! reader:  publish .. read, read, read ---answer--->
//! waiter:             look     look    look            two looks find the same sleep: held up
//! ```
//!
//! A look reads `status` of the thread: its state, and its number of voluntary context switches, which identifies each sleep.
//! A runnable thread has state `R`, whether it runs, waits for a CPU, or is throttled by a quota. The waiter looks only while
//! no answer comes.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The data that a reader thread shares with the thread that waits for it.
#[derive(Debug, Default)]
pub(crate) struct ThreadState {
    /// The `status` file of the thread: not set until the thread has run, `None` if `/proc` does not show the thread.
    file: OnceLock<Option<PathBuf>>,
    /// Number of pieces of work that the thread has begun. It replaces the number of the sleep if `status` cannot be read.
    steps: AtomicU64,
    /// Whether the work has passed the point that matters to the waiting thread.
    pub(crate) is_marked: AtomicBool,
    /// Whether the waiting thread has left this one behind.
    pub(super) is_left: AtomicBool,
}

impl ThreadState {
    /// Declares the calling thread to be the one that looks examine. The link `/proc/thread-self` names it, even if `/proc` is
    /// that of another PID namespace.
    pub(super) fn publish(&self) {
        let link = std::fs::read_link("/proc/thread-self");
        let file = link.map(|thread| PathBuf::from("/proc").join(thread).join("status"));
        // Only the thread itself publishes, once.
        let _ = self.file.set(file.ok());
    }

    /// Notes that the thread begins its next piece of work.
    pub(crate) fn step(&self) {
        self.steps.fetch_add(1, Relaxed);
    }

    /// A number that identifies the sleep that the thread is in; `None` while it is runnable.
    pub(super) fn sleep(&self) -> Option<u64> {
        let file = self.file.get()?;
        let status = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let sleep = status.and_then(|status| parse_sleep(&status));
        sleep.unwrap_or_else(|| Some(self.steps.load(Relaxed)))
    }
}

/// [`ThreadState::sleep`] by the content of `status`; the outer `None` if a line is missing.
fn parse_sleep(status: &[u8]) -> Option<Option<u64>> {
    let value = |key: &str| {
        let mut lines = status.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(key.as_bytes()))?;
        Some(std::str::from_utf8(value).ok()?.trim())
    };
    let is_runnable = value("State:")?.starts_with('R');
    let sleeps = value("voluntary_ctxt_switches:")?.parse().ok()?;
    Some((!is_runnable).then_some(sleeps))
}

/// Receives the next value from the thread. Returns a timeout if two looks in a row, `look` apart, find the thread in the same
/// sleep: then it is held up.
pub(super) fn receive<T>(
    answers: &Receiver<T>,
    thread: &ThreadState,
    look: Duration,
) -> Result<T, RecvTimeoutError> {
    let mut before = None;
    loop {
        match answers.recv_timeout(look) {
            Err(RecvTimeoutError::Timeout) => {}
            // If the thread slept at the last look because it had no more work, its answer had been sent and is received here.
            answer => return answer,
        }
        let sleep = thread.sleep();
        if sleep.is_some() && sleep == before {
            return Err(RecvTimeoutError::Timeout);
        }
        before = sleep;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LOOK: Duration = Duration::from_millis(1);

    /// The result of waiting for a thread that does `work` and then sends 7.
    fn received(work: impl FnOnce() + Send + 'static) -> Result<u32, RecvTimeoutError> {
        let (send, answers) = sync_channel(1);
        let state = Arc::new(ThreadState::default());
        let theirs = Arc::clone(&state);
        thread::spawn(move || {
            theirs.publish();
            work();
            let _ = send.send(7);
        });
        receive(&answers, &state, LOOK)
    }

    #[test]
    fn runnable_thread_is_awaited_for_any_time() {
        let spin = || {
            let begun = Instant::now();
            while begun.elapsed() < 100 * LOOK {}
        };
        assert_eq!(received(spin), Ok(7));
    }

    #[test]
    fn thread_that_sleeps_in_a_read_is_held_up() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let read = move || {
            std::io::copy(&mut &reader, &mut std::io::sink()).unwrap();
        };
        assert_eq!(received(read), Err(RecvTimeoutError::Timeout));
    }

    #[test]
    fn thread_that_panics_is_no_longer_waited_for() {
        let panic = || std::panic::resume_unwind(Box::new(()));
        assert_eq!(received(panic), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn thread_that_has_not_run_yet_is_runnable() {
        assert_eq!(ThreadState::default().sleep(), None);
    }

    #[test]
    fn thread_without_a_status_file_sleeps_until_its_next_step() {
        let state = ThreadState::default();
        state.file.set(Some("/nonexistent".into())).unwrap();
        assert_eq!(state.sleep(), Some(0));
        state.step();
        assert_eq!(state.sleep(), Some(1));
    }

    #[test]
    fn sleep_is_found_by_the_state_and_numbered_by_voluntary_switches() {
        let status = |state: &str| {
            format!(
                "Name:\tState: R\nState:\t{state}\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"
            )
        };
        let sleep = |state| parse_sleep(status(state).as_bytes());
        assert_eq!(sleep("R (running)"), Some(None));
        assert_eq!(sleep("S (sleeping)"), Some(Some(12)));
        assert_eq!(sleep("D (disk sleep)"), Some(Some(12)));
        assert_eq!(parse_sleep(b"State:\tS (sleeping)\n"), None);
        assert_eq!(parse_sleep(b"voluntary_ctxt_switches:\t12\n"), None);
    }
}
