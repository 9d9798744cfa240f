//! Programs that keep their CPU until they are done.
//!
//! The kernel does not run a program on a CPU where that program is under way. On functions, and since 7.0 on tracepoints, a
//! kernel that preempts itself may take the CPU away from it, and give it to many who fork, exec and end before it goes on: nothing would
//! be told of any of them. Kernels since 6.10 let a program forbid that; the others run it as it is.

use agent_common::{KEEP_CPU, YIELD_CPU};
use core::arch::asm;

/// One instruction, which user space replaces: by a call of the kernel's function, or by nothing.
macro_rules! call {
    ($marker:ident) => {
        // SAFETY: functions without arguments. The verifier checks that each path has both calls.
        unsafe {
            asm!(
                "call {marker}",
                marker = const $marker,
                out("r0") _,
                out("r1") _,
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
    call!(KEEP_CPU);
    body();
    call!(YIELD_CPU);
    0
}
