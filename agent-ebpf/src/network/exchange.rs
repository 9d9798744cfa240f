//! How a gain of a socket is claimed: by atomic changes of the words that hold the credited totals. Linux 5.12 and later.

use core::arch::asm;

/// Replaces `before` by `after`. Returns whether the word was `before`.
#[inline(always)]
pub(crate) fn replace(word: *mut u64, before: u64, after: u64) -> bool {
    let found: u64;
    // SAFETY: a word of a socket's storage; the verifier checks the access.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {after})",
            word = in(reg) word,
            after = in(reg) after,
            inlateout("r0") before => found,
        );
    }
    found == before
}

/// Sets the word and returns its former value.
#[inline(always)]
pub(crate) fn exchange(word: *mut u64, after: u64) -> u64 {
    let found: u64;
    // SAFETY: a word of a socket's storage; the verifier checks the access.
    unsafe {
        asm!(
            "{value} = xchg_64({word} + 0, {value})",
            word = in(reg) word,
            value = inlateout(reg) after => found,
        );
    }
    found
}
