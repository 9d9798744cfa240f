//! The sandbox: rights that the agent gives up after its start, because it does not need them any more.
//!
//! ```text
//! process: not traceable; no new privileges; no system call that no part of the agent needs (exec, mount, ptrace, ...)
//!   +--> state thread, and its readers of /proc: capabilities for reading /proc; of bpf(), use of existing
//!   |                                         maps, programs and links only
//!   +--> HTTP thread, and its threads that check passwords: no capability, a list of system calls, few files to read
//!   +--> targets thread, and its readers of files: capabilities for reading, if a kind of target needs them; a list of
//!   |    system calls: client sockets, no listening
//!   +--> names thread, and its look-ups of names: no capability; a list of system calls: UDP, too, and no listening
//!   +--> broker thread, which writes the paths of applications: no capability, a list of system calls, one directory to
//!        write in
//! ```
//!
//! In: the files that the HTTP thread reads, and a trial of the state thread's work with its kernel programs. Out: log lines, and
//! [`Sandbox::steps`] for the metric `headcount_sandbox_state`.
//!
//! Each right belongs to a thread, and a new thread inherits the rights of the one that starts it. So the threads of
//! HTTP, of the state and of the targets give them up before they start threads of their own. Some threads start with all
//! rights and confine themselves: the main thread starts those of the state, of the targets, of the broker and of Unix sockets
//! before it is confined, and the targets thread starts that of names before it is. Steps that this kernel does not support are
//! left out and reported: in one log line for each side and in `headcount_sandbox_state`. The steps of a side that does not run
//! are absent.

mod allowed;
mod capabilities;
mod denied;
mod files;
mod filter;
mod system_calls;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

pub use capabilities::CapabilityNames;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Why a step was left out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// The kernel refused a call.
    #[error("{0}: {1}")]
    Refused(&'static str, std::io::Error),
    /// Landlock refused the rules.
    #[error(transparent)]
    Landlock(#[from] landlock::RulesetError),
    /// The kernel has no Landlock.
    #[error("this kernel has no Landlock, or it is not switched on (lsm=landlock,...)")]
    NoLandlock,
}

/// The threads that are confined, each with the threads that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Http,
    State,
    Targets,
    Names,
    Broker,
}

/// A kind of right that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    NoNewPrivs,
    Capabilities,
    SystemCalls,
    Files,
}

/// All steps: whose right, and which one.
const STEPS: [(Side, Right); 17] = [
    (Side::Http, Right::NoNewPrivs),
    (Side::Http, Right::Capabilities),
    (Side::Http, Right::SystemCalls),
    (Side::Http, Right::Files),
    (Side::State, Right::NoNewPrivs),
    (Side::State, Right::Capabilities),
    (Side::State, Right::SystemCalls),
    (Side::Targets, Right::NoNewPrivs),
    (Side::Targets, Right::Capabilities),
    (Side::Targets, Right::SystemCalls),
    (Side::Names, Right::NoNewPrivs),
    (Side::Names, Right::Capabilities),
    (Side::Names, Right::SystemCalls),
    (Side::Broker, Right::NoNewPrivs),
    (Side::Broker, Right::Capabilities),
    (Side::Broker, Right::SystemCalls),
    (Side::Broker, Right::Files),
];

impl Side {
    /// The value of the label `side`.
    const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::State => "state",
            Self::Targets => "targets",
            Self::Names => "names",
            Self::Broker => "broker",
        }
    }
}

impl Right {
    /// The value of the label `step`.
    const fn word(self) -> &'static str {
        match self {
            Self::NoNewPrivs => "no_new_privs",
            Self::Capabilities => "capabilities",
            Self::SystemCalls => "seccomp",
            Self::Files => "landlock",
        }
    }
}

/// The steps that were tried so far, and whether they succeeded. Shared by all sides.
#[derive(Debug, Default)]
pub struct Sandbox {
    tried: [OnceLock<bool>; STEPS.len()],
}

