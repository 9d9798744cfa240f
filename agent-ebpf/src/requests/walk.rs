//! The responses in one send, one after the other: their heads count, and their bodies are passed over by `Content-Length`, or
//! chunk by chunk if a head has none.
//!
//! The position after a body of unknown length is unknown, so the walk ends there. The rest of a body or chunk at the end of the
//! send is kept with the socket, and the next send goes on behind it.

use core::ffi::c_void;
use core::ptr::from_mut;

use agent_common::METHOD_HEAD;
use aya_ebpf::helpers::generated::bpf_loop;

use crate::call::Buffer;
use crate::count::add_total;
use crate::exchange::{CHUNKED, Exchange, Kept, SENT};
use crate::head::{LENGTH_LINE_BYTES, NO_LENGTH, STATUS_BYTES, STRICT_BYTES, TEXT_BYTES, Text};
use crate::send::{is_interim, respond};
use crate::socket::layout;

/// Steps of a walk at most. A response takes one, and one more for each chunk, 8 pieces of a vector, and kilobyte of its head. If a
/// walk would take more, it counts as unreadable, once.
const STEPS: u32 = 256;
const GO_ON: i64 = 0;
const STOP: i64 = 1;

/// The sent bytes, and how far the walk is. In a map, as [`crate::receive::Received`].
#[repr(C)]
pub struct Sending {
    pub(crate) text: Text,
    walk: Walk,
}

#[repr(C)]
struct Walk {
    /// The position.
    buffer: Buffer,
    /// Bytes of the send behind the position. 0: the walk has ended.
    rest: u64,
    /// Bytes before the position that were held.
    held: u64,
    /// The state of the exchange before the next response.
    state: u64,
    /// 1 if a response was walked past, so the next one must be at the position.
    has_passed: u64,
    /// 1 if the position is within a head.
    is_inside: u64,
    /// 1 if the next chunk may be at the position.
    is_chunked: u64,
    /// Bytes of the body behind this head; [`NO_LENGTH`] as long as it is unknown.
    body: u64,
}

struct Context {
    kept: *mut Exchange,
    sending: *mut Sending,
}

/// Counts the responses in `carried` bytes of the buffer. `skipped`: bytes of a body before them; `held`: bytes in the text that were
/// sent before.
#[inline(always)]
pub(crate) fn walk(
    kept: Kept,
    state: u64,
    sending: &mut Sending,
    mut buffer: Buffer,
    skipped: u64,
    held: u64,
    carried: u64,
) {
    buffer.skip(skipped);
    if layout!(walks) == 0 {
        count_first(
            kept,
            state,
            &mut sending.text,
            buffer,
            held,
            carried - skipped,
        );
        return;
    }
    let exchange = kept.get();
    let is_chunked = u64::from(exchange.flags & CHUNKED != 0);
    exchange.flags &= !CHUNKED;
    sending.walk = Walk {
        buffer,
        rest: carried - skipped,
        held,
        state,
        has_passed: 0,
        is_inside: 0,
        is_chunked,
        body: NO_LENGTH,
    };
    let mut context = Context {
        kept: kept.0,
        sending: from_mut(sending),
    };
    // SAFETY: the verifier checks the function and its argument, which outlives the call.
    unsafe { bpf_loop(STEPS, step as *mut c_void, (&raw mut context).cast(), 0) };
    if sending.walk.rest != 0 {
        add_total!(unreadable);
    }
}

/// Counts the response at the position.
#[inline(always)]
fn count_first(kept: Kept, state: u64, text: &mut Text, buffer: Buffer, held: u64, rest: u64) {
    let count = buffer.copy_to(text, held, rest, STRICT_BYTES);
    let status = text.status(0);
    let status = text.known(if count < STATUS_BYTES { 0 } else { status });
    let count = text.known(count);
    let is_response = status != 0 && !is_interim(status);
    if is_response && (state != SENT || text.has_field(count)) {
        respond(kept, state, status);
    }
}

