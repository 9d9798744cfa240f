//! `task_newtask`: counts new threads in `NodeTotals`; there is no record of them. The hook `sched_process_fork` would miss
//! threads that the kernel creates for a process, such as the workers of `io_uring`.

use agent_common::CLONE_THREAD;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::emit::node;
use crate::no_preempt::no_preempt;

/// Kernel: `trace_task_newtask(struct task_struct *task, u64 clone_flags)`, at the end of `copy_process`, after the kernel
/// has counted the task in `processes` of `/proc/stat`.
#[btf_tracepoint(function = "task_newtask")]
pub fn thread_begin(context: BtfTracePointContext) -> i32 {
    no_preempt(|| count(&context))
}

#[inline(always)]
fn count(context: &BtfTracePointContext) -> Option<()> {
    let flags: u64 = context.arg(1);
    if flags & CLONE_THREAD != 0 {
        node()?.threads += 1;
    }
    None
}
