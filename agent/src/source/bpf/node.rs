//! Attaches the optional programs beside those of the plan (count of threads, run-queue latency), and reads the totals of the
//! node.

use super::{Error, Kernel, load, program::KernelProgram, runqueue::RunQueue};
use crate::{host::boottime_ns, source::NodeCounts};

impl Kernel {
    /// Begins to count new threads.
    pub(super) fn add_thread_count(&mut self, btf: Option<&aya::Btf>) -> Result<(), Error> {
        load::add(&mut self.ebpf, KernelProgram::Thread, btf)?;
        self.counts_threads = true;
        Ok(())
    }

    /// The programs' totals of the whole node.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn node_counts(&self) -> Result<NodeCounts, Error> {
        let node = self.overflow.node()?;
        Ok(NodeCounts {
            processes: node.forks,
            threads: self.counts_threads.then_some(node.threads),
            lost_cpu_ns: self.lost.bound_ns(),
        })
    }

    /// Updates the bound of lost CPU time at the end of a pass that credited all live processes. Calls `online_cpus` only if
    /// there was a loss.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn end_pass(
        &mut self,
        started_ns: u64,
        online_cpus: impl FnOnce() -> Option<u64>,
    ) -> Result<(), Error> {
        let lifetimes_ns = self.overflow.node()?.lost_runtime_ns;
        let cpus = match self.lost.is_news(lifetimes_ns) {
            true => online_cpus(),
            false => None,
        };
        self.lost
            .end_pass(lifetimes_ns, (started_ns, boottime_ns()), cpus);
        Ok(())
    }

    /// Begins to count run-queue latency.
    pub(super) fn add_run_queue(
        &mut self,
        slots: u32,
        btf: Option<&aya::Btf>,
    ) -> Result<(), String> {
        if self.plan.is_traced() {
            return Err(
                "tracepoints do not tell it; the kernel's type information would".to_owned(),
            );
        }
        let added = load::add(&mut self.ebpf, KernelProgram::RunQueue, btf)
            .and_then(|()| RunQueue::new(&mut self.ebpf, slots, boottime_ns()));
        self.run_queue = Some(added.map_err(|error| error.to_string())?);
        Ok(())
    }
}
