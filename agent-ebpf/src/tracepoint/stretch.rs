//! `sched/sched_switch`: on-CPU time of each process, by the clock, and the last switch of each thread.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

use super::{add, cpu, current, end, field_at, offset, traced};

/// `EXIT_DEAD` and `EXIT_ZOMBIE` in the tracepoint's `prev_state`: the task will not run again.
const GONE: u64 = 0x10 | 0x20;
/// Bits below `TASK_REPORT_MAX` in `prev_state`. If one is set, the task waits or is gone (a voluntary switch). If none is
/// set, the kernel took the CPU from it.
const WAITS: u64 = 0xff;

/// Runs while the task that is switched out is current.
#[tracepoint]
pub fn trace_switch(context: TracePointContext) -> u32 {
    account(&context);
    0
}

#[inline(always)]
fn account(context: &TracePointContext) -> Option<()> {
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let cpu = cpu()?;
    let (last_ns, running_tid) = (cpu.last_ns, cpu.running_tid);
    cpu.last_ns = now_ns;
    cpu.running_tid = field_at::<56, _>(context, offset!(switch_next_pid))?;
    let (tgid, tid) = current();
    if tid == 0 {
        return None;
    }
    let entry = traced(tgid)?;
    if tid == running_tid && last_ns < entry.born_ns {
        // This is the former process with this id: it was reaped, and the kernel reused its id, before its last switch.
        return None;
    }
    if tid == running_tid {
        add(&entry.run_ns, now_ns - last_ns);
    } else if last_ns > 0 {
        // The program missed the switch that brought the task in. User space corrects the time from `/proc`, to a tick, if it
        // reads the process again before its end.
        cpu.unseen_ns += now_ns - last_ns;
        // A change by 1 ns shows user space that the process ran, so that it reads the process again.
        add(&entry.run_ns, 1);
    }
    let state: u64 = field_at::<32, _>(context, offset!(switch_prev_state))?;
    if state & WAITS == 0 {
        add(&entry.nonvoluntary_switches, 1);
        return None;
    }
    add(&entry.voluntary_switches, 1);
    if state & GONE != 0 {
        end::thread_gone(context, tgid, entry)?;
    }
    None
}
