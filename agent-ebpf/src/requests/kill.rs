//! `signal_generate`: processes to which their parent sends ABRT or KILL, as the arbiter of Gunicorn does with a worker that does not
//! answer in time.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::count::add_total;
use crate::kernel::Task;
use crate::maps::KILLED;
use crate::watch;

/// Numbers of signals on all architectures that the agent runs on.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// Kernel: `trace_signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`, in the
/// process that sends.
#[btf_tracepoint(function = "signal_generate")]
pub fn http_kill(context: BtfTracePointContext) -> i32 {
    let signal: i32 = context.arg(0);
    if (signal == SIGABRT || signal == SIGKILL)
        && let Some(task) = Task::new(context.arg(2))
    {
        note(task);
    }
    0
}

#[inline(always)]
fn note(task: Task) {
    // With process 1 of a pid namespace the kernel ends all others of it, in the name of that one while it exits.
    if watch::is_exiting() {
        return;
    }
    let (sender, killed) = (watch::current(), task.identity());
    // One that has ended by itself and was not waited for yet is not killed any more.
    let lives = task.signal().is_some_and(|signal| signal.live() != 0);
    if lives
        && sender.tgid != 0
        && sender.tgid == task.parent_tgid()
        && watch::is_watched(&killed)
        && KILLED.insert(&killed, &1, 0).is_err()
    {
        add_total!(kills_full);
    }
}
