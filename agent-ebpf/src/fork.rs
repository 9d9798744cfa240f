//! `sched_process_fork`: a new process, and the parent whose image it shares. New threads get no record; thread.rs counts
//! them.

use agent_common::{ForkRecord, OVERFLOW_FORKED, kind};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::emit::{coarse_sums, node, overflow_entry, whole_to_ring};
use crate::kernel::Task;
use crate::no_preempt::no_preempt;
use crate::{runqueue, switch};

/// Kernel: `trace_sched_process_fork(struct task_struct *parent, struct task_struct *child)`.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(context: BtfTracePointContext) -> i32 {
    no_preempt(|| report(&context))
}

#[inline(always)]
fn report(context: &BtfTracePointContext) -> Option<()> {
    let parent = Task::new(context.arg(0))?;
    let child = Task::new(context.arg(1))?;
    if !child.is_leader() {
        return None;
    }
    let node = node()?;
    node.forks += 1;
    let record = ForkRecord {
        kind: kind::FORK,
        zero: 0,
        child: child.identity(),
        parent: parent.identity(),
    };
    switch::begin(&record.child);
    runqueue::begin(parent, child);
    if to_ring_or_hash(&record) {
        return None;
    }
    coarse_sums(context, &child.comm())?.forks += 1;
    None
}

/// Returns `false` if ring and hash are full.
#[inline(always)]
pub(crate) fn to_ring_or_hash(record: &ForkRecord) -> bool {
    if whole_to_ring(record) {
        return true;
    }
    let Some(entry) = overflow_entry(&record.child) else {
        return false;
    };
    entry.parent = record.parent;
    entry.flags |= OVERFLOW_FORKED;
    true
}
