//! `sched/sched_switch`: on-CPU time of each process, and the very end of each thread.

use super::{add, cpu, current, end, field_at, offset, traced};
use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::tracepoint, programs::TracePointContext};

/// `EXIT_DEAD` and `EXIT_ZOMBIE`, as the tracepoint shows them: the task will not run again.
const GONE: u64 = 0x10 | 0x20;
/// Below `TASK_REPORT_MAX`: it waits for something, or is gone. Above, and 0: the CPU was taken from it.
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
        // The number's former owner, which was reaped, and its number given away, before it was switched out for good.
        return None;
    }
    if tid == running_tid {
        add(&entry.run_ns, now_ns - last_ns);
    } else if last_ns > 0 {
        // Its coming went unseen: what `/proc` says of it heals that, to a tick, if it is read again before it ends.
        cpu.unseen_ns += now_ns - last_ns;
        // That it ran, though not how long, has it read again.
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
