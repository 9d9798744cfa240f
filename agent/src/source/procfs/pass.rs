//! Puts a pass together: reads all processes, or some, and counts failures.
//!
//! In come process ids. Out go samples in the same order, or a whole [`Pass`]. `sampler` reads a single process, on the threads
//! of `relay`.

use super::access::ProcAccess;
use super::error::ProcfsError;
use super::relay::Relay;
use super::sampler::{Extent, Sampled};
use crate::process::Pass;

/// Reads many processes, on threads that may block.
#[derive(Debug, Default)]
pub(super) struct PassReader {
    pub(super) relay: Relay,
    /// Whether readings include the usage of single threads.
    pub(super) with_threads: bool,
    /// Number of readings so far; gives each reading its own marker.
    readings: u64,
}

impl PassReader {
    /// Reads every process in the listing; of a process for which `in_no_group` returns a start time, only `stat`. If `stat`
    /// shows another start, the number belongs to another process by now, which is read whole.
    pub(super) fn pass(
        &mut self,
        access: &mut ProcAccess,
        in_no_group: impl Fn(u32) -> Option<u64>,
    ) -> Result<Pass, ProcfsError> {
        let started_ns = access.files.host().now_ns();
        let listed = access.files.list();
        let tgids = listed.inspect_err(|_| access.failures.count_failed_pass())?;
        let mut pass = Pass {
            started_ns,
            finals_follow: false,
            switches_by_thread: true,
            ..Pass::default()
        };
        let extent = |tgid: u32| in_no_group(tgid).map_or(Extent::Whole, |_| Extent::Stat);
        let wanted = tgids.iter().map(|tgid| (*tgid, extent(*tgid)));
        let mut samples = self.samples(access, wanted);
        let is_another = |one: &Sampled| {
            let start_ns = one.sample.as_ref().ok().map(|sample| sample.id.start_ns);
            one.is_brief && start_ns.is_some() && start_ns != in_no_group(one.tgid)
        };
        let others = samples.extract_if(.., |one| is_another(one));
        let others: Vec<_> = others.map(|one| (one.tgid, Extent::Whole)).collect();
        if !others.is_empty() {
            samples.extend(self.samples(access, others.into_iter()));
        }
        for one in samples {
            match one.sample {
                Ok(sample) if one.is_brief => pass.in_no_group.push(sample),
                Ok(sample) => pass.processes.push(sample),
                Err(ProcfsError::Gone { .. }) => {}
                Err(_) => pass.unread.push(one.tgid),
            }
            pass.threads.extend(one.threads);
        }
        pass.threads
            .sort_unstable_by_key(|thread| (thread.tgid, thread.tid));
        Ok(pass)
    }

    /// Reads these processes in the given order; nothing if the procfs root cannot be opened.
    pub(super) fn samples(
        &mut self,
        access: &mut ProcAccess,
        wanted: impl Iterator<Item = (u32, Extent)>,
    ) -> Vec<Sampled> {
        let Some(root) = access.files.root() else {
            return Vec::new();
        };
        let mut samples = self.relay.read(access, self.with_threads, &root, wanted);
        for one in &mut samples {
            self.readings += 1;
            if let Ok(sample) = &mut one.sample {
                sample.ran_marker = self.readings;
            }
            for thread in &mut one.threads {
                thread.ran_marker = self.readings;
            }
            if one.is_partial {
                access.failures.count_partial(one.tgid);
            }
            access.failures.count_hard(&one.sample);
        }
        samples
    }
}
