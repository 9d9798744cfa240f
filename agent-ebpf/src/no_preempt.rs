//! Keeps a program from being preempted until it is done.
//!
//! The kernel does not run a program on a CPU where the same program is still running. Programs on functions, and since 7.0
//! also those on tracepoints, can be preempted on a preemptible kernel. Other processes may then fork, exec and end on this
//! CPU before the program goes on, and no record of them would be written. Kernels since 6.14 allow a program to disable
//! preemption; on older ones the program runs without that.
//!
//! The program contains markers in the place of the calls; user space replaces them (`source/bpf/no_preempt.rs`).

use core::arch::asm;
use core::mem::MaybeUninit;

use agent_common::{KEEP_CPU, STOP_INTERRUPTS, TAKE_INTERRUPTS, YIELD_CPU};

/// One instruction that user space replaces by a call of the kernel's function, or by a jump to the next instruction.
macro_rules! call {
    ($marker:ident, $argument:expr) => {
        // SAFETY: the functions take no argument, or the address of a word on the stack. The verifier checks that each path has
        // all four calls.
        unsafe {
            asm!(
                "call {marker}",
                marker = const $marker,
                inlateout("r1") $argument => _,
                out("r0") _,
                out("r2") _,
                out("r3") _,
                out("r4") _,
                out("r5") _,
            );
        }
    };
}

/// Runs the body of a program with preemption disabled. The kernel ignores the returned value.
#[inline(always)]
pub(crate) fn no_preempt(body: impl FnOnce() -> Option<()>) -> i32 {
    let mut interrupts = MaybeUninit::<u64>::uninit();
    let interrupts = interrupts.as_mut_ptr();
    call!(KEEP_CPU, 0_u64);
    body();
    // Enabling preemption would at once give the CPU to a waiting task while the program still runs. With interrupts disabled it
    // does not, and restoring the interrupts does not reschedule either.
    call!(STOP_INTERRUPTS, interrupts);
    call!(YIELD_CPU, 0_u64);
    call!(TAKE_INTERRUPTS, interrupts);
    0
}
