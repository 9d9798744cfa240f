//! `sched/sched_process_exit` and `sched/sched_process_free`: the end of processes.
//!
//! The final totals are those after the last switch of a process's last thread, which the switch program in
//! [`super::stretch`] sees and reports through [`thread_gone`].

use agent_common::{Comm, EXIT_UNTOLD, ExitRecord, ReleaseRecord, Totals, Traced, UNCOUNTED, kind};
use aya_ebpf::helpers::bpf_get_current_uid_gid;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

use super::{
    add, current, current_comm, current_stretch_ns, field, identity, now, offset, totals, traced,
};
use crate::emit::{claim_end, node};
use crate::kernel::now_ns;
use crate::maps::TRACED;
use crate::{exit, release};

/// Runs in the context of each thread that begins to exit. Since 6.16 a field of the tracepoint says whether it is the last
/// one; the program uses its own count, which works on every kernel.
#[tracepoint]
pub fn trace_exit(context: TracePointContext) -> u32 {
    report(&context);
    0
}

#[inline(always)]
fn report(context: &TracePointContext) -> Option<()> {
    let (tgid, _) = current();
    let entry = traced(tgid)?;
    add(&entry.live, u64::MAX);
    if now(&entry.live) > 0 {
        return None;
    }
    // Two threads that exit at the same time may both get here; only the first one sends a record.
    send_exit(
        context,
        tgid,
        entry,
        &current_comm(),
        totals(entry, current_stretch_ns()),
    )
}

/// Runs some time after a task was reaped, in any context. A process whose threads were never counted ends with the release
/// of its leader; the end of every other process has been reported already.
#[tracepoint]
pub fn trace_free(context: TracePointContext) -> u32 {
    when_freed(&context);
    0
}

#[inline(always)]
fn when_freed(context: &TracePointContext) -> Option<()> {
    let tgid: u32 = field(context, offset!(free_pid))?;
    let entry = traced(tgid)?;
    let is_counted = now(&entry.left) < UNCOUNTED / 2;
    if is_counted && now(&entry.live) > 0 {
        // This is the next process with the same id.
        return None;
    }
    process_gone(context, tgid, entry)
}

/// Called when a thread is switched out for the last time. Reports the release of the process if it was the last thread.
#[inline(always)]
pub(super) fn thread_gone(context: &TracePointContext, tgid: u32, entry: &Traced) -> Option<()> {
    add(&entry.left, u64::MAX);
    if now(&entry.left) > 0 {
        return None;
    }
    release(context, tgid, entry, current_comm())
}

/// Reports the end of a process that is gone: the exit, unless that has been reported, and the release.
#[inline(always)]
pub(super) fn process_gone(context: &TracePointContext, tgid: u32, entry: &Traced) -> Option<()> {
    let comm = Comm::default();
    if now(&entry.live) > 0 {
        send_exit(context, tgid, entry, &comm, totals(entry, 0));
    }
    release(context, tgid, entry, comm)
}

#[inline(always)]
fn send_exit(
    context: &TracePointContext,
    tgid: u32,
    entry: &Traced,
    comm: &Comm,
    totals: Totals,
) -> Option<()> {
    let record = ExitRecord {
        kind: kind::EXIT,
        flags: EXIT_UNTOLD,
        id: identity(tgid, entry),
        time_ns: now_ns(),
        wait_status: 0,
        zero: 0,
        totals,
    };
    if !claim_end(&record.id) || exit::to_ring_or_hash(&record) {
        return None;
    }
    exit::to_sums(context, comm, &record)
}

#[inline(always)]
fn release(context: &TracePointContext, tgid: u32, entry: &Traced, comm: Comm) -> Option<()> {
    let record = ReleaseRecord {
        kind: kind::RELEASE,
        flags: EXIT_UNTOLD,
        id: identity(tgid, entry),
        time_ns: now_ns(),
        totals: totals(entry, 0),
        comm,
        wait_status: 0,
        euid: bpf_get_current_uid_gid() as u32,
        parent_tgid: entry.parent_tgid,
        zero: 0,
    };
    // Fails if another thread also found itself to be the last one and has removed the entry.
    TRACED.remove(&tgid).ok()?;
    let node = node()?;
    node.exits += 1;
    node.exited_runtime_ns += record.totals.runtime_ns;
    release::send(context, &record)
}
