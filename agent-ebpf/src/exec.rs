//! `sched_process_exec`: a process runs a new program.
//!
//! In: the task and its `linux_binprm`. Out: an [`ExecRecord`] with the totals that the process used before, its new names,
//! and up to 64 KiB of arguments in up to four records. The file name is not read: no label or selector uses it, and reading
//! it needs a helper that lockdown forbids.

use core::hint::black_box;

use agent_common::{
    ARGV_BYTES, ARGV_CUT, ARGV_PIECES, ARGV_SHORT_BYTES, EXEC_BORROWED_IDS, ExecHead, ExecRecord,
    OVERFLOW_EXECED, OverflowRecord, kind,
};
use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::emit::{
    WAKE_NOW, coarse_sums, known_overflow_entry, node, overflow_entry, to_ring, waiting_bytes,
};
use crate::kernel::{Task, may_set_ids, now_ns, reads_arguments, wake_bytes};
use crate::maps::{CGROUPS, EXEC_SCRATCH, ExecScratch, WOKEN};
use crate::no_preempt::no_preempt;
use crate::runqueue;

/// The smallest page size. Each read of arguments stays within one page of this size.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Records with long arguments wake the ring's reader at 1/4 of the usual threshold, so that the next ones find room too.
const LONG_WAKES: u64 = 4;

/// Rate limit of immediate wakes for facts that only user space can read: one wake in this time, nanoseconds…
const WAKES_APART_NS: u64 = 10_000_000;
/// …and this many wakes at once after a quiet time.
const WAKES_AT_ONCE: u64 = 64;

/// Kernel: `trace_sched_process_exec(struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)`.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(context: BtfTracePointContext) -> i32 {
    no_preempt(|| report(&context))
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
    send_arguments(task, scratch);
    let wake_from = wake_from(&scratch.record);
    send(context, scratch, wake_from)
}

/// The number of bytes that must wait in the ring for this record to wake the reader.
///
/// The record wakes the reader at once if user space must look at the process while it lives: the arguments are cut, or the
/// cgroup is new.
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

/// Whether no exec was reported in this cgroup lately.
#[inline(always)]
fn is_new_cgroup(id: u64) -> bool {
    // SAFETY: the value is not read.
    if unsafe { CGROUPS.get(&id) }.is_some() {
        return false;
    }
    // If the insertion fails, the next exec finds the cgroup new again.
    let _ = CGROUPS.insert(&id, &1, 0);
    true
}

/// Whether the rate limit allows an immediate wake now. The limit keeps a process that execs in a loop from making the reader
/// run all the time. Two CPUs that ask at the same time may both get the same wake.
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

/// Sends the record in `scratch` with the first piece of its arguments: to the ring, else to the overflow hash (without
/// arguments), else to the sums by comm.
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

/// Puts the record into the ring, followed by at most [`ARGV_BYTES`] of `argv_len` bytes of arguments. Returns `false` if the
/// ring is full.
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

/// How many of `all` bytes of arguments the records should carry. Long arguments may fill three quarters of the ring only, so
/// that programs with long arguments never displace the records of other processes.
#[inline(always)]
fn wanted(all: u64) -> u64 {
    const SHORT: u64 = ARGV_SHORT_BYTES as u64;
    const MOST: u64 = (ARGV_PIECES * ARGV_BYTES) as u64;
    if all <= SHORT {
        return all;
    }
    // `wake_bytes` is half the ring, so this is three quarters of it.
    let room = (wake_bytes() + wake_bytes() / 2).saturating_sub(waiting_bytes());
    let room = if room < SHORT { SHORT } else { room };
    let room = if room > MOST { MOST } else { room };
    if all < room { all } else { room }
}

/// Reads the arguments. Sends every piece but the first, leaves the first one in the scratch buffer, and sets [`ARGV_CUT`] if
/// the pieces are not the whole argument vector.
#[inline(always)]
fn send_arguments(task: Task, scratch: &mut ExecScratch) {
    if !reads_arguments() {
        scratch.record.head.flags |= ARGV_CUT;
        return;
    }
    let Some(mm) = task.mm() else { return };
    let (start, end) = mm.arguments();
    let all = end.saturating_sub(start);
    let wanted = wanted(all);
    let mut sent = wanted;
    if wanted > ARGV_BYTES as u64 {
        let old_tid = scratch.record.old_tid;
        // A record of this kind has the number of the piece in `old_tid` (see `ExecRecord`).
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
                sent = at;
                break;
            }
            if len < ARGV_BYTES as u64 {
                sent = at + len;
                break;
            }
        }
        scratch.record.kind = kind::EXEC;
        scratch.record.old_tid = old_tid;
    }
    let first = read_piece(scratch, start, wanted);
    if first < ARGV_BYTES as u64 {
        sent = first;
    }
    scratch.record.head.argv_len = sent as u32;
    if sent < all {
        scratch.record.head.flags |= ARGV_CUT;
    }
}

/// Copies at most [`ARGV_BYTES`] of the `wanted` bytes of arguments at `from` to the scratch buffer, and returns how many it
/// copied. A read fails as a whole, so this reads page by page and keeps the bytes before a page that is not in memory.
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

/// Masks a length of 1 to `most`, a power of two, so that the verifier sees the bound. `black_box` hides from the compiler that
/// the mask changes nothing; the compiler would omit it otherwise.
#[inline(always)]
pub(crate) fn bounded(len: u64, most: usize) -> u64 {
    (black_box(len - 1) & (most as u64 - 1)) + 1
}

/// Copies `len` bytes within one page to position `at` of the scratch buffer. Returns `false` if that page is not in memory.
#[inline(always)]
fn read_user(scratch: &mut ExecScratch, at: u64, from: u64, len: u64) -> bool {
    let at = black_box(at) & (ARGV_BYTES as u64 - 1);
    let len = bounded(len, PAGE_BYTES);
    // SAFETY: within the scratch buffer, which has a page of slack behind the arguments; the helper checks the other address.
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
