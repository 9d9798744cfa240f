//! Processes that passes of the task iterator see, but that `/proc` does not show: it is mounted with `hidepid`, and the agent
//! lacks CAP_SYS_PTRACE.
//!
//! A process that `/proc` does not show after one pass has most likely just ended. If the next pass sees it, it lives, and
//! `/proc` conceals it.

use std::collections::HashMap;

use crate::process::ProcessId;

/// The undecided processes that `/proc` did not show at the last pass: at most as many as there are processes.
#[derive(Debug, Default)]
pub(super) struct Concealed {
    /// When the pass began after which each was first missing, nanoseconds since boot.
    missing: HashMap<ProcessId, u64>,
    before: HashMap<ProcessId, u64>,
    /// Number of those that a later pass saw.
    count: usize,
    has_warned: bool,
}

impl Concealed {
    /// Begins the decisions after a pass.
    pub(super) fn begin(&mut self) {
        self.before = std::mem::take(&mut self.missing);
        self.count = 0;
    }

    /// Notes that `/proc` does not show the process, which the pass that began at `pass_ns` saw. Returns whether it is
    /// concealed.
    pub(super) fn note(&mut self, id: ProcessId, pass_ns: u64) -> bool {
        let first_ns = self.before.get(&id).copied().unwrap_or(pass_ns);
        self.missing.insert(id, first_ns);
        let is_concealed = first_ns < pass_ns;
        self.count += usize::from(is_concealed);
        is_concealed
    }

    /// Ends the decisions after a pass. Warns once.
    pub(super) fn end(&mut self) {
        self.before.clear();
        if let (false, Some(reason)) = (self.has_warned, self.reason()) {
            self.has_warned = true;
            log::warn!("{reason}");
        }
    }

    /// The reason for a degraded health.
    pub(super) fn reason(&self) -> Option<String> {
        (self.count > 0).then(|| {
            format!(
                "/proc hides {} live processes from the agent (mount option hidepid): those that have started a program since the \
                 agent's start are grouped by their exec records, the others are in no group; give the agent CAP_SYS_PTRACE, or \
                 mount /proc with hidepid=2,gid=<a group of the agent>",
                self.count
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_a_later_pass_sees_is_concealed() {
        let [one, two] = [1, 2].map(|tgid| ProcessId { tgid, start_ns: 5 });
        let mut concealed = Concealed::default();
        let mut after = |pass_ns, missing: &[ProcessId]| {
            concealed.begin();
            let found = missing.iter().filter(|id| concealed.note(**id, pass_ns));
            let found = found.count();
            concealed.end();
            (found, concealed.reason().is_some())
        };
        assert_eq!(after(10, &[one]), (0, false));
        // A reload decides anew after the same pass.
        assert_eq!(after(10, &[one]), (0, false));
        assert_eq!(after(20, &[one, two]), (1, true));
        assert_eq!(after(30, &[two]), (1, true));
        assert_eq!(after(40, &[]), (0, false));
        assert_eq!(after(50, &[two]), (0, false), "it was visible meanwhile");
    }
}
