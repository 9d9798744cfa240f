//! Programs that keep their CPU until they are done.
//!
//! The kernel does not run a program on a CPU where that program is under way. On functions, and since 7.0 on tracepoints, a
//! kernel that preempts itself may take the CPU away from it, and give it to many who fork, exec and end before it goes on: nothing would
//! be told of any of them. Kernels since 6.14 let a program forbid that; the others run it as it is.

use agent_common::{KEEP_CPU, STOP_INTERRUPTS, TAKE_INTERRUPTS, YIELD_CPU};
use core::{arch::asm, mem::MaybeUninit};

/// One instruction, which user space replaces: by a call of the kernel's function, or by nothing.
macro_rules! call {
    ($marker:ident, $argument:expr) => {
        // SAFETY: functions that take nothing, or the address of a word on the stack. The verifier checks that each path has all
        // four calls.
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

/// The body of a program; its result tells nobody anything.
#[inline(always)]
pub(crate) fn undisturbed(body: impl FnOnce() -> Option<()>) -> i32 {
    let mut interrupts = MaybeUninit::<u64>::uninit();
    let interrupts = interrupts.as_mut_ptr();
    call!(KEEP_CPU, 0_u64);
    body();
    // Whoever waits for the CPU would get it as soon as it is yielded, and the program is still under way; but not while there are no
    // interrupts, and taking them again gives it to nobody.
    call!(STOP_INTERRUPTS, interrupts);
    call!(YIELD_CPU, 0_u64);
    call!(TAKE_INTERRUPTS, interrupts);
    0
}
