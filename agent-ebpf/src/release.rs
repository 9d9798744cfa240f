//! The final totals of a process, from one of two hooks: `fentry/release_task` (at once) or `tp_btf/sched_process_free`
//! (after an RCU grace period; used where the kernel refuses fentry).
//!
//! The kernel releases a leader that ended before another thread, and that no parent waits for, in a loop inside
//! `release_task`, which a program at the function's entry does not see. So the program at `release_task` marks an exiting
//! leader in a map when the kernel releases another thread of the process, and removes the mark when it sees the leader. If
//! the mark still exists when the kernel frees the leader, the program at `sched_process_free` reports the end.
//!
//! Two flags belong to such a leader:
//!
//! * [`RELEASE_PROJECTED`]: sent when the kernel releases the last other thread. The totals are final, but the leader may still
//!   be a zombie that passes show, so user space keeps the process.
//! * [`RELEASE_REPEATED`]: sent at the leader's free, if a projected record has carried the totals. The process is gone. These
//!   totals must not be added to a sum by comm, because they would count twice.
//!
//! Out: a [`ReleaseRecord`], and the counts of ended processes in `NodeTotals`.

use agent_common::{
    EXIT_OOM, Identity, OVERFLOW_RELEASED, RELEASE_PROJECTED, RELEASE_REPEATED, ReleaseRecord,
    Totals, kind,
};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::{btf_tracepoint, fentry};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext};

use crate::emit::{
    add_totals, coarse_sums, is_uncredited, known_overflow_entry, node, overflow_entry,
    whole_to_ring,
};
use crate::kernel::{EXIT_ZOMBIE, Signal, Task, now_ns};
use crate::maps::LEFT_LEADERS;
use crate::no_preempt::no_preempt;
use crate::{runqueue, switch};

/// Kernel: `void release_task(struct task_struct *p)`, at its entry. The sums in `signal_struct` do not include the task's own
/// use yet.
#[fentry(function = "release_task")]
pub fn task_release(context: FEntryContext) -> i32 {
    no_preempt(|| at_entry(&context))
}

#[inline(always)]
fn at_entry(context: &FEntryContext) -> Option<()> {
    let task = Task::new(context.arg(0))?;
    let signal = task.signal()?;
    let mut totals = signal.totals();
    task.add_to(&mut totals);
    if task.is_leader() {
        let _ = LEFT_LEADERS.remove(&task.identity());
        return report(context, task, signal, totals, 0);
    }
    let leader = task.leader()?;
    // When a thread calls exec, it becomes the leader and the kernel releases the former leader.
    if !leader.is_exiting() || !leader.is_leader() {
        return None;
    }
    // If several threads are here at the same time, this count may make none of them the last one; then the mark remains,
    // and the free of the leader reports the end.
    let is_last = signal.threads() == 2 && leader.exit_state() == EXIT_ZOMBIE;
    if !is_last {
        mark(&leader.identity());
        return None;
    }
    leader.add_to(&mut totals);
    let record = record(leader, signal, totals, RELEASE_PROJECTED);
    let is_reported = u32::from(to_ring_or_hash(&record));
    let _ = LEFT_LEADERS.insert(&record.id, &is_reported, 0);
    None
}

#[inline(always)]
fn mark(id: &Identity) {
    // SAFETY: the value is not read.
    if unsafe { LEFT_LEADERS.get(id) }.is_none() {
        let _ = LEFT_LEADERS.insert(id, &0, u64::from(BPF_NOEXIST));
    }
}

/// Runs beside [`task_release`], at the same hook as [`process_free`], and reports only the end of marked leaders.
#[btf_tracepoint(function = "sched_process_free")]
pub fn leader_free(context: BtfTracePointContext) -> i32 {
    no_preempt(|| when_left_leader_is_freed(&context))
}

#[inline(always)]
fn when_left_leader_is_freed(context: &BtfTracePointContext) -> Option<()> {
    let leader = freed_leader(context)?;
    let id = leader.identity();
    // SAFETY: a map value of one word.
    let is_reported = unsafe { *LEFT_LEADERS.get(&id)? } == 1;
    let _ = LEFT_LEADERS.remove(&id);
    let flags = if is_reported { RELEASE_REPEATED } else { 0 };
    report_freed(context, leader, flags)
}

