//! Counts about the grouper itself.

use crate::process::{Payload, Tally};

/// Counts about the grouper itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupStatistics {
    /// Accounts in use.
    pub accounts: u64,
    /// Accounts that went to the group `other`, because no more groups may be made.
    pub overflowed: u64,
    /// Threads that share the name `other` now, because their group may have no more thread names.
    pub threads_overflowed: u64,
    /// Groups whose counts were added to those of the group `other`, to make room.
    pub folded_groups: u64,
    /// Names of threads whose counts were added to those of the name `other`, to make room.
    pub folded_threads: u64,
    /// Accounts decided by incomplete facts: the process was gone, and its record could not hold all.
    pub incomplete: u64,
    /// Accounts whose group name or labels were too long, and end in a hash.
    pub names_cut: u64,
    /// Accounts decided by a part of the arguments only.
    pub cut: u64,
    /// Times that a process with long arguments was left for a later pass.
    pub deferred: u64,
    /// CPU time that came only in a sum by comm and matched no group, nanoseconds.
    pub unattributed_cpu_ns: u64,
    /// CPU time booked, whether to a group or to none, sums by comm included; nanoseconds.
    pub booked_cpu_ns: u64,
    /// Forks booked, whether to a group or to none, sums by comm included.
    pub booked_forks: u64,
    /// Of these, forks that came only in a sum by comm.
    pub coarse_forks: u64,
    /// TCP payload booked, whether to a group or to none. Payload that waits for a decision is not in it.
    pub booked_payload: Payload,
    /// Of this, payload that belongs to no group: its processes are in none, or `-remove-empty-groups` has removed the group.
    pub ungrouped_payload: Payload,
    /// Live processes whose requests are not shown one by one, because too many are.
    pub servers_omitted: u64,
}

impl GroupStatistics {
    /// Adds one booking.
    pub(super) fn add(&mut self, booked: &Tally) {
        let cpu_ns = booked.delta.user_ns.saturating_add(booked.delta.system_ns);
        self.booked_cpu_ns = self.booked_cpu_ns.saturating_add(cpu_ns);
        self.booked_forks = self.booked_forks.saturating_add(booked.lifecycle.forks);
    }

    /// Adds a sum by comm that matched no group.
    pub(super) fn add_unattributed(&mut self, booked: &Tally) {
        let cpu_ns = booked.delta.user_ns.saturating_add(booked.delta.system_ns);
        self.unattributed_cpu_ns = self.unattributed_cpu_ns.saturating_add(cpu_ns);
    }
}
