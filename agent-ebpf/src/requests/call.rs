//! The user's buffer of the system call that sends or receives, by the registers of the current process.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::read_volatile;

use agent_common::ABSENT;
use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_probe_read_user, bpf_task_pt_regs,
};

use crate::head::{SLACK_BYTES, TEXT_BYTES, Text};
use crate::socket::layout;

/// The first pieces of a vector that are looked at. A head whose first bytes are in more pieces is not seen.
const PIECES: u64 = 8;
/// Bytes of a `struct iovec`: address and length.
const PIECE_BYTES: u64 = 16;
/// Offset of the vector's address in a `struct msghdr` of a process; its length follows.
const MESSAGE_VECTOR: u64 = 16;

/// `-ENOSYS`: on x86-64 the result of a call until it has one.
const NO_RESULT: u64 = (-38_i64).cast_unsigned();

/// Where a process sends from, or receives to.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    /// Address of the buffer, or of the vector.
    address: u64,
    /// Number of pieces of the vector; 0 if it is a plain buffer.
    pieces: u64,
    /// Bytes of the vector that come before the position.
    skipped: u64,
}

/// The known facts about the buffer of a system call.
pub(crate) enum Call {
    Buffer(Buffer),
    /// It sends a file.
    File,
    /// The buffer is not known: io_uring, a system call for several messages, or a splice.
    Unknown,
}

/// The current system call's buffer.
#[inline(always)]
pub(crate) fn current() -> Call {
    // SAFETY: helpers without arguments, or with a task that the verifier checks.
    let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8;
    let argument = |offset: u32| {
        // SAFETY: the verifier checks that the field is at this offset.
        unsafe { read_volatile(registers.add(offset as usize).cast::<u64>()) }
    };
    let place = layout!(regs_call) as usize;
    // SAFETY: as above. The number is a word of 32 bits, or the low half of a larger one.
    let call = unsafe { read_volatile(registers.add(place).cast::<u32>()) };
    let result = argument(layout!(regs_result));
    let no_result = match layout!(regs_no_result) {
        ABSENT => NO_RESULT,
        offset => argument(offset),
    };
    // The call has ended: bytes that are carried now belong to `io_uring`, which runs at the end of any call.
    if result != no_result {
        return Call::Unknown;
    }
    let is = |number: u32| call == number;
    if is(layout!(plain_calls[0]))
        || is(layout!(plain_calls[1]))
        || is(layout!(plain_calls[2]))
        || is(layout!(plain_calls[3]))
    {
        return Call::Buffer(Buffer {
            address: argument(layout!(regs_second)),
            pieces: 0,
            skipped: 0,
        });
    }
    if is(layout!(message_calls[0])) || is(layout!(message_calls[1])) {
        let mut vector = [0; 2];
        let from = argument(layout!(regs_second)) + MESSAGE_VECTOR;
        if !read_words(&mut vector, from) || vector[1] == 0 {
            return Call::Unknown;
        }
        return Call::Buffer(Buffer {
            address: vector[0],
            pieces: vector[1],
            skipped: 0,
        });
    }
    if is(layout!(vector_calls[0]))
        || is(layout!(vector_calls[1]))
        || is(layout!(vector_calls[2]))
        || is(layout!(vector_calls[3]))
    {
        return Call::Buffer(Buffer {
            address: argument(layout!(regs_second)),
            pieces: argument(layout!(regs_third)),
            skipped: 0,
        });
    }
    if is(layout!(file_call)) {
        Call::File
    } else {
        Call::Unknown
    }
}

#[inline(always)]
fn read_words(to: &mut [u64; 2], from: u64) -> bool {
    // SAFETY: the helper checks the address.
    let result = unsafe {
        bpf_probe_read_user(
            to.as_mut_ptr().cast(),
            size_of::<[u64; 2]>() as u32,
            from as *const c_void,
        )
    };
    result == 0
}

impl Buffer {
    /// Moves the position on by so many bytes. In a vector, [`Buffer::seek`] finds its piece.
    #[inline(always)]
    pub(crate) fn skip(&mut self, bytes: u64) {
        if self.pieces == 0 {
            self.address += bytes;
        } else {
            self.skipped += bytes;
        }
    }

    /// Drops pieces before the position, [`PIECES`] at most. Returns whether the first piece is that of the position.
    #[inline(always)]
    pub(crate) fn seek(&mut self) -> bool {
        if self.skipped == 0 {
            return true;
        }
        for _ in 0..PIECES {
            let mut vector = [0; 2];
            if !read_words(&mut vector, self.address) || self.skipped < vector[1] {
                return true;
            }
            if self.pieces <= 1 {
                return true;
            }
            self.skipped -= vector[1];
            self.address += PIECE_BYTES;
            self.pieces -= 1;
        }
        false
    }

    /// Copies the buffer from the position on behind the first `held` bytes of `text`, so that there are at most `most`, and no more than
    /// the `carried` bytes that the call sent or received. Returns how many there are, with those held.
    #[inline(always)]
    pub(crate) fn copy_to(self, text: &mut Text, held: u64, carried: u64, most: u64) -> u64 {
        let all = least(held + carried, most);
        if self.pieces == 0 {
            let copied = copy(text, held, self.address, all.saturating_sub(held));
            return text.known(held + copied);
        }
        let mut have = held;
        let mut skipped = self.skipped;
        for piece in 0..PIECES {
            if piece >= self.pieces || have >= all {
                break;
            }
            let mut vector = [0; 2];
            if !read_words(&mut vector, self.address + piece * PIECE_BYTES) {
                break;
            }
            let wanted = least(vector[1].saturating_sub(skipped), all - have);
            if wanted != 0 {
                let copied = copy(text, have, vector[0] + skipped, wanted);
                have = text.known(have + copied);
                if copied != wanted {
                    break;
                }
            }
            skipped = 0;
        }
        text.known(have)
    }
}

#[inline(always)]
pub(crate) fn least(one: u64, other: u64) -> u64 {
    if one < other { one } else { other }
}

/// Copies `len` bytes to position `at`. Returns how many it copied: all or none.
#[inline(always)]
fn copy(text: &mut Text, at: u64, from: u64, len: u64) -> u64 {
    if len == 0 {
        return 0;
    }
    // The masks show the verifier the bounds; `black_box` keeps the compiler from leaving them out.
    let at = black_box(at) & (TEXT_BYTES as u64 - 1);
    let bounded = (black_box(len - 1) & (SLACK_BYTES as u64 - 1)) + 1;
    // SAFETY: within the text, which has this much behind the last position; the helper checks the other address.
    let result = unsafe {
        bpf_probe_read_user(
            (&raw mut text.bytes).cast::<u8>().add(at as usize).cast(),
            bounded as u32,
            from as *const c_void,
        )
    };
    if result == 0 { len } else { 0 }
}
