//! `sched_switch`: how long threads waited for a CPU, by group (collector of run-queue latency only).
//!
//! The scheduler keeps itself how long each thread has waited since its birth, from being woken or preempted until it
//! runs, moves between CPUs included. When a thread is switched out, what that has grown by is the wait before the run
//! that ends now. So one hook is enough, no clock is read, and the sum is that of `/proc/<tid>/schedstat`.

use crate::{
    kernel::{TASK_DEAD, Task, keeps_run_queue},
    maps::{
        RUN_QUEUE, RUN_QUEUE_COMM_SLOTS, RUN_QUEUE_GENERATION, RUN_QUEUE_SLOTS, RUN_QUEUE_THREADS,
        RUN_QUEUE_TOTALS,
    },
};
use agent_common::{
    Comm, RUN_QUEUE_BOUNDS, RunQueueThread, RunQueueTotals, SLOT_NOWHERE, SLOT_STAYS, SLOT_UNKNOWN,
    run_queue_bound_ns,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

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

/// The wait before the run that ends now, and the slot it counts in; `None` where it is not known, or there was none.
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
        // The first sight of an older thread is where counting begins.
        if !is_kept {
            missed(1);
        }
        return None;
    };
    // SAFETY: a map value; nobody else writes that of a thread that is being switched out.
    let thread = unsafe { &mut *thread };
    let before = *thread;
    (thread.runs, thread.run_delay_ns) = (runs, run_delay_ns);
    // Neither ever falls, so neither difference is below 0.
    let is_another = runs < before.runs || run_delay_ns < before.run_delay_ns;
    if before.generation != generation || is_another {
        (thread.slot, thread.generation) = (slot_of(tgid), generation);
    }
    let slot = thread.slot;
    // Another thread with its number: it ended where no program is run.
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

/// By halves: five comparisons, and no table that a cache would have to hold.
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

/// A new process is of its parent's group until somebody says otherwise.
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

/// A new image is of the group that its comm says, else of none that is known. `old_tid`: the number that the thread had,
/// which is the leader by now.
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

/// Frees the place of a process whose leader was not the last to end. One that is still to be switched out frees it then.
#[inline(always)]
pub(crate) fn end(leader: Task) {
    if keeps_run_queue() && leader.state() & TASK_DEAD != 0 {
        let _ = RUN_QUEUE_SLOTS.remove(leader.tgid());
    }
}
