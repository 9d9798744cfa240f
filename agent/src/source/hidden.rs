//! Adds processes to a pass that exist but that the task iterator does not show.
//!
//! The kernel of some sandboxes hides its init from kernel programs, including the iterator. The agent compares the first
//! pass with the list of processes in `/proc`. It reads processes that the pass lacks from `/proc`, at this pass and at each
//! later one, as the procfs tier does. Later passes compare the number of tasks that the kernel counts (`/proc/loadavg`) with
//! the number that they saw, and list `/proc` again if tasks are missing, at most once in [`COMPARE_NS`].
//!
//! In: a pass of the iterator. Out: the same pass with the hidden processes in it. Totals are absolute, so a process that the
//! iterator shows again, or whose final record arrives, is not counted twice.

use std::collections::HashSet;

use super::procfs::Procfs;
use super::statistics::HiddenStatistics;
use crate::process::Pass;

/// Maximum number of hidden processes that are read at each pass; further ones are only counted.
const MOST: usize = 256;
/// Minimum time between two comparisons, nanoseconds. Processes are born and end between the pass and the count of tasks, so
/// on a busy node some often seem to be missing.
const COMPARE_NS: u64 = 30_000_000_000;

/// The hidden processes that are known.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// Process ids, sorted; at most [`MOST`].
    known: Vec<u32>,
    omitted: u64,
    /// Time of the last comparison with the list of `/proc`, nanoseconds since boot; `None` before the first one.
    compared_ns: Option<u64>,
    has_warned: bool,
}

impl Hidden {
    /// Adds to `pass` the processes that the iterator did not show.
    pub(super) fn complete(&mut self, pass: &mut Pass, procfs: &mut Procfs) {
        let is_due = self
            .compared_ns
            .is_none_or(|then_ns| pass.started_ns.saturating_sub(then_ns) >= COMPARE_NS);
        let is_first = self.compared_ns.is_none();
        if !self.known.is_empty() {
            self.read(pass, procfs);
        }
        if is_due && (is_first || misses_tasks(pass, procfs)) {
            self.compared_ns = Some(pass.started_ns);
            let before = self.known.len();
            self.compare(pass, procfs);
            if self.known.len() > before {
                self.read(pass, procfs);
            }
        }
    }

    pub(super) fn statistics(&self) -> HiddenStatistics {
        HiddenStatistics {
            read: self.known.len() as u64,
            omitted: self.omitted,
        }
    }

    /// Compares the pass with the list of `/proc`, and notes which processes the iterator hides.
    fn compare(&mut self, pass: &Pass, procfs: &mut Procfs) {
        let Ok(listed) = procfs.list() else { return };
        let seen: HashSet<u32> = pass.processes.iter().map(|one| one.id.tgid).collect();
        let missing = listed.into_iter().filter(|tgid| !seen.contains(tgid));
        // A process that was born during the pass may be missing from it, and one that has ended is not hidden.
        let born_before = pass.started_ns.saturating_sub(procfs.host().tick_ns);
        let mut hidden: Vec<u32> = missing
            .filter(|tgid| match procfs.start_ns(*tgid) {
                Ok(start_ns) => start_ns < born_before,
                Err(error) => error.is_unanswered(),
            })
            .collect();
        hidden.extend(&self.known);
        hidden.sort_unstable();
        hidden.dedup();
        self.omitted = hidden.len().saturating_sub(MOST) as u64;
        hidden.truncate(MOST);
        self.known = hidden;
        if let (Some(first), false) = (self.known.first(), self.has_warned) {
            self.has_warned = true;
            log::warn!(
                "the kernel hides {} processes from the task iterator, such as process {first}; the agent reads {} of them \
                 from /proc at each pass",
                self.known.len() as u64 + self.omitted,
                self.known.len()
            );
        }
    }

    /// Reads the known hidden processes from `/proc`. A process that the iterator shows now, or that has ended, is no longer
    /// hidden.
    fn read(&mut self, pass: &mut Pass, procfs: &mut Procfs) {
        let known = &mut self.known;
        let added = std::mem::take(&mut pass.from_procfs);
        let is_added = |tgid: &u32| added.binary_search(tgid).is_ok();
        for one in &pass.processes {
            let tgid = one.id.tgid;
            if let (false, Ok(at)) = (is_added(&tgid), known.binary_search(&tgid)) {
                known.remove(at);
            }
        }
        pass.processes.retain(|one| !is_added(&one.id.tgid));
        pass.unread.retain(|tgid| !is_added(tgid));
        // If the iterator hides only the main thread, it has shown the others. They are dropped, because `/proc` shows all.
        let is_hidden = |tgid: u32| known.binary_search(&tgid).is_ok();
        pass.threads.retain(|thread| !is_hidden(thread.tgid));
        let mut gone = Vec::new();
        for one in procfs.samples(known) {
            match one.sample {
                Ok(sample) => pass.processes.push(sample),
                Err(error) if error.is_gone() => gone.push(one.tgid),
                Err(_) => pass.unread.push(one.tgid),
            }
            pass.threads.extend(one.threads);
        }
        known.retain(|tgid| !gone.contains(tgid));
        pass.from_procfs.clone_from(known);
        pass.threads
            .sort_unstable_by_key(|thread| (thread.tgid, thread.tid));
    }
}

