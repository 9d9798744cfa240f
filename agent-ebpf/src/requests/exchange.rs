//! The state that the programs keep with each socket.
//!
//! ```text
//! (no storage), SENT --bytes that may become a method--> same state, the bytes are held
//! (no storage), SENT --a method is received--> BEGUN --the head of a response is sent--> SENT
//!                                              BEGUN --closed--> IGNORED (aborted)
//! (no storage), SENT --received, buffer unknown--> BLIND --sent--> SENT
//! (no storage) --received, no request--> IGNORED
//! BEGUN --101, or the first answer is no HTTP--> IGNORED
//! ```

use core::ptr::copy_nonoverlapping;

use agent_common::Identity;

use crate::atomic::now;
use crate::swap::replace;

/// The first bytes of a request are held; they are too few to decide whether they are a method.
pub(crate) const OPEN: u64 = 0;
/// A request was received, and no response was sent.
pub(crate) const BEGUN: u64 = 1;
/// A response was sent. Another one may follow, if more than one request was received.
pub(crate) const SENT: u64 = 2;
/// HTTP/1 is not spoken on the socket, or no longer, or by the other end.
pub(crate) const IGNORED: u64 = 3;
/// Something was received into a buffer that is not known.
pub(crate) const BLIND: u64 = 4;

/// In [`Exchange::flags`]: the exchange is in `begun` of its owner.
pub(crate) const COUNTED: u8 = 1;
/// In [`Exchange::flags`]: more was received than the head of one request, or may have been.
pub(crate) const MORE: u8 = 1 << 1;
/// In [`Exchange::flags`]: the process has sent before.
pub(crate) const ANSWERED: u8 = 1 << 2;
/// In [`Exchange::flags`]: the method is CONNECT.
pub(crate) const CONNECT: u8 = 1 << 3;
/// In [`Exchange::flags`]: a response was sent, and how long that took was not counted.
pub(crate) const RESPONDED: u8 = 1 << 4;
/// In [`Exchange::flags`]: behind the rest of the last response's body, the next chunk is to be sent.
pub(crate) const CHUNKED: u8 = 1 << 5;

/// 56 bytes, so that it fills a slab of 128 with the kernel's header.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Exchange {
    /// [`OPEN`] and so on. Only the program that changes it from [`BEGUN`] counts the end of the exchange.
    pub(crate) state: u64,
    /// When the first byte of the request was received, or the last response was sent.
    pub(crate) begun_ns: u64,
    /// The process that received the request, or has sent the last response.
    pub(crate) owner: Identity,
    /// Bytes of the last response's body that were not sent yet, as far as they are known.
    pub(crate) left: u32,
    /// The number of the method.
    pub(crate) method: u16,
    pub(crate) flags: u8,
    /// How many bytes are held.
    pub(crate) held: u8,
    /// Bytes at the beginning of a request or response, until they are enough.
    pub(crate) head: [u64; 2],
}

/// The storage of a socket, which another CPU may be using, too.
#[derive(Clone, Copy)]
pub(crate) struct Kept(pub(crate) *mut Exchange);

impl Kept {
    #[inline(always)]
    pub(crate) fn state(self) -> u64 {
        // SAFETY: a field of the storage; the verifier checks the access.
        now(unsafe { &raw const (*self.0).state })
    }

    /// Ends the exchange that is under way. `false` if another CPU has ended it.
    #[inline(always)]
    pub(crate) fn end(self, next: u64) -> bool {
        // SAFETY: as above.
        replace(unsafe { &raw mut (*self.0).state }, BEGUN, next)
    }

    #[inline(always)]
    pub(crate) fn get(self) -> &'static mut Exchange {
        // SAFETY: a storage that lives as long as the program runs. Both ends of a race write plain words: the loser's are lost.
        unsafe { &mut *self.0 }
    }

    /// The two ways of copying a state. An assignment becomes the call of a function that moves bytes, because the states could overlap.
    #[inline(always)]
    pub(crate) fn copy_to(self, to: &mut Exchange) {
        // SAFETY: a storage and a value of another map.
        unsafe { copy_nonoverlapping(self.0.cast_const(), to, 1) };
    }

    #[inline(always)]
    pub(crate) fn set(self, from: &Exchange) {
        // SAFETY: as above.
        unsafe { copy_nonoverlapping(from, self.0, 1) };
    }
}
