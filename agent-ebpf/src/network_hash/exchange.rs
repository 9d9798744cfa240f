//! How a gain of a socket is claimed: a program that has claimed the socket (claims.rs) changes the words with the credited
//! bytes, and no other program does.

use core::ptr::write_volatile;

use crate::atomic::now;

/// Replaces `before` by `after`. Returns whether the word was `before`.
#[inline(always)]
pub(crate) fn replace(word: *mut u64, before: u64, after: u64) -> bool {
    exchange(word, after) == before
}

/// Sets the word and returns its former value.
#[inline(always)]
pub(crate) fn exchange(word: *mut u64, after: u64) -> u64 {
    let found = now(word);
    // SAFETY: a word of a map value; the verifier checks the access.
    unsafe { write_volatile(word, after) };
    found
}
