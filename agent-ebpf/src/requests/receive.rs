//! `sock_recv_length`: a process has received something. Finds the beginning of requests.

use agent_common::{Identity, METHOD_OTHER, UNPARSED_HTTP2, UNPARSED_OTHER, UNPARSED_TLS};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::call::{self, Call};
use crate::count::{self, Counters, add_total};
use crate::exchange::{
    ANSWERED, BEGUN, BLIND, CHUNKED, CONNECT, Exchange, IGNORED, Kept, MORE, OPEN, RESPONDED, SENT,
};
use crate::head::{
    HELD_BYTES, START_CONNECT, START_CONTROL, START_EMPTY, START_HTTP2, START_SHORT, START_TLS,
    TEXT_BYTES, Text,
};
use crate::maps::{EXCHANGES, OF_ANY, RECEIVED};
use crate::socket::Socket;
use crate::{times, watch};

const MSG_PEEK: i32 = 2;

/// Kernel: `trace_sock_recv_length(struct sock *sk, int ret, int flags)`, after the receive, in its process.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn http_receive(context: BtfTracePointContext) -> i32 {
    received(
        Socket(context.arg(0)),
        context.arg(1),
        context.arg(2),
        OF_ANY,
    );
    0
}

/// A process has received this on the socket. `place`: that of the program in [`RECEIVED`].
#[inline(always)]
pub(crate) fn received(sock: Socket, result: i32, flags: i32, place: u32) {
    if result > 0 && flags & MSG_PEEK == 0 && sock.may_carry_http() {
        receive(sock, result as u64, place);
    }
}

/// The received bytes, and the state of their socket. In a map, because the verifier goes through the program once for each
/// combination of known values on the stack.
#[repr(C)]
pub struct Received {
    text: Text,
    exchange: Exchange,
}

/// No exchange.
#[inline(always)]
pub(crate) fn empty() -> Exchange {
    Exchange {
        state: OPEN,
        begun_ns: 0,
        owner: Identity {
            start_ns: 0,
            tgid: 0,
            zero: 0,
        },
        left: 0,
        method: METHOD_OTHER as u16,
        flags: 0,
        held: 0,
        head: [0; 2],
    }
}

#[inline(always)]
fn receive(sock: Socket, result: u64, place: u32) -> Option<()> {
    let process = watch::current();
    if !watch::is_watched(&process) || !sock.is_of_process() {
        return None;
    }
    let kept = EXCHANGES.of(sock.0).map(Kept);
    match kept.map_or(OPEN, Kept::state) {
        OPEN | SENT => (),
        BEGUN => {
            // The rest of the request, or another one.
            kept?.get().flags |= MORE;
            return None;
        }
        _ => return None,
    }
    let now = times::now_ns();
    // SAFETY: a per-CPU value that only this program uses.
    let Received { text, exchange } = unsafe { &mut *RECEIVED.get_ptr_mut(place)? };
    match kept {
        Some(kept) => kept.copy_to(exchange),
        None => *exchange = empty(),
    }
    let held = if exchange.state == OPEN || exchange.held < HELD_BYTES as u8 {
        u64::from(exchange.held)
    } else {
        0
    };
    if held == 0 {
        exchange.begun_ns = now;
    }
    let is_first = kept.is_none();
    if is_first && !sock.is_unanswered() {
        exchange.flags |= ANSWERED;
    }
    let is_answered = exchange.flags & ANSWERED != 0;
    text.set_words(exchange.head);
    let held = text.known(held);
    let count = match call::current() {
        Call::Buffer(buffer) => buffer.copy_to(text, held, result, TEXT_BYTES as u64),
        _ => held,
    };
    if count == held {
        end_response(sock, kept, &process, None, now);
        // If a response is sent next, this was a request.
        if !is_first || !is_answered {
            exchange.state = BLIND;
            exchange.flags = exchange.flags & !RESPONDED | MORE;
            keep(sock, kept, exchange);
        }
        return None;
    }
    exchange.held = 0;
    exchange.flags &= ANSWERED | CHUNKED;
    let is_whole = text.is_one_head(count, held + result);
    let is_whole = text.known(u64::from(is_whole)) == 1;
    let count = text.known(count);
    let start = text.start(count, exchange.state == SENT);
    let start = text.known(start);
    let count = text.known(count);
    // On a connection that is older than its storage, the commands of other protocols look like methods.
    let is_doubtful = is_first && is_answered && start == METHOD_OTHER as u64;
    let counters = match start {
        0..=START_SHORT => Counters::of(&process),
        _ => None,
    };
    end_response(sock, kept, &process, counters, now);
    if is_first && !is_answered && start <= START_SHORT {
        times::end_queue(counters, sock);
    }
    match start {
        0..=START_CONNECT if !is_doubtful => {
            let method = if start == START_CONNECT {
                exchange.flags |= CONNECT;
                METHOD_OTHER as u16
            } else {
                start as u16
            };
            if !is_whole {
                exchange.flags |= MORE;
            }
            exchange.state = BEGUN;
            count::begin(process, counters, exchange, method, now);
            if !keep(sock, kept, exchange) {
                count::give_up(exchange);
            }
        }
        START_SHORT if count < HELD_BYTES => {
            exchange.held = count as u8;
            exchange.head = [text.word(0), text.word(8)];
            keep(sock, kept, exchange);
        }
        START_EMPTY => (),
        // The rest of a request that was answered before it was received, or not the beginning of the connection.
        _ if exchange.state == SENT || is_answered => {
            exchange.flags |= MORE;
            if !is_first {
                keep(sock, kept, exchange);
            }
        }
        _ => {
            if start != START_CONTROL {
                count::unparsed(
                    &process,
                    match start {
                        START_TLS => UNPARSED_TLS,
                        START_HTTP2 => UNPARSED_HTTP2,
                        _ => UNPARSED_OTHER,
                    },
                );
            }
            exchange.state = IGNORED;
            keep(sock, kept, exchange);
        }
    }
    None
}

/// Counts how long the response before took. `counters`: those of `process`, if they have been looked up.
#[inline(always)]
fn end_response(
    sock: Socket,
    kept: Option<Kept>,
    process: &Identity,
    counters: Option<Counters>,
    now: u64,
) {
    if let Some(kept) = kept {
        let owner = kept.get().owner;
        let of_owner = match counters {
            Some(counters) if owner == *process => Some(counters),
            _ => Counters::found(&owner),
        };
        times::end_response(sock, kept, of_owner, now, false);
    }
}

/// Keeps the exchange with the socket. `false` if the kernel has no memory, which is counted.
#[inline(always)]
fn keep(sock: Socket, kept: Option<Kept>, exchange: &Exchange) -> bool {
    if let Some(kept) = kept {
        kept.set(exchange);
        return true;
    }
    let is_kept = EXCHANGES.of_or(sock.0, exchange).is_some();
    if !is_kept {
        add_total!(storage_full);
    }
    is_kept
}
