//! The switch tier without the kernel's type information: programs on classic tracepoints.
//!
//! These programs can read only the results of helpers about the current task, and the fields of the tracepoints. So each process
//! has an entry in the map [`TRACED`]: its start, its on-CPU time, its number of threads. The programs send the same records as
//! those with type information; fields that they cannot fill are 0, and flags say so ([`agent_common::EXIT_UNTOLD`],
//! [`agent_common::EXEC_REAL_UID`]). No system call is traced: that would make every call on the node slower.

mod birth;
mod end;
mod image;
mod stretch;

use core::arch::asm;
use core::ptr::read_volatile;

use agent_common::{ABSENT, Comm, Identity, SwitchTotals, Totals, TraceFields, Traced};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_kernel,
};
use aya_ebpf::programs::TracePointContext;

use crate::maps::{SWITCH, TRACED};

/// User space sets it before loading.
#[unsafe(no_mangle)]
static TRACEPOINTS: TraceFields = TraceFields::ABSENT;

macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of this program. Volatile, because user space has replaced the value that the compiler knows.
        unsafe { core::ptr::read_volatile(&raw const $crate::tracepoint::TRACEPOINTS.$field) }
    };
}
use offset;

/// Reads a field of the tracepoint's record; `None` if the event lacks it. The verifier allows plain loads from such a record
/// at constant offsets only, so this uses a helper.
#[inline(always)]
fn field<T>(context: &TracePointContext, offset: u32) -> Option<T> {
    if offset == ABSENT {
        return None;
    }
    // SAFETY: the helper checks the address.
    unsafe {
        bpf_probe_read_kernel(
            context
                .as_ptr()
                .add(offset as usize)
                .cast::<T>()
                .cast_const(),
        )
    }
    .ok()
}

/// Like [`field`], for a field that nearly every kernel has at offset `AT`: there a plain load works, and the other branch is
/// dead code.
#[inline(always)]
fn field_at<const AT: u32, T: Copy>(context: &TracePointContext, offset: u32) -> Option<T> {
    if offset != AT {
        return field(context, offset);
    }
    // SAFETY: the verifier checks the offset; when the program is attached, the kernel checks that the record is long enough.
    Some(unsafe { read_volatile(context.as_ptr().add(AT as usize).cast::<T>()) })
}

/// Process and thread id of the current task.
#[inline(always)]
fn current() -> (u32, u32) {
    let both = bpf_get_current_pid_tgid();
    ((both >> 32) as u32, both as u32)
}

#[inline(always)]
fn current_comm() -> Comm {
    bpf_get_current_comm().unwrap_or_default()
}

/// The entry of a process; `None` if it found the map full at its birth, or is older than the programs and user space has
/// not added it yet.
#[inline(always)]
fn traced(tgid: u32) -> Option<&'static Traced> {
    // SAFETY: a map value. Several CPUs change its words only by single atomic additions.
    TRACED.get_ptr(&tgid).map(|entry| unsafe { &*entry })
}

/// Adds to a word that other CPUs may add to at the same time. It does not return the result: that would take another
/// instruction, which kernels support since 5.12.
#[inline(always)]
fn add<T>(word: &T, more: u64) {
    const { assert!(size_of::<T>() == 8) };
    // SAFETY: a word of a map value.
    unsafe {
        asm!(
            "lock *(u64 *)({word} + 0) += {more}",
            word = in(reg) &raw const *word,
            more = in(reg) more,
        );
    }
}

/// Reads a word that other CPUs may change.
#[inline(always)]
fn now<T: Copy>(word: &T) -> T {
    // SAFETY: a word of a map value.
    unsafe { read_volatile(word) }
}

#[inline(always)]
fn identity(tgid: u32, entry: &Traced) -> Identity {
    Identity {
        start_ns: entry.start_ns,
        tgid,
        zero: 0,
    }
}

/// The use of a process: the values of its entry plus `stretch_ns`, the run that is not in its entry yet. Faults, storage IO and
/// the split of CPU time are unknown here and 0.
#[inline(always)]
fn totals(entry: &Traced, stretch_ns: u64) -> Totals {
    Totals {
        runtime_ns: now(&entry.run_ns) + stretch_ns,
        voluntary_switches: now(&entry.voluntary_switches),
        nonvoluntary_switches: now(&entry.nonvoluntary_switches),
        ..Totals::default()
    }
}

/// The switch program's state of this CPU.
#[inline(always)]
fn cpu() -> Option<&'static mut SwitchTotals> {
    // SAFETY: a per-CPU slot; only births and switches write it, and neither interrupts the other.
    SWITCH.get_ptr_mut(0).map(|cpu| unsafe { &mut *cpu })
}

/// How long the current task has been on this CPU, nanoseconds; 0 if the program missed its switch.
#[inline(always)]
fn current_stretch_ns() -> u64 {
    let (_, tid) = current();
    match cpu() {
        Some(cpu) if cpu.running_tid == tid => {
            // SAFETY: a helper without arguments.
            unsafe { bpf_ktime_get_ns() }.saturating_sub(cpu.last_ns)
        }
        _ => 0,
    }
}
