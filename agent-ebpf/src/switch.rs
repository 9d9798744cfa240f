//! `sched_switch`: on-CPU time of each process, by the scheduler's own account of its threads (switch tier only; the iterator
//! tier costs nothing here).

use crate::{
    kernel::{Task, keeps_run_times},
    maps::{RUN_TIMES, SWITCH},
};
use agent_common::{Identity, RunTime};
use aya_ebpf::{bindings::BPF_NOEXIST, macros::btf_tracepoint, programs::BtfTracePointContext};

/// Kernel: `trace_sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, …)`; what follows
/// `next` differs from kernel to kernel.
#[btf_tracepoint(function = "sched_switch")]
pub fn task_switch(context: BtfTracePointContext) -> i32 {
    account(&context);
    0
}

/// Makes a place for a process at its birth, so that whoever can see it can tell its exact start.
#[inline(always)]
pub(crate) fn begin(id: &Identity) {
    if keeps_run_times() {
        // Full: counted when it is switched out.
        let _ = RUN_TIMES.insert(id, RunTime::default(), u64::from(BPF_NOEXIST));
    }
}

/// Frees the place of a process that is gone; its totals are in its release record. One that releases itself is switched
/// out once more after that: user space frees such a place.
#[inline(always)]
pub(crate) fn end(id: &Identity) {
    if keeps_run_times() {
        // Not there: it was full at its birth.
        let _ = RUN_TIMES.remove(id);
    }
}

#[inline(always)]
fn account(context: &BtfTracePointContext) -> Option<()> {
    // SAFETY: a per-CPU slot that only this program uses.
    let cpu = unsafe { &mut *SWITCH.get_ptr_mut(0)? };
    let (since_ns, running, running_tid) = (cpu.running_ns, cpu.running, cpu.running_tid);
    let previous = Task::new(context.arg(1))?;
    let next = Task::new(context.arg(2))?;
    cpu.running_ns = next.runtime_ns();
    cpu.running = next.identity();
    cpu.running_tid = next.tid();
    let tid = previous.tid();
    if tid == 0 {
        return None;
    }
    let (id, run_ns) = if running_tid == tid {
        // Told when it came, so its leader has not to be looked at. Another one's, if its number was given away unseen.
        (running, previous.runtime_ns().saturating_sub(since_ns))
    } else {
        // The first switch after attaching, or after one that went unseen, or its number has changed by an exec. Too much where
        // another class than the fair one runs it; `/proc` bounds what is shown.
        (previous.identity(), previous.stretch_ns())
    };
    let entry = match RUN_TIMES.get_ptr_mut(id) {
        Some(entry) => Some(entry),
        None => {
            let _ = RUN_TIMES.insert(id, RunTime::default(), u64::from(BPF_NOEXIST));
            RUN_TIMES.get_ptr_mut(id)
        }
    };
    let Some(entry) = entry else {
        cpu.full += 1;
        cpu.full_run_ns += run_ns;
        return None;
    };
    // SAFETY: a per-CPU value.
    let entry = unsafe { &mut *entry };
    entry.run_ns += run_ns;
    entry.switches += 1;
    None
}
