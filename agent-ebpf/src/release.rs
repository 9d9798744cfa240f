//! The final totals of a process, from one of two hooks: `fentry/release_task` (at once) or
//! `tp_btf/sched_process_free` (after an RCU grace period, where fentry is refused).

use crate::{
    emit::{
        add_totals, coarse_sums, is_uncredited, known_overflow_entry, node, overflow_entry,
        whole_to_ring,
    },
    kernel::{EXIT_ZOMBIE, Signal, Task, now_ns},
    runqueue, switch,
    undisturbed::undisturbed,
};
use agent_common::{EXIT_OOM, OVERFLOW_RELEASED, RELEASE_PROJECTED, ReleaseRecord, Totals, kind};
use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry},
    programs::{BtfTracePointContext, FEntryContext},
};

/// Kernel: `void release_task(struct task_struct *p)`, at its entry: the task's own use is not in `signal_struct` yet.
#[fentry(function = "release_task")]
pub fn task_release(context: FEntryContext) -> i32 {
    undisturbed(|| at_entry(&context))
}

#[inline(always)]
fn at_entry(context: &FEntryContext) -> Option<()> {
    let task = Task::new(context.arg(0))?;
    let signal = task.signal()?;
    let mut totals = signal.totals();
    task.add_to(&mut totals);
    if task.is_leader() {
        return report(context, task, signal, totals, 0);
    }
    // The last thread but the leader goes, and the leader is a zombie already: `release_task` may release it in a
    // loop of its own, which this hook does not see.
    let leader = task.leader()?;
    if signal.threads() == 2 && leader.exit_state() == EXIT_ZOMBIE && leader.is_leader() {
        leader.add_to(&mut totals);
        return report(context, leader, signal, totals, RELEASE_PROJECTED);
    }
    None
}

/// Kernel: `trace_sched_process_free(struct task_struct *p)`: all threads, the leader too, are in `signal_struct`.
#[btf_tracepoint(function = "sched_process_free")]
pub fn process_free(context: BtfTracePointContext) -> i32 {
    undisturbed(|| when_freed(&context))
}

#[inline(always)]
fn when_freed(context: &BtfTracePointContext) -> Option<()> {
    let task = Task::new(context.arg(0))?;
    if !task.is_leader() {
        return None;
    }
    let signal = task.signal()?;
    let mut totals = signal.totals();
    totals.run_delay_ns = task.run_delay_ns();
    report(context, task, signal, totals, 0)
}

#[inline(always)]
fn report<C: EbpfContext>(
    context: &C,
    leader: Task,
    signal: Signal,
    totals: Totals,
    flags: u32,
) -> Option<()> {
    let oom = if signal.is_oom_victim() { EXIT_OOM } else { 0 };
    let record = ReleaseRecord {
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
    };
    if flags & RELEASE_PROJECTED == 0 {
        let node = node()?;
        node.exits += 1;
        node.exited_runtime_ns += totals.runtime_ns;
        switch::end(&record.id);
        runqueue::end(leader);
    }
    send(context, &record)
}

/// The way of a record.
#[inline(always)]
pub(crate) fn send<C: EbpfContext>(context: &C, record: &ReleaseRecord) -> Option<()> {
    let known = known_overflow_entry(&record.id);
    if known.is_none() && whole_to_ring(record) {
        return None;
    }
    if let Some(entry) = known.or_else(|| overflow_entry(&record.id)) {
        entry.totals = record.totals;
        entry.wait_status = record.wait_status;
        entry.exit_flags = record.flags;
        entry.release_time_ns = record.time_ns;
        entry.comm = record.comm;
        entry.euid = record.euid;
        entry.parent_tgid = record.parent_tgid;
        entry.flags |= OVERFLOW_RELEASED;
        return None;
    }
    if record.flags & RELEASE_PROJECTED != 0 {
        // The leader's own release says the same once more, if it comes.
        return None;
    }
    to_sums(context, record)
}

/// Ring and hash are full. Only a process that no pass has credited goes into the sums: an older one's total is mostly
/// credited, and what is not is lost. That it ended, the exit record has told.
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
