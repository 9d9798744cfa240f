//! `sched_switch`: on-CPU time of each process, by the scheduler's own account of its threads (`se.sum_exec_runtime`). Only
//! the switch tier loads this program; in the iterator tier context switches cost nothing.
//!
//! Out: the map [`RUN_TIMES`]. The program reads no clock, and time that a hypervisor took does not count.

use agent_common::{Identity, RunTime};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::kernel::{Task, keeps_run_times};
use crate::maps::{RUN_TIMES, SWITCH};

/// Kernel: `trace_sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, …)`; what follows
/// `next` differs from kernel to kernel.
#[btf_tracepoint(function = "sched_switch")]
pub fn task_switch(context: BtfTracePointContext) -> i32 {
    account(&context);
    0
}

/// Makes the entry of a process at its birth, so that user space finds the exact start time of every process that it sees.
#[inline(always)]
pub(crate) fn begin(id: &Identity) {
    if keeps_run_times() {
        // If the map is full, the switch program counts that when the process is switched out.
        let _ = RUN_TIMES.insert(id, RunTime::default(), u64::from(BPF_NOEXIST));
    }
}

/// Removes the entry of a process that is gone; its release record carries its totals. A process that releases itself is
/// switched out once more afterwards, which makes a new entry; user space removes that one.
#[inline(always)]
pub(crate) fn end(id: &Identity) {
    if keeps_run_times() {
        // There is no entry if the map was full at its birth.
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
        // The switch that brought the thread in stored the identity, so the program need not read the leader. It is another
        // thread's if the kernel reused the id and the program missed it.
        (running, previous.runtime_ns().saturating_sub(since_ns))
    } else {
        // The first switch after attaching or after a missed switch, or an exec has changed the thread's id. The value is too
        // large if a class other than the fair one schedules the thread; user space bounds the exported values by `/proc`.
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
