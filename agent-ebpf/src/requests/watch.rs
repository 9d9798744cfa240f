//! The ends of processes, and which processes are watched: all but those that user space has decided against. A process is watched from its birth on, and again
//! from each exec on, until its group is known.

use agent_common::Identity;
use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::count;
use crate::current::{NO_PROCESS, process_of};
use crate::kernel::Task;
use crate::maps::OUTSIDERS;

/// Kernel: `trace_sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn http_exec(context: BtfTracePointContext) -> i32 {
    if let Some(task) = Task::new(context.arg(0)) {
        // It fails if the process is watched.
        let _ = OUTSIDERS.remove(&task.identity());
    }
    0
}

/// Kernel: `trace_sched_process_exit(struct task_struct *p, bool group_dead)`, before the task closes its files.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn http_exit(context: BtfTracePointContext) -> i32 {
    if let Some(task) = Task::new(context.arg(0))
        && task.signal().is_some_and(|signal| signal.live() == 0)
    {
        count::end_process(&task.identity());
    }
    0
}

/// The current process; [`NO_PROCESS`] for a thread of the kernel.
#[inline(always)]
pub(crate) fn current() -> Identity {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task_btf() };
    process_of(task.cast_const().cast())
}

/// Whether the current process has begun to exit.
#[inline(always)]
pub(crate) fn is_exiting() -> bool {
    // SAFETY: as above.
    let task = unsafe { bpf_get_current_task_btf() };
    Task::new(task.cast_const().cast()).is_some_and(Task::is_exiting)
}

/// Whether exchanges of the process are counted.
#[inline(always)]
pub(crate) fn is_watched(process: &Identity) -> bool {
    process.tgid != NO_PROCESS.tgid && OUTSIDERS.get_ptr(process).is_none()
}
