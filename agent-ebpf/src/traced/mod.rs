//! The switch tier without the kernel's type information: programs on classic tracepoints.
//!
//! They know of a task what helpers tell of the current one and what the tracepoints' fields tell, so each process has an
//! entry of its own in [`TRACED`]: since when it is there, what it has run, how many threads it has. The records are the
//! same as those of the programs with type information, as far as they can be filled.

mod birth;
mod end;
mod image;
mod stretch;

use crate::maps::{SWITCH, TRACED};
use agent_common::{ABSENT, Comm, Identity, SwitchTotals, Totals, TraceFields, Traced};
use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_kernel,
    },
    programs::TracePointContext,
};
use core::{arch::asm, ptr::read_volatile};

/// Set by user space before loading.
#[unsafe(no_mangle)]
static TRACEPOINTS: TraceFields = TraceFields::ABSENT;

macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of our own; volatile, because user space has replaced what the compiler knows.
        unsafe { core::ptr::read_volatile(&raw const $crate::traced::TRACEPOINTS.$field) }
    };
}
use offset;

/// A field of the tracepoint. The verifier takes plain loads from a tracepoint's record at constant places only, hence the
/// helper.
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

/// The same of a field that nearly every kernel has at `AT`, where a plain load will do; the other branch is dead code then.
#[inline(always)]
fn field_at<const AT: u32, T: Copy>(context: &TracePointContext, offset: u32) -> Option<T> {
    if offset != AT {
        return field(context, offset);
    }
    // SAFETY: the verifier checks the place, and the kernel, when the program is attached, that the record is as long.
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

/// What is known of a process.
#[inline(always)]
fn traced(tgid: u32) -> Option<&'static Traced> {
    // SAFETY: a map value. What several CPUs write is only ever added to, by one instruction.
    TRACED.get_ptr(&tgid).map(|entry| unsafe { &*entry })
}

/// Adds to a word that other CPUs may add to at the same time. The result is not asked for: that would be another
/// instruction, which kernels have since 5.12.
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

/// A word that other CPUs may have changed.
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

/// What a process has used; `stretch_ns`: and is not in its entry yet. There is nothing that tells its faults and storage
/// IO, or how its time is split.
#[inline(always)]
fn totals(entry: &Traced, stretch_ns: u64) -> Totals {
    Totals {
        runtime_ns: now(&entry.run_ns) + stretch_ns,
        voluntary_switches: now(&entry.voluntary_switches),
        nonvoluntary_switches: now(&entry.nonvoluntary_switches),
        ..Totals::default()
    }
}

/// This CPU's slot.
#[inline(always)]
fn cpu() -> Option<&'static mut SwitchTotals> {
    // SAFETY: a per-CPU slot; only births and switches write it, and neither interrupts the other.
    SWITCH.get_ptr_mut(0).map(|cpu| unsafe { &mut *cpu })
}

/// How long the current task has been on this CPU; 0 where its coming was not seen.
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
