//! `sched_switch`: how long threads waited for a CPU, by group (collector of run-queue latency only).
//!
//! The scheduler itself keeps how long each thread has waited since its birth (`sched_info.run_delay`), from being woken or
//! preempted until it runs, including moves between CPUs. When a thread is switched out, the increase since its last switch
//! is the wait before the run that ends now. So one hook is enough, the program reads no clock, and the sum equals that of
//! `/proc/<tid>/schedstat`.
//!
//! In: the task that is switched out, and the slots of processes and comms that user space has set. Out: histograms by slot.
//! Which group has which slot is left to user space.

use agent_common::{
    Comm, RUN_QUEUE_BOUNDS, RunQueueThread, RunQueueTotals, SLOT_NOWHERE, SLOT_STAYS, SLOT_UNKNOWN,
    run_queue_bound_ns,
};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::kernel::{TASK_DEAD, Task, keeps_run_queue};
use crate::maps::{
    RUN_QUEUE, RUN_QUEUE_COMM_SLOTS, RUN_QUEUE_GENERATION, RUN_QUEUE_SLOTS, RUN_QUEUE_THREADS,
    RUN_QUEUE_TOTALS,
};

/// Kernel: `trace_sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, …)`.
#[btf_tracepoint(function = "sched_switch")]
pub fn runqueue_switch(context: BtfTracePointContext) -> i32 {
    account(&context);
    0
}

#[inline(always)]
fn account(context: &BtfTracePointContext) -> Option<()> {
    let task = Task::new(context.arg(1))?;
    let tid = task.tid();
    // The idle task waits for nothing.
    if tid == 0 {
        return None;
    }
    let tgid = task.tgid();
    if let Some((slot, wait_ns)) = waited(task, tid, tgid)
        && slot != SLOT_NOWHERE
    {
        add(slot, wait_ns);
    }
    if task.state() & TASK_DEAD != 0 {
        let _ = RUN_QUEUE_THREADS.remove(tid);
        if tid == tgid && task.signal().is_none_or(|signal| signal.threads() <= 1) {
            let _ = RUN_QUEUE_SLOTS.remove(tgid);
        }
    }
    None
}

/// The slot of the thread and its wait before the run that ends now. `None` if there was no wait, or its length is unknown.
#[inline(always)]
fn waited(task: Task, tid: u32, tgid: u32) -> Option<(u32, u64)> {
    let generation = *RUN_QUEUE_GENERATION.get(0)?;
    let (runs, run_delay_ns) = (task.runs(), task.run_delay_ns());
    let Some(thread) = RUN_QUEUE_THREADS.get_ptr_mut(tid) else {
        let thread = RunQueueThread {
            run_delay_ns,
            runs,
            slot: slot_of(tgid),
            generation,
        };
        let is_kept = RUN_QUEUE_THREADS.insert(tid, thread, 0).is_ok();
        if runs == 1 {
            return Some((thread.slot, run_delay_ns));
        }
        // For an older thread, counting begins at its first switch that the program sees.
        if !is_kept {
            missed(1);
        }
        return None;
    };
    // SAFETY: a map value; no other program writes the entry of a thread that is being switched out.
    let thread = unsafe { &mut *thread };
    let before = *thread;
    (thread.runs, thread.run_delay_ns) = (runs, run_delay_ns);
    // Neither value of a thread ever falls, so after the check for another thread neither difference is below 0.
    let is_another = runs < before.runs || run_delay_ns < before.run_delay_ns;
    if before.generation != generation || is_another {
        (thread.slot, thread.generation) = (slot_of(tgid), generation);
    }
    let slot = thread.slot;
    // Another thread has the id now: the former one ended where the kernel runs no program.
    if is_another {
        return (runs == 1).then_some((slot, run_delay_ns));
    }
    match runs - before.runs {
        0 => None,
        1 => Some((slot, run_delay_ns - before.run_delay_ns)),
        unseen => {
            missed(unseen);
            None
        }
    }
}

#[inline(always)]
fn slot_of(tgid: u32) -> u32 {
    let slot = RUN_QUEUE_SLOTS.get_ptr(tgid);
    // SAFETY: a map value of one word.
    slot.map_or(SLOT_UNKNOWN, |slot| unsafe { *slot })
}

#[inline(always)]
fn add(slot: u32, wait_ns: u64) -> Option<()> {
    // SAFETY: a per-CPU slot that only this program uses.
    let waits = unsafe { &mut *RUN_QUEUE.get_ptr_mut(slot)? };
    waits.sum_ns += wait_ns;
    let bucket = waits.buckets.get_mut(bucket(wait_ns))?;
    *bucket += 1;
    None
}

/// The bucket of a wait, by binary search: five comparisons, and no table that would take cache lines.
#[inline(always)]
fn bucket(wait_ns: u64) -> usize {
    let mut bucket = 0;
    let mut half = 16;
    while half > 0 {
        let next = bucket + half;
        if next <= RUN_QUEUE_BOUNDS && wait_ns > run_queue_bound_ns(next - 1) {
            bucket = next;
        }
        half /= 2;
    }
    bucket
}

#[inline(always)]
fn totals() -> Option<&'static mut RunQueueTotals> {
    // SAFETY: a per-CPU slot.
    RUN_QUEUE_TOTALS
        .get_ptr_mut(0)
        .map(|totals| unsafe { &mut *totals })
}

#[inline(always)]
fn missed(waits: u64) {
    if let Some(totals) = totals() {
        totals.missed += waits;
    }
}

/// A new process gets the slot of its parent, until an exec or user space changes it. Full: counted in
/// [`RUN_QUEUE_TOTALS`].
#[inline(always)]
pub(crate) fn begin(parent: Task, child: Task) {
    if !keeps_run_queue() {
        return;
    }
    let slot = slot_of(parent.tgid());
    if RUN_QUEUE_SLOTS.insert(child.tgid(), slot, 0).is_err()
        && let Some(totals) = totals()
    {
        totals.full += 1;
    }
}

/// After an exec, a process gets the slot that user space has set for its new comm, else [`SLOT_UNKNOWN`]. `old_tid` is the
/// id that the calling thread had before; it is the leader by now.
#[inline(always)]
pub(crate) fn exec(task: Task, old_tid: u32, comm: &Comm) {
    if !keeps_run_queue() {
        return;
    }
    let slot = RUN_QUEUE_COMM_SLOTS
        .get_ptr(comm)
        // SAFETY: a map value of one word.
        .map_or(SLOT_UNKNOWN, |slot| unsafe { *slot });
    if slot != SLOT_STAYS {
        let _ = RUN_QUEUE_SLOTS.insert(task.tgid(), slot, 0);
    }
    let Some(thread) = RUN_QUEUE_THREADS.get_ptr_mut(old_tid) else {
        return;
    };
    // SAFETY: a map value, of the current thread.
    let thread = unsafe { &mut *thread };
    thread.generation = 0;
    if old_tid != task.tid() {
        let _ = RUN_QUEUE_THREADS.insert(task.tid(), *thread, 0);
        let _ = RUN_QUEUE_THREADS.remove(old_tid);
    }
}

/// Removes the entry of a process whose leader was not the last thread to end. A leader that is not dead yet is switched out
/// once more, and that switch removes the entry.
#[inline(always)]
pub(crate) fn end(leader: Task) {
    if keeps_run_queue() && leader.state() & TASK_DEAD != 0 {
        let _ = RUN_QUEUE_SLOTS.remove(leader.tgid());
    }
}
