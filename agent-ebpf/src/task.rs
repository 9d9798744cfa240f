//! `iter/task`: the live processes, each time user space reads the iterator (at each pass).
//!
//! Out, for each process: a [`LeaderRecord`], a [`ThreadRecord`] for each task if it has several, and a [`DeadThreadsRecord`]
//! before each thread that the iterator visits before the leader. Adding them up is left to user space.

use core::mem::size_of;

use agent_common::{DeadThreadsRecord, EXIT_DEAD, LeaderRecord, ThreadRecord, Totals, kind};
use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::generated::bpf_seq_write;

use crate::kernel::{Signal, Task};

/// Kernel: `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
}

/// Kernel: `struct bpf_iter__task`.
#[repr(C)]
pub struct IteratorContext {
    meta: *const Meta,
    task: *const u8,
}

/// Runs for each task in the order of thread ids, and at the end once more without a task. If a record does not fit the
/// reader's buffer, the kernel runs the program for this task again, so nothing here may have a side effect.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn task_snapshot(context: *const IteratorContext) -> i32 {
    // SAFETY: the verifier knows the context's layout and that `meta` is not NULL.
    let (seq, task) = unsafe { ((*(*context).meta).seq, (*context).task) };
    let Some(task) = Task::new(task) else {
        return 0;
    };
    let Some(signal) = task.signal() else {
        return 0;
    };
    let is_leader = task.is_leader();
    if is_leader {
        leader(seq, task, signal);
    }
    if !is_leader || signal.threads() > 1 {
        if task.tid() < task.tgid() {
            dead_threads(seq, task, signal);
        }
        thread(seq, task);
    }
    0
}

#[inline(always)]
fn leader(seq: *mut seq_file, task: Task, signal: Signal) {
    let (rss_pages, swap_pages, total_vm_pages) = match task.mm() {
        Some(mm) => (mm.rss_pages(), mm.swap_pages(), mm.total_vm_pages()),
        None => (0, 0, 0),
    };
    let mut record = LeaderRecord {
        kind: kind::LEADER,
        state: task.state(),
        exit_state: task.exit_state(),
        parent_tgid: task.parent_tgid(),
        id: task.identity(),
        totals: signal.totals(),
        rss_pages,
        swap_pages,
        total_vm_pages,
        fd_limit: signal.fd_limit(),
        cgroup_id: task.cgroup_id(),
        threads: signal.threads(),
        flags: task.flags(),
        borrows_ids: u32::from(task.borrows_ids()),
        zero: 0,
    };
    // `exit_state` is read after the sums, because the sums may include the leader's own use while the kernel releases it.
    if task.exit_state() & EXIT_DEAD == 0 {
        task.add_to(&mut record.totals);
    }
    write(seq, &record);
}

/// Writes the sums of the dead threads before the thread's own record, so that user space counts a thread once that ends
/// between this visit and the leader's.
#[inline(always)]
fn dead_threads(seq: *mut seq_file, task: Task, signal: Signal) {
    let record = DeadThreadsRecord {
        kind: kind::DEAD_THREADS,
        zero: 0,
        id: task.identity(),
        totals: signal.totals(),
    };
    write(seq, &record);
}

#[inline(always)]
fn thread(seq: *mut seq_file, task: Task) {
    let mut totals = Totals::default();
    task.add_to(&mut totals);
    let record = ThreadRecord {
        kind: kind::THREAD,
        state: task.state(),
        exit_state: task.exit_state(),
        tid: task.tid(),
        tgid: task.tgid(),
        zero: 0,
        start_ns: task.start_ns(),
        utime_ns: totals.utime_ns,
        stime_ns: totals.stime_ns,
        runtime_ns: totals.runtime_ns,
        minor_faults: totals.minor_faults,
        major_faults: totals.major_faults,
        voluntary_switches: totals.voluntary_switches,
        nonvoluntary_switches: totals.nonvoluntary_switches,
        read_bytes: totals.read_bytes,
        write_bytes: totals.write_bytes,
        run_delay_ns: totals.run_delay_ns,
        comm: task.comm(),
    };
    write(seq, &record);
}

#[inline(always)]
fn write<T>(seq: *mut seq_file, record: &T) {
    // SAFETY: `seq` is the iterator's own; `record` has no padding, so every byte is initialised.
    unsafe {
        bpf_seq_write(seq, (&raw const *record).cast(), size_of::<T>() as u32);
    }
}
