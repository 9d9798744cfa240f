//! `sched_process_exec`: a new image, what it is called, and what the old one had used.

use crate::{
    emit::{coarse_sums, known_overflow_entry, node, overflow_entry, to_ring},
    kernel::{Task, now_ns, reads_arguments},
    maps::EXEC_SCRATCH,
    runqueue,
    undisturbed::undisturbed,
};
use agent_common::{
    ARGV_BYTES, ARGV_CUT, ExecHead, ExecRecord, OVERFLOW_EXECED, OverflowRecord, kind,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_cgroup_id, generated::bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::{hint::black_box, mem::offset_of};

/// Smallest page: arguments are read up to a border of it first, since one read fails as a whole.
const PAGE_BYTES: u64 = 4096;

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
    let record = unsafe { &mut (*EXEC_SCRATCH.get_ptr_mut(0)?).record };
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
        flags: 0,
    };
    runqueue::exec(task, record.old_tid, &record.head.comm);
    read_arguments(task, record);
    send(context, record)
}

/// The way of a record whose arguments are as long as it says.
#[inline(always)]
pub(crate) fn send<C: EbpfContext>(context: &C, record: &ExecRecord) -> Option<()> {
    let argv_len = bounded(u64::from(record.head.argv_len)) as usize;
    let known = known_overflow_entry(&record.id);
    if known.is_none() && to_ring(record, offset_of!(ExecRecord, argv) + argv_len) {
        return None;
    }
    let Some(entry) = known.or_else(|| overflow_entry(&record.id)) else {
        coarse_sums(context, &record.head.comm)?.execs += 1;
        return None;
    };
    to_overflow(entry, record);
    None
}

/// Copies the first bytes of the arguments, and says so if that is not all.
#[inline(always)]
fn read_arguments(task: Task, record: &mut ExecRecord) {
    if !reads_arguments() {
        record.head.flags |= ARGV_CUT;
        return;
    }
    let Some(mm) = task.mm() else { return };
    let (start, end) = mm.arguments();
    let all = end.saturating_sub(start);
    let wanted = if all > ARGV_BYTES as u64 {
        ARGV_BYTES as u64
    } else {
        all
    };
    let to_border = PAGE_BYTES - (start & (PAGE_BYTES - 1));
    let first = if wanted < to_border {
        wanted
    } else {
        to_border
    };
    let mut have = read_user(record, 0, start, first);
    if have == first && first < wanted {
        have += read_user(record, first, start + first, wanted - first);
    }
    record.head.argv_len = have as u32;
    if have < all {
        record.head.flags |= ARGV_CUT;
    }
}

/// A length of at most [`ARGV_BYTES`], masked where the verifier sees it: what the compiler knows already it would
/// leave out.
#[inline(always)]
pub(crate) fn bounded(len: u64) -> u64 {
    black_box(len) & (2 * ARGV_BYTES as u64 - 1)
}

/// Bytes read: `len`, or 0 where the page is not there. As called, `at + len` is at most [`ARGV_BYTES`].
#[inline(always)]
fn read_user(record: *mut ExecRecord, at: u64, from: u64, len: u64) -> u64 {
    let at = black_box(at) & (ARGV_BYTES as u64 - 1);
    let len = bounded(len);
    // SAFETY: within the scratch; the helper checks the address.
    let result = unsafe {
        bpf_probe_read_user(
            (&raw mut (*record).argv)
                .cast::<u8>()
                .add(at as usize)
                .cast(),
            len as u32,
            from as *const core::ffi::c_void,
        )
    };
    if result == 0 { len } else { 0 }
}

#[inline(always)]
fn to_overflow(entry: &mut OverflowRecord, record: &ExecRecord) {
    if entry.flags & OVERFLOW_EXECED == 0 {
        entry.exec_totals = record.totals;
    }
    entry.head = record.head;
    entry.head.argv_len = 0;
    entry.head.flags |= ARGV_CUT;
    entry.exec_time_ns = record.time_ns;
    entry.execs += 1;
    entry.flags |= OVERFLOW_EXECED;
}
