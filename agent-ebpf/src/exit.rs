//! `sched_process_exit`: how a process ended, reported when its last thread begins to exit.
//!
//! Out: an [`ExitRecord`] with the wait status and totals that are not final; release.rs sends the final ones.

use agent_common::{
    Comm, EXIT_OOM, EXIT_UNTOLD, ExitRecord, OVERFLOW_EXITED, OVERFLOW_RELEASED, kind,
};
use aya_ebpf::EbpfContext;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::emit::{claim_end, coarse_sums, known_overflow_entry, overflow_entry, whole_to_ring};
use crate::kernel::{Task, now_ns};
use crate::no_preempt::no_preempt;

/// Kernel: `trace_sched_process_exit(struct task_struct *task)`, since 6.16 with `bool group_dead`.
///
/// The program reads `signal->live` instead, which every kernel has. Two threads that exit at the same time may both find it
/// 0; only the first one sends a record ([`claim_end`]).
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(context: BtfTracePointContext) -> i32 {
    no_preempt(|| report(&context))
}

#[inline(always)]
fn report(context: &BtfTracePointContext) -> Option<()> {
    let task = Task::new(context.arg(0))?;
    let signal = task.signal()?;
    if signal.live() != 0 {
        return None;
    }
    let leader = task.leader()?;
    let id = task.identity();
    // `threads` before the sums, because the kernel adds a thread's use to the sums before it decrements the number of threads. So a process
    // that had another thread shows it here, by one or the other.
    let threads = signal.threads();
    let mut totals = signal.totals();
    let had_others = threads > 1 || totals.runtime_ns > 0;
    if had_others && !claim_end(&id) {
        return None;
    }
    task.add_to(&mut totals);
    if !task.is_leader() {
        // The leader ended before and stays a zombie until all threads have ended; the sums do not include its use yet.
        leader.add_to(&mut totals);
    }
    let record = ExitRecord {
        kind: kind::EXIT,
        flags: if signal.is_oom_victim() { EXIT_OOM } else { 0 },
        id,
        time_ns: now_ns(),
        wait_status: leader.wait_status(signal),
        zero: 0,
        totals,
    };
    if to_ring_or_hash(&record) {
        return None;
    }
    to_sums(context, &leader.comm(), &record)
}

/// Returns `false` if ring and hash are full.
#[inline(always)]
pub(crate) fn to_ring_or_hash(record: &ExitRecord) -> bool {
    let known = known_overflow_entry(&record.id);
    if known.is_none() && whole_to_ring(record) {
        return true;
    }
    let Some(entry) = known.or_else(|| overflow_entry(&record.id)) else {
        return false;
    };
    entry.wait_status = record.wait_status;
    entry.exit_flags = record.flags;
    entry.exit_time_ns = record.time_ns;
    if entry.flags & OVERFLOW_RELEASED == 0 {
        entry.totals = record.totals;
    }
    entry.flags |= OVERFLOW_EXITED;
    true
}

/// Adds the end to the sums by comm, after ring and hash were full. Only the exit record counts the end, because the release
/// record of the same process may still find a place in the ring or the hash.
#[inline(always)]
pub(crate) fn to_sums<C: EbpfContext>(context: &C, comm: &Comm, record: &ExitRecord) -> Option<()> {
    let sums = coarse_sums(context, comm)?;
    if record.flags & EXIT_UNTOLD != 0 {
        sums.exits_unknown += 1;
    } else if record.wait_status & 0x7f != 0 {
        sums.exits_signal += 1;
    } else if record.wait_status & 0xff00 != 0 {
        sums.exits_failure += 1;
    } else {
        sums.exits_success += 1;
    }
    if record.flags & EXIT_OOM != 0 {
        sums.oom_kills += 1;
    }
    None
}
