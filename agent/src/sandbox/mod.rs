//! What the agent takes from itself, because it does not need it after its start.
//!
//! ```text
//! process: no tracing of it; no new privileges; no system call that no agent needs (exec, mount, ptrace, ...)
//!   +--> thread of the state, and its readers of /proc: capabilities for reading /proc; of bpf(), use of maps only
//!   +--> thread of HTTP, and those that check passwords: no capability, a list of system calls, few files to read
//! ```
//!
//! All of it is a thread's own and is inherited by the threads that it starts; so it is taken before they are. What this
//! kernel cannot do is left out and told: by one log line for each side, and by `headcount_sandbox_state`.

mod allowed;
mod capabilities;
mod denied;
mod files;
mod system_calls;
#[cfg(test)]
mod tests;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use capabilities::Names;

/// Why a step was left out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel refused a call.
    #[error("{0}: {1}")]
    Refused(&'static str, std::io::Error),
    /// No filter for this machine, or the kernel refused it.
    #[error(transparent)]
    Filter(#[from] system_calls::Error),
    /// Landlock refused something.
    #[error(transparent)]
    Landlock(#[from] landlock::RulesetError),
    /// Landlock is not there.
    #[error("this kernel has no Landlock, or it is not switched on (lsm=landlock,...)")]
    NoLandlock,
}

/// The two kinds of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Http,
    State,
}

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    NoNewPrivs,
    Capabilities,
    SystemCalls,
    Files,
}

/// All that is tried, and the values of the labels `side` and `step`.
const STEPS: [(Side, Step, &str, &str); 7] = [
    (Side::Http, Step::NoNewPrivs, "http", "no_new_privs"),
    (Side::Http, Step::Capabilities, "http", "capabilities"),
    (Side::Http, Step::SystemCalls, "http", "seccomp"),
    (Side::Http, Step::Files, "http", "landlock"),
    (Side::State, Step::NoNewPrivs, "state", "no_new_privs"),
    (Side::State, Step::Capabilities, "state", "capabilities"),
    (Side::State, Step::SystemCalls, "state", "seccomp"),
];

/// What has been taken so far. Shared by both sides.
#[derive(Debug, Default)]
pub struct Sandbox {
    taken: [AtomicBool; STEPS.len()],
}

impl Sandbox {
    /// Takes what no thread needs, and makes effective what the capabilities of the file permit. To be called before there
    /// is a second thread.
    pub fn begin() -> Arc<Self> {
        let sandbox = Self::default();
        // The thread of HTTP will have no capability, and one without could be traced by all programs of its user, if the
        // process did not say no. It leaves no core file with a private key either.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            log::info!("sandbox: other programs of this user can trace the agent: {error}");
        }
        if let Err(error) = capabilities::raise() {
            log::info!("sandbox: what is permitted cannot be made effective: {error}");
        }
        let mut left_out = Vec::new();
        for side in [Side::Http, Side::State] {
            // The second time changes nothing.
            sandbox.take(side, Step::NoNewPrivs, no_new_privs(), &mut left_out);
        }
        if let Err(error) = system_calls::deny() {
            left_out.push(format!("seccomp ({error})"));
        }
        if !left_out.is_empty() {
            left_out.dedup();
            log::info!("sandbox: left out at start: {}", left_out.join(", "));
        }
        Arc::new(sandbox)
    }

    /// Takes from the thread that serves HTTP all but answering, and reading `files` and those that take their place.
    pub fn confine_http(&self, files: &[impl AsRef<Path>]) {
        let mut left_out = Vec::new();
        let kept = capabilities::keep_none(|| files::can_be_read(files));
        let kept = self.take(Side::Http, Step::Capabilities, kept, &mut left_out);
        let landlock = files::read_only(files);
        self.take(Side::Http, Step::Files, landlock, &mut left_out);
        let allowed = system_calls::allow();
        self.take(Side::Http, Step::SystemCalls, allowed, &mut left_out);
        tell("HTTP", kept, &left_out);
    }

    /// Takes from the thread that owns the state what it needs no more. `uses_bpf`: there are kernel programs, and `works`
    /// tries what is done with them from now on.
    pub fn confine_state(&self, uses_bpf: bool, works: impl FnMut() -> bool) {
        let mut left_out = Vec::new();
        let kept = capabilities::keep_for_reading(works);
        let kept = self.take(Side::State, Step::Capabilities, kept, &mut left_out);
        let reading = system_calls::only_read_maps(uses_bpf);
        self.take(Side::State, Step::SystemCalls, reading, &mut left_out);
        tell("the state", kept, &left_out);
    }

    /// Values of the labels `side` and `step`, and whether it was taken.
    pub fn steps(&self) -> Vec<(&'static str, &'static str, bool)> {
        STEPS
            .iter()
            .zip(&self.taken)
            .map(|((_, _, side, step), taken)| (*side, *step, taken.load(Relaxed)))
            .collect()
    }

    /// Notes how a step went.
    fn take<T>(
        &self,
        side: Side,
        step: Step,
        result: Result<T, Error>,
        left_out: &mut Vec<String>,
    ) -> Option<T> {
        let mut all = STEPS.iter().zip(&self.taken);
        let found = all.find(|((of, what, ..), _)| (*of, *what) == (side, step));
        let ((_, _, _, word), taken) = found?;
        taken.store(result.is_ok(), Relaxed);
        result
            .map_err(|error| left_out.push(format!("{word} ({error})")))
            .ok()
    }
}

fn no_new_privs() -> Result<(), Error> {
    let set = rustix::thread::set_no_new_privs(true);
    set.map_err(|error| Error::Refused("prctl", error.into()))
}

fn tell(whose: &str, kept: Option<Names>, left_out: &[String]) {
    let kept: &dyn fmt::Display = match &kept {
        Some(names) => names,
        None => &"all",
    };
    let left_out = match left_out {
        [] => String::new(),
        _ => format!("; left out: {}", left_out.join(", ")),
    };
    log::info!("sandbox: the thread of {whose} keeps these capabilities: {kept}{left_out}");
}
