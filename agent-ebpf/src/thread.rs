//! `task_newtask`: counts new threads. `sched_process_fork` is not run for threads that the kernel makes for a process, such as
//! the workers of io_uring.

use crate::{emit::node, undisturbed::undisturbed};
use agent_common::CLONE_THREAD;
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// Kernel: `trace_task_newtask(struct task_struct *task, u64 clone_flags)`, at the end of `copy_process`, where `processes` of
/// `/proc/stat` has counted the task.
#[btf_tracepoint(function = "task_newtask")]
pub fn thread_begin(context: BtfTracePointContext) -> i32 {
    undisturbed(|| count(&context))
}

#[inline(always)]
fn count(context: &BtfTracePointContext) -> Option<()> {
    let flags: u64 = context.arg(1);
    if flags & CLONE_THREAD != 0 {
        node()?.threads += 1;
    }
    None
}
