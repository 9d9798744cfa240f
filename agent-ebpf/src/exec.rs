//! `sched_process_exec`: a new image, what it is called, and what the old one had used.

use crate::{
    emit::{coarse_sums, known_overflow_entry, node, overflow_entry, to_ring, waiting_bytes},
    kernel::{Task, may_set_ids, now_ns, reads_arguments, wake_bytes},
    maps::{EXEC_SCRATCH, ExecScratch},
    runqueue,
    undisturbed::undisturbed,
};
use agent_common::{
    ARGV_BYTES, ARGV_CUT, ARGV_SHORT_BYTES, EXEC_BORROWED_IDS, ExecHead, ExecRecord,
    OVERFLOW_EXECED, OverflowRecord, kind,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_cgroup_id, generated::bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::hint::black_box;

/// Smallest page.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Long arguments wake the ring's reader when they fill this part of what wakes it otherwise, so that the next ones find
/// room, too.
const LONG_WAKES: u64 = 4;

/// Kernel: `trace_sched_process_exec(struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)`.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(context: BtfTracePointContext) -> i32 {
    undisturbed(|| report(&context))
}

#[inline(always)]
fn report(context: &BtfTracePointContext) -> Option<()> {
    let task = Task::new(context.arg(0))?;
    node()?.execs += 1;
    // SAFETY: a per-CPU slot that only this program uses.
    let scratch = unsafe { &mut *EXEC_SCRATCH.get_ptr_mut(0)? };
    let record = &mut scratch.record;
    record.kind = kind::EXEC;
    record.old_tid = context.arg(1);
    record.id = task.identity();
    record.time_ns = now_ns();
    record.totals = task.signal()?.totals();
    task.add_to(&mut record.totals);
    record.head = ExecHead {
        // SAFETY: a helper without arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        comm: task.comm(),
        euid: task.euid(),
        parent_tgid: task.parent_tgid(),
        argv_len: 0,
        flags: if may_set_ids(context.arg(2)) && task.borrows_ids() {
            EXEC_BORROWED_IDS
        } else {
            0
        },
    };
    runqueue::exec(task, record.old_tid, &record.head.comm);
    read_arguments(task, scratch);
    send(context, scratch)
}

/// The way of a record whose arguments are as long as it says.
#[inline(always)]
pub(crate) fn send<C: EbpfContext>(context: &C, scratch: &ExecScratch) -> Option<()> {
    let record = &scratch.record;
    let argv_len = u64::from(record.head.argv_len);
    let mut len = size_of::<ExecRecord>();
    if argv_len > 0 {
        len += bounded(argv_len, ARGV_BYTES) as usize;
    }
    let wake_from = if argv_len > ARGV_SHORT_BYTES as u64 {
        wake_bytes() / LONG_WAKES
    } else {
        wake_bytes()
    };
    let known = known_overflow_entry(&record.id);
    if known.is_none() && to_ring(scratch, len, wake_from) {
        return None;
    }
    let Some(entry) = known.or_else(|| overflow_entry(&record.id)) else {
        coarse_sums(context, &record.head.comm)?.execs += 1;
        return None;
    };
    to_overflow(entry, record);
    None
}

/// Bytes of arguments that there is room for: programs with long ones share half of the ring, so that they never keep
/// out the records of others.
#[inline(always)]
fn room() -> u64 {
    let room = wake_bytes().saturating_sub(waiting_bytes());
    if room > ARGV_BYTES as u64 {
        ARGV_BYTES as u64
    } else if room < ARGV_SHORT_BYTES as u64 {
        ARGV_SHORT_BYTES as u64
    } else {
        room
    }
}

/// Copies the first bytes of the arguments, and says so if that is not all.
#[inline(always)]
fn read_arguments(task: Task, scratch: &mut ExecScratch) {
    if !reads_arguments() {
        scratch.record.head.flags |= ARGV_CUT;
        return;
    }
    let Some(mm) = task.mm() else { return };
    let (start, end) = mm.arguments();
    let all = end.saturating_sub(start);
    let mut wanted = all;
    if all > ARGV_SHORT_BYTES as u64 {
        let room = room();
        if room < wanted {
            wanted = room;
        }
    }
    let mut have = 0;
    // One read fails as a whole: page by page, so that what is before a page that is not there is had.
    for _ in 0..=ARGV_BYTES / PAGE_BYTES {
        if have >= wanted {
            break;
        }
        let from = start + have;
        let to_border = PAGE_BYTES as u64 - (from & (PAGE_BYTES as u64 - 1));
        let left = wanted - have;
        let len = if left < to_border { left } else { to_border };
        if !read_user(scratch, have, from, len) {
            break;
        }
        have += len;
    }
    scratch.record.head.argv_len = have as u32;
    if have < all {
        scratch.record.head.flags |= ARGV_CUT;
    }
}

/// A length of 1 to `most`, a power of two; masked where the verifier sees it: what the compiler knows already it would
/// leave out.
#[inline(always)]
pub(crate) fn bounded(len: u64, most: usize) -> u64 {
    (black_box(len - 1) & (most as u64 - 1)) + 1
}

/// Copies a piece that is within one page; `false` where that page is not there.
#[inline(always)]
fn read_user(scratch: &mut ExecScratch, at: u64, from: u64, len: u64) -> bool {
    let at = black_box(at) & (ARGV_BYTES as u64 - 1);
    let len = bounded(len, PAGE_BYTES);
    // SAFETY: within the scratch, which has a page behind the arguments; the helper checks the other address.
    let result = unsafe {
        bpf_probe_read_user(
            (&raw mut scratch.argv).cast::<u8>().add(at as usize).cast(),
            len as u32,
            from as *const core::ffi::c_void,
        )
    };
    result == 0
}

#[inline(always)]
fn to_overflow(entry: &mut OverflowRecord, record: &ExecRecord) {
    if entry.flags & OVERFLOW_EXECED == 0 {
        entry.exec_totals = record.totals;
        entry.exec_flags = record.head.flags;
    }
    entry.last_exec_totals = record.totals;
    entry.head = record.head;
    entry.head.argv_len = 0;
    entry.head.flags |= ARGV_CUT;
    entry.exec_time_ns = record.time_ns;
    entry.execs += 1;
    entry.flags |= OVERFLOW_EXECED;
}
