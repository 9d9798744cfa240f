//! Atomic changes of words that several CPUs, or a program and one that interrupts it, change at the same time.

use core::arch::asm;
use core::ptr::read_volatile;

/// Adds to a word of a map value. It does not return the result: that would take another instruction.
#[inline(always)]
pub(crate) fn add(word: *mut u64, more: u64) {
    // SAFETY: a word of a map value; the verifier checks the access.
    unsafe {
        asm!(
            "lock *(u64 *)({word} + 0) += {more}",
            word = in(reg) word,
            more = in(reg) more,
        );
    }
}

/// Reads a word that other CPUs may change.
#[inline(always)]
pub(crate) fn now<T: Copy>(word: *const T) -> T {
    // SAFETY: a word of a map value or of a socket's storage; the verifier checks the access.
    unsafe { read_volatile(word) }
}