/// Whether the kernel counts more tasks than the pass has seen.
fn misses_tasks(pass: &Pass, procfs: &mut Procfs) -> bool {
    let seen = pass.processes.iter().map(|one| u64::from(one.threads));
    let seen: u64 = seen.sum();
    procfs.tasks().is_none_or(|counted| counted > seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;

    fn reader() -> Procfs {
        Procfs::new(Host::detect("/proc", "/").unwrap())
    }

    /// The pass of a kernel whose iterator hides the process `hidden`.
    fn iterator_pass(procfs: &mut Procfs, hidden: Option<u32>) -> Pass {
        let mut pass = procfs.pass().unwrap();
        pass.processes.retain(|one| Some(one.id.tgid) != hidden);
        pass.threads.retain(|one| Some(one.tgid) != hidden);
        pass.switches_by_thread = false;
        pass
    }

    fn count(pass: &Pass, tgid: u32) -> usize {
        let processes = pass.processes.iter();
        processes.filter(|one| one.id.tgid == tgid).count()
    }

    #[test]
    fn process_hidden_from_the_first_pass_is_read_from_procfs_at_each_pass() {
        let (mut procfs, mut hidden) = (reader(), Hidden::default());
        let own = std::process::id();
        for _ in 0..3 {
            let mut pass = iterator_pass(&mut procfs, Some(own));
            hidden.complete(&mut pass, &mut procfs);
            assert_eq!(count(&pass, own), 1);
            assert!(pass.from_procfs.contains(&own));
            let is_sorted = |one: &[crate::process::ThreadSample]| {
                (one[0].tgid, one[0].tid) < (one[1].tgid, one[1].tid)
            };
            assert!(pass.threads.windows(2).all(is_sorted), "no thread twice");
        }
        assert!(hidden.statistics().read >= 1);
    }

    #[test]
    fn process_that_the_iterator_shows_again_is_counted_once() {
        let (mut procfs, mut hidden) = (reader(), Hidden::default());
        let own = std::process::id();
        hidden.complete(&mut iterator_pass(&mut procfs, Some(own)), &mut procfs);
        let mut pass = iterator_pass(&mut procfs, None);
        hidden.complete(&mut pass, &mut procfs);
        assert_eq!(count(&pass, own), 1);
        assert!(!pass.from_procfs.contains(&own));
    }

    #[test]
    fn process_hidden_later_is_found_by_the_number_of_tasks() {
        let (mut procfs, mut hidden) = (reader(), Hidden::default());
        let own = std::process::id();
        hidden.complete(&mut iterator_pass(&mut procfs, None), &mut procfs);
        let mut pass = iterator_pass(&mut procfs, Some(own));
        hidden.complete(&mut pass, &mut procfs);
        assert_eq!(count(&pass, own), 0, "compared a moment ago");
        let mut pass = iterator_pass(&mut procfs, Some(own));
        pass.started_ns += COMPARE_NS;
        hidden.complete(&mut pass, &mut procfs);
        assert_eq!(count(&pass, own), 1);
    }

    #[test]
    fn process_born_during_the_pass_is_not_taken_for_hidden() {
        let (mut procfs, mut hidden) = (reader(), Hidden::default());
        let own = std::process::id();
        let mut pass = iterator_pass(&mut procfs, Some(own));
        pass.started_ns = procfs.start_ns(own).unwrap();
        hidden.complete(&mut pass, &mut procfs);
        assert_eq!(count(&pass, own), 0);
    }

    #[test]
    fn process_that_has_ended_is_hidden_no_more() {
        let (mut procfs, mut hidden) = (reader(), Hidden::default());
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let mut pass = iterator_pass(&mut procfs, Some(child.id()));
        pass.started_ns += COMPARE_NS;
        hidden.complete(&mut pass, &mut procfs);
        assert_eq!(count(&pass, child.id()), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let mut pass = iterator_pass(&mut procfs, None);
        hidden.complete(&mut pass, &mut procfs);
        assert_eq!(count(&pass, child.id()), 0);
        assert!(!hidden.known.contains(&child.id()));
    }
}