impl Sandbox {
    /// Gives up the capabilities that no thread needs, and makes effective those that the file capabilities permit. Call this
    /// before the process has a second thread.
    pub fn begin() -> Arc<Self> {
        let sandbox = Self::default();
        // The HTTP thread will have no capability, so all programs of its user could trace it if the process were
        // dumpable. It is not, so it leaves no core file with a private key either.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            log::info!("sandbox: other programs of this user can trace the agent: {error}");
        }
        if let Err(error) = capabilities::raise() {
            log::info!("sandbox: cannot make the permitted capabilities effective: {error}");
        }
        let mut left_out = Vec::new();
        for side in [Side::Http, Side::State] {
            // Repeating the call changes nothing.
            sandbox.take(side, Right::NoNewPrivs, no_new_privs(), &mut left_out);
        }
        if let Err(error) = system_calls::deny() {
            left_out.push(format!("seccomp ({error})"));
        }
        if !left_out.is_empty() {
            left_out.dedup();
            log::info!("sandbox: failed steps at start: {}", left_out.join(", "));
        }
        Arc::new(sandbox)
    }

    /// Confines the calling thread, which serves HTTP, to answering requests and reading `files` and the files that
    /// replace them.
    pub fn confine_http(&self, files: &[impl AsRef<Path>]) {
        let mut left_out = Vec::new();
        let kept = capabilities::keep_none(|| files::can_be_read(files));
        let kept = self.take(Side::Http, Right::Capabilities, kept, &mut left_out);
        let landlock = files::read_only(files);
        self.take(Side::Http, Right::Files, landlock, &mut left_out);
        let allowed = system_calls::only_serve();
        self.take(Side::Http, Right::SystemCalls, allowed, &mut left_out);
        log_kept("HTTP", kept, &left_out);
    }

    /// Confines the calling thread, which owns the state, to the rights that it needs from now on. `uses_bpf`: kernel programs
    /// are loaded; `works` tries the calls that the thread will make with them.
    pub fn confine_state(&self, uses_bpf: bool, works: impl FnMut() -> bool) {
        let mut left_out = Vec::new();
        let kept = capabilities::keep_for_reading(works);
        let kept = self.take(Side::State, Right::Capabilities, kept, &mut left_out);
        let reading = system_calls::only_read_maps(uses_bpf);
        self.take(Side::State, Right::SystemCalls, reading, &mut left_out);
        log_kept("state", kept, &left_out);
    }

    /// Confines the calling thread, which asks targets, to reading files and to connections that it opens itself.
    /// `may_read_others`: a kind of target needs files of other users' processes, such as `/proc/<pid>/root`. The
    /// thread must have its runtime already: afterwards it can make no epoll instance.
    pub fn confine_targets(&self, may_read_others: bool) {
        let mut left_out = Vec::new();
        // Repeating the call changes nothing.
        self.take(
            Side::Targets,
            Right::NoNewPrivs,
            no_new_privs(),
            &mut left_out,
        );
        let kept = capabilities::keep_for_asking(may_read_others);
        let kept = self.take(Side::Targets, Right::Capabilities, kept, &mut left_out);
        let allowed = system_calls::only_ask();
        self.take(Side::Targets, Right::SystemCalls, allowed, &mut left_out);
        log_kept("targets", kept, &left_out);
    }

    /// Confines the calling thread, which resolves the names of hosts, to reading files and to asking name servers.
    pub fn confine_names(&self) {
        let mut left_out = Vec::new();
        // Repeating the call changes nothing.
        self.take(
            Side::Names,
            Right::NoNewPrivs,
            no_new_privs(),
            &mut left_out,
        );
        let kept = capabilities::keep_none(|| true);
        let kept = self.take(Side::Names, Right::Capabilities, kept, &mut left_out);
        let allowed = system_calls::only_resolve();
        self.take(Side::Names, Right::SystemCalls, allowed, &mut left_out);
        log_kept("names", kept, &left_out);
    }

    /// Confines the calling thread, which writes the file of the service broker, to writing files in `directory`.
    pub fn confine_broker(&self, directory: &Path) {
        let mut left_out = Vec::new();
        // Repeating the call changes nothing.
        self.take(
            Side::Broker,
            Right::NoNewPrivs,
            no_new_privs(),
            &mut left_out,
        );
        let kept = capabilities::keep_none(|| true);
        let kept = self.take(Side::Broker, Right::Capabilities, kept, &mut left_out);
        let landlock = files::write_only(directory);
        self.take(Side::Broker, Right::Files, landlock, &mut left_out);
        let allowed = system_calls::only_write();
        self.take(Side::Broker, Right::SystemCalls, allowed, &mut left_out);
        log_kept("broker", kept, &left_out);
    }

    /// All steps that were tried: the values of the labels `side` and `step`, and whether the step succeeded.
    pub fn steps(&self) -> Vec<(&'static str, &'static str, bool)> {
        let all = STEPS.iter().zip(&self.tried);
        all.filter_map(|((side, right), tried)| Some((side.word(), right.word(), *tried.get()?)))
            .collect()
    }

    /// Records the result of a step, and adds a failed one to `left_out`.
    fn take<T>(
        &self,
        side: Side,
        right: Right,
        result: Result<T, impl fmt::Display>,
        left_out: &mut Vec<String>,
    ) -> Option<T> {
        let mut all = STEPS.iter().zip(&self.tried);
        let (_, tried) = all.find(|(step, _)| **step == (side, right))?;
        // Each side is confined once.
        let _ = tried.set(result.is_ok());
        result
            .map_err(|error| left_out.push(format!("{} ({error})", right.word())))
            .ok()
    }
}

fn no_new_privs() -> Result<(), SandboxError> {
    let set = rustix::thread::set_no_new_privs(true);
    set.map_err(|error| SandboxError::Refused("prctl", error.into()))
}

fn log_kept(thread: &str, kept: Option<CapabilityNames>, left_out: &[String]) {
    let kept: &dyn fmt::Display = match &kept {
        Some(names) => names,
        None => &"all",
    };
    let left_out = match left_out {
        [] => String::new(),
        _ => format!("; failed steps: {}", left_out.join(", ")),
    };
    log::info!("sandbox: the {thread} thread keeps these capabilities: {kept}{left_out}");
}
