//! `sock_send_length`: a process has sent something. Finds the heads of responses.

use agent_common::UNPARSED_OTHER;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::call::{self, Buffer, Call};
use crate::count::{self, add_total};
use crate::exchange::{
    ANSWERED, BEGUN, BLIND, CHUNKED, CONNECT, IGNORED, Kept, MORE, RESPONDED, SENT,
};
use crate::head::{HELD_BYTES, STATUS_BYTES, Text};
use crate::maps::{EXCHANGES, OF_ANY, SENDING};
use crate::socket::Socket;
use crate::times::now_ns;
use crate::walk::walk;
use crate::watch;

/// Kernel: `trace_sock_send_length(struct sock *sk, int ret, int flags)`, after the send, in its process.
#[btf_tracepoint(function = "sock_send_length")]
pub fn http_send(context: BtfTracePointContext) -> i32 {
    sent(Socket(context.arg(0)), context.arg(1), OF_ANY);
    0
}

/// A process has sent this on the socket. `place`: that of the program in [`TEXT`].
#[inline(always)]
pub(crate) fn sent(sock: Socket, result: i32, place: u32) {
    if result > 0 && sock.may_carry_http() {
        send(sock, result as u64, place);
    }
}

#[inline(always)]
fn send(sock: Socket, result: u64, place: u32) -> Option<()> {
    let kept = Kept(EXCHANGES.of(sock.0)?);
    let state = kept.state();
    let exchange = kept.get();
    let left = u64::from(exchange.left);
    match state {
        BEGUN | BLIND => (),
        // Another response, perhaps behind the rest of a body.
        SENT if exchange.flags & MORE != 0 && left < result => (),
        SENT => {
            exchange.left = left.saturating_sub(result) as u32;
            return None;
        }
        _ => return None,
    }
    if !sock.is_of_process() {
        return None;
    }
    let buffer = match call::current() {
        Call::Buffer(buffer) => buffer,
        Call::File => {
            exchange.left = left.saturating_sub(result) as u32;
            return None;
        }
        Call::Unknown => {
            miss(kept, state);
            return None;
        }
    };
    // SAFETY: a per-CPU value that only this program uses.
    let sending = unsafe { &mut *SENDING.get_ptr_mut(place)? };
    let (skipped, held) = if state == SENT {
        exchange.left = 0;
        (left, 0)
    } else {
        begin(kept, state, &mut sending.text, buffer, result)?
    };
    // One walk for all ways that lead here: the verifier goes through it for each place where it is called.
    let text = &mut sending.text;
    let (skipped, held, state) = (text.known(skipped), text.known(held), text.known(state));
    walk(kept, state, sending, buffer, skipped, held, result);
    None
}

/// Looks at the first bytes that are sent after a request. Returns from where on a walk goes on: bytes of a body before it, and
/// bytes in the text that were sent before. `None`: no walk is needed.
#[inline(always)]
fn begin(
    kept: Kept,
    state: u64,
    text: &mut Text,
    buffer: Buffer,
    result: u64,
) -> Option<(u64, u64)> {
    let exchange = kept.get();
    let left = u64::from(exchange.left);
    let held = if state == BEGUN && exchange.held < HELD_BYTES as u8 {
        u64::from(exchange.held)
    } else {
        0
    };
    text.set_words(exchange.head);
    let count = buffer.copy_to(text, held, result, HELD_BYTES);
    if count == held {
        miss(kept, state);
        return None;
    }
    exchange.held = 0;
    let may_be_response = text.may_be_response(count);
    if may_be_response && count < STATUS_BYTES {
        if state == BEGUN {
            exchange.held = count as u8;
            exchange.head = [text.word(0), text.word(8)];
        }
        return None;
    }
    let status = if may_be_response { text.status(0) } else { 0 };
    let status = text.known(status);
    if status == 0 {
        // The rest of the response before, unless there was none.
        if state == BEGUN && exchange.flags & ANSWERED == 0 && kept.end(IGNORED) {
            count::give_up(exchange);
            count::unparsed(&watch::current(), UNPARSED_OTHER);
        }
        if left >= result {
            exchange.left = (left - result) as u32;
        } else if left != 0 || exchange.flags & CHUNKED != 0 {
            exchange.left = 0;
            return Some((left, 0));
        }
        return None;
    }
    exchange.left = 0;
    exchange.flags &= !CHUNKED;
    if exchange.flags & MORE == 0 && !is_interim(status) {
        respond(kept, state, status);
        return None;
    }
    Some((0, held))
}

/// Whether another response follows.
#[inline(always)]
pub(crate) fn is_interim(status: u64) -> bool {
    status / 100 == 1 && status != 101
}

/// The response could not be read.
#[inline(always)]
fn miss(kept: Kept, state: u64) {
    let exchange = kept.get();
    match state {
        BEGUN if kept.end(SENT) => count::give_up(exchange),
        BLIND => exchange.state = SENT,
        _ => return,
    }
    exchange.flags = exchange.flags & !CHUNKED | ANSWERED | MORE;
    add_total!(unreadable);
}

/// Counts a final response. Returns whether another one may follow.
#[inline(always)]
pub(crate) fn respond(kept: Kept, state: u64, status: u64) -> bool {
    let exchange = kept.get();
    let is_tunnel = status == 101 || exchange.flags & CONNECT != 0 && status / 100 == 2;
    let next = if is_tunnel { IGNORED } else { SENT };
    if state == BEGUN {
        if !kept.end(next) {
            return false;
        }
    } else {
        exchange.state = next;
    }
    let now = now_ns();
    let class = if status < 600 { status / 100 - 1 } else { 4 };
    let duration = now.saturating_sub(exchange.begun_ns);
    count::answer(watch::current(), exchange, class as usize, duration);
    exchange.begun_ns = now;
    exchange.flags = exchange.flags & (MORE | CONNECT) | ANSWERED | RESPONDED;
    !is_tunnel
}