/// One step, as the kernel calls it.
extern "C" fn step(_: u32, context: *mut Context) -> i64 {
    // SAFETY: the context of the walk, which the verifier knows.
    let (kept, sending) = unsafe { (Kept((*context).kept), &mut *(*context).sending) };
    let Sending { text, walk } = sending;
    if walk.advance(kept, text) {
        return GO_ON;
    }
    walk.rest = 0;
    STOP
}

impl Walk {
    /// Goes past one response, or a part of it. `false` at the end of the walk.
    #[inline(always)]
    fn advance(&mut self, kept: Kept, text: &mut Text) -> bool {
        if !self.buffer.seek() {
            return true;
        }
        let held = self.held;
        let count = self
            .buffer
            .copy_to(text, held, self.rest, TEXT_BYTES as u64);
        if self.is_chunked == 1 {
            let count = text.known(count);
            let (size, all) = text.chunk(count);
            let (size, all) = (text.known(size), text.known(all));
            if all != 0 {
                // The last one ends the body.
                let is_last = u64::from(size == 0);
                (self.is_chunked, self.has_passed) = (1 - is_last, is_last);
                return self.pass_body(kept, all);
            }
            // The next step finds out which bytes are there instead: the verifier goes through the rest of this one once.
            self.is_chunked = 0;
            return true;
        }
        if self.is_inside == 0 && !self.enter(kept, text, count) {
            return false;
        }
        let (count, held, body) = (text.known(count), text.known(held), text.known(self.body));
        let end = text.first_end(count);
        // The bytes behind the text may complete an empty line.
        let end = text.known(if end > count { 0 } else { end });
        let (count, held, mut body) = (text.known(count), text.known(held), text.known(body));
        if body == NO_LENGTH {
            body = text.body_length(if end == 0 { count } else { end });
        }
        let (count, held, end) = (text.known(count), text.known(held), text.known(end));
        let body = text.known(body);
        if end == 0 {
            if count >= held + self.rest || count <= held + LENGTH_LINE_BYTES {
                return false;
            }
            // Behind the present bytes. The line of the length may be at the border.
            self.is_inside = 1;
            self.body = body;
            return self.pass(count - held - LENGTH_LINE_BYTES);
        }
        // A body without a length has chunks, or no known end.
        self.is_chunked = u64::from(body == NO_LENGTH);
        self.has_passed = 1 - self.is_chunked;
        self.is_inside = 0;
        let body = if body == NO_LENGTH { 0 } else { body };
        self.pass_body(kept, (end - held).saturating_add(body))
    }

    /// Moves the position on by a response or chunk. `false` if it is not sent as a whole: the rest is left.
    #[inline(always)]
    fn pass_body(&mut self, kept: Kept, all: u64) -> bool {
        if all < self.rest {
            return self.pass(all);
        }
        let exchange = kept.get();
        exchange.left = u32::try_from(all - self.rest).unwrap_or(u32::MAX);
        if self.is_chunked == 1 {
            exchange.flags |= CHUNKED;
        }
        false
    }

    /// Counts the response whose head begins at the position. `false` if there is none, or none that can be walked past.
    #[inline(always)]
    fn enter(&mut self, kept: Kept, text: &mut Text, count: u64) -> bool {
        let status = text.status(0);
        let status = text.known(if count < STATUS_BYTES { 0 } else { status });
        // After the answer to the only request that is known to have begun, a head must have a field.
        if status == 0 || self.state == SENT && !text.has_field(count) {
            if self.has_passed == 1 {
                add_total!(unreadable);
            }
            return false;
        }
        self.body = 0;
        if is_interim(status) {
            return true;
        }
        if status != 204 && status != 304 && kept.get().method != METHOD_HEAD as u16 {
            self.body = NO_LENGTH;
        }
        let state = self.state;
        self.state = SENT;
        respond(kept, state, status)
    }

    /// Moves the position on.
    #[inline(always)]
    fn pass(&mut self, bytes: u64) -> bool {
        self.held = 0;
        self.rest -= bytes;
        self.buffer.skip(bytes);
        true
    }
}
