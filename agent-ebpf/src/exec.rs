//! `sched_process_exec`: a new image, what it is called, and what the old one had used.

use crate::{
    emit::{
        WAKE_NOW, coarse_sums, known_overflow_entry, node, overflow_entry, to_ring, waiting_bytes,
    },
    kernel::{Task, may_set_ids, now_ns, reads_arguments, wake_bytes},
    maps::{CGROUPS, EXEC_SCRATCH, ExecScratch, WOKEN},
    runqueue,
    undisturbed::undisturbed,
};
use agent_common::{
    ARGV_BYTES, ARGV_CUT, ARGV_PIECES, ARGV_SHORT_BYTES, EXEC_BORROWED_IDS, ExecHead, ExecRecord,
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

/// How often the reader may be woken for what only it can find out: once in so many nanoseconds…
const WAKES_APART_NS: u64 = 10_000_000;
/// …and so many times at once after a rest.
const WAKES_AT_ONCE: u64 = 64;

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
    tell_arguments(task, scratch);
    let wake_from = wake_from(&scratch.record);
    send(context, scratch, wake_from)
}

/// How many bytes must wait for this record to wake the reader.
#[inline(always)]
pub(crate) fn wake_from(record: &ExecRecord) -> u64 {
    let is_cut = record.head.flags & ARGV_CUT != 0 && reads_arguments();
    if (is_new_cgroup(record.head.cgroup_id) | is_cut) && may_wake(record.time_ns) {
        return WAKE_NOW;
    }
    if record.head.argv_len > ARGV_SHORT_BYTES as u32 {
        wake_bytes() / LONG_WAKES
    } else {
        wake_bytes()
    }
}

/// Whether no exec was told in this cgroup lately.
#[inline(always)]
fn is_new_cgroup(id: u64) -> bool {
    // SAFETY: nobody looks at the value.
    if unsafe { CGROUPS.get(&id) }.is_some() {
        return false;
    }
    // One that finds no place is new again.
    let _ = CGROUPS.insert(&id, &1, 0);
    true
}

/// Whether the reader may be woken for what only it can find out: nobody makes it run without end. Two CPUs that ask at once
/// may both be told so.
#[inline(always)]
fn may_wake(now_ns: u64) -> bool {
    let Some(woken_ns) = WOKEN.get_ptr_mut(0) else {
        return false;
    };
    let rested_ns = now_ns - WAKES_AT_ONCE * WAKES_APART_NS;
    // SAFETY: a map value; one word, read and written as a whole.
    unsafe {
        let paid_ns = if *woken_ns < rested_ns {
            rested_ns
        } else {
            *woken_ns
        };
        let may = paid_ns + WAKES_APART_NS <= now_ns;
        if may {
            *woken_ns = paid_ns + WAKES_APART_NS;
        }
        may
    }
}

/// The way of a record whose arguments are as long as it says.
#[inline(always)]
pub(crate) fn send<C: EbpfContext>(
    context: &C,
    scratch: &ExecScratch,
    wake_from: u64,
) -> Option<()> {
    let record = &scratch.record;
    let known = known_overflow_entry(&record.id);
    if known.is_none() && piece_to_ring(scratch, u64::from(record.head.argv_len), wake_from) {
        return None;
    }
    let Some(entry) = known.or_else(|| overflow_entry(&record.id)) else {
        coarse_sums(context, &record.head.comm)?.execs += 1;
        return None;
    };
    to_overflow(entry, record);
    None
}

/// Puts the record into the ring, and the first [`ARGV_BYTES`] of so many bytes of arguments.
#[inline(always)]
fn piece_to_ring(scratch: &ExecScratch, argv_len: u64, wake_from: u64) -> bool {
    let mut len = size_of::<ExecRecord>();
    if argv_len >= ARGV_BYTES as u64 {
        len += ARGV_BYTES;
    } else if argv_len > 0 {
        len += bounded(argv_len, ARGV_BYTES) as usize;
    }
    to_ring(scratch, len, wake_from)
}

/// Bytes of `all` that are to be told. Programs with long arguments share three quarters of the ring, so that they never keep out
/// the records of others.
#[inline(always)]
fn wanted(all: u64) -> u64 {
    const SHORT: u64 = ARGV_SHORT_BYTES as u64;
    const MOST: u64 = (ARGV_PIECES * ARGV_BYTES) as u64;
    if all <= SHORT {
        return all;
    }
    // Three quarters of the ring: the reader is woken at half of it.
    let room = (wake_bytes() + wake_bytes() / 2).saturating_sub(waiting_bytes());
    let room = if room < SHORT { SHORT } else { room };
    let room = if room > MOST { MOST } else { room };
    if all < room { all } else { room }
}

/// Tells all arguments but the first piece, which is left in the scratch, and says so if that is not all.
#[inline(always)]
fn tell_arguments(task: Task, scratch: &mut ExecScratch) {
    if !reads_arguments() {
        scratch.record.head.flags |= ARGV_CUT;
        return;
    }
    let Some(mm) = task.mm() else { return };
    let (start, end) = mm.arguments();
    let all = end.saturating_sub(start);
    let wanted = wanted(all);
    let mut told = wanted;
    if wanted > ARGV_BYTES as u64 {
        let old_tid = scratch.record.old_tid;
        scratch.record.kind = kind::ARGUMENTS;
        for piece in 1..ARGV_PIECES as u64 {
            let at = piece * ARGV_BYTES as u64;
            if at >= wanted {
                break;
            }
            scratch.record.old_tid = piece as u32;
            let len = read_piece(scratch, start + at, wanted - at);
            scratch.record.head.argv_len = len as u32;
            if len == 0 || !piece_to_ring(scratch, len, wake_bytes() / LONG_WAKES) {
                told = at;
                break;
            }
            if len < ARGV_BYTES as u64 {
                told = at + len;
                break;
            }
        }
        scratch.record.kind = kind::EXEC;
        scratch.record.old_tid = old_tid;
    }
    let first = read_piece(scratch, start, wanted);
    if first < ARGV_BYTES as u64 {
        told = first;
    }
    scratch.record.head.argv_len = told as u32;
    if told < all {
        scratch.record.head.flags |= ARGV_CUT;
    }
}

/// Copies at most [`ARGV_BYTES`] of so many bytes of arguments to the scratch; how many were copied. One read fails as a
/// whole, so this goes page by page: what is before a page that is not there is had.
#[inline(always)]
fn read_piece(scratch: &mut ExecScratch, from: u64, wanted: u64) -> u64 {
    let wanted = if wanted < ARGV_BYTES as u64 {
        wanted
    } else {
        ARGV_BYTES as u64
    };
    let mut have = 0;
    for _ in 0..=ARGV_BYTES / PAGE_BYTES {
        if have >= wanted {
            break;
        }
        let from = from + have;
        let to_border = PAGE_BYTES as u64 - (from & (PAGE_BYTES as u64 - 1));
        let left = wanted - have;
        let len = if left < to_border { left } else { to_border };
        if !read_user(scratch, have, from, len) {
            break;
        }
        have += len;
    }
    have
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