/// Kernel: `trace_sched_process_free(struct task_struct *p)`. The sums in `signal_struct` include all threads, the leader
/// too.
#[btf_tracepoint(function = "sched_process_free")]
pub fn process_free(context: BtfTracePointContext) -> i32 {
    no_preempt(|| when_freed(&context))
}

#[inline(always)]
fn when_freed(context: &BtfTracePointContext) -> Option<()> {
    let leader = freed_leader(context)?;
    report_freed(context, leader, 0)
}

/// The task that the kernel frees; `None` if it is not the leader of its process.
#[inline(always)]
fn freed_leader(context: &BtfTracePointContext) -> Option<Task> {
    let task = Task::new(context.arg(0))?;
    if !task.is_leader() {
        return None;
    }
    Some(task)
}

#[inline(always)]
fn report_freed(context: &BtfTracePointContext, leader: Task, flags: u32) -> Option<()> {
    let signal = leader.signal()?;
    let mut totals = signal.totals();
    totals.run_delay_ns = leader.run_delay_ns();
    report(context, leader, signal, totals, flags)
}

#[inline(always)]
fn report<C: EbpfContext>(
    context: &C,
    leader: Task,
    signal: Signal,
    totals: Totals,
    flags: u32,
) -> Option<()> {
    let record = record(leader, signal, totals, flags);
    let node = node()?;
    node.exits += 1;
    node.exited_runtime_ns += totals.runtime_ns;
    switch::end(&record.id);
    runqueue::end(leader);
    send(context, &record)
}

#[inline(always)]
fn record(leader: Task, signal: Signal, totals: Totals, flags: u32) -> ReleaseRecord {
    let oom = if signal.is_oom_victim() { EXIT_OOM } else { 0 };
    ReleaseRecord {
        kind: kind::RELEASE,
        flags: flags | oom,
        id: leader.identity(),
        time_ns: now_ns(),
        totals,
        comm: leader.comm(),
        wait_status: leader.wait_status(signal),
        euid: leader.euid(),
        parent_tgid: leader.parent_tgid(),
        zero: 0,
    }
}

/// Sends a record that reports the end of the process: to the ring, else to the overflow hash, else to the sums by comm. A
/// record that repeats totals ([`RELEASE_REPEATED`]) never goes to the sums.
#[inline(always)]
pub(crate) fn send<C: EbpfContext>(context: &C, record: &ReleaseRecord) -> Option<()> {
    if to_ring_or_hash(record) || record.flags & RELEASE_REPEATED != 0 {
        return None;
    }
    to_sums(context, record)
}

/// Returns `false` if ring and hash are full.
#[inline(always)]
fn to_ring_or_hash(record: &ReleaseRecord) -> bool {
    let known = known_overflow_entry(&record.id);
    if known.is_none() && whole_to_ring(record) {
        return true;
    }
    let Some(entry) = known.or_else(|| overflow_entry(&record.id)) else {
        return false;
    };
    entry.totals = record.totals;
    entry.wait_status = record.wait_status;
    entry.exit_flags = record.flags;
    if entry.flags & OVERFLOW_RELEASED != 0 {
        // The record that it repeats is merged into this entry already.
        entry.exit_flags &= !RELEASE_REPEATED;
    }
    entry.release_time_ns = record.time_ns;
    entry.comm = record.comm;
    entry.euid = record.euid;
    entry.parent_tgid = record.parent_tgid;
    entry.flags |= OVERFLOW_RELEASED;
    true
}

/// Adds the totals to the sums by comm, after ring and hash were full. Only processes that no pass can have credited go into
/// the sums. Of an older process, passes credited most; the rest is lost, and counted. The exit record counts the end itself.
#[inline(always)]
fn to_sums<C: EbpfContext>(context: &C, record: &ReleaseRecord) -> Option<()> {
    let sums = coarse_sums(context, &record.comm)?;
    if is_uncredited(record.id.start_ns) {
        add_totals(&mut sums.totals, &record.totals);
    } else {
        let node = node()?;
        node.lost += 1;
        node.lost_runtime_ns += record.totals.runtime_ns;
    }
    None
}
