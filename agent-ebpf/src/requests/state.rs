//! `inet_sock_set_state`: where a TCP connection begins or ends. A request on it that has no response by then gets none.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::count::{self, Counters};
use crate::exchange::{BEGUN, Exchange, IGNORED, Kept, SENT};
use crate::maps::EXCHANGES;
use crate::receive::empty;
use crate::socket::Socket;
use crate::{times, watch};

/// States of `sk_state` (include/net/tcp_states.h, a stable interface).
const SYN_SENT: i32 = 2;
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const LAST_ACK: i32 = 9;

/// Kernel: `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, before the change.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn http_state(context: BtfTracePointContext) -> i32 {
    let sock = Socket(context.arg(0));
    let new: i32 = context.arg(2);
    match new {
        SYN_SENT if sock.is_tcp() => ignore(sock),
        // From FIN_WAIT1 and LAST_ACK on the process cannot send any more.
        FIN_WAIT1 | LAST_ACK | CLOSE if sock.is_tcp() => end(sock),
        _ => (),
    }
    0
}

/// The current process is a client.
#[inline(always)]
fn ignore(sock: Socket) {
    if watch::is_watched(&watch::current()) {
        let exchange = Exchange {
            state: IGNORED,
            ..empty()
        };
        // Without it, a server that speaks first may count as a client that does not speak HTTP.
        let _ = EXCHANGES.of_or(sock.0, &exchange);
    }
}

#[inline(always)]
fn end(sock: Socket) {
    let Some(kept) = EXCHANGES.of(sock.0).map(Kept) else {
        return;
    };
    match kept.state() {
        BEGUN if kept.end(IGNORED) => count::abort(kept.get()),
        SENT => {
            let owner = kept.get().owner;
            times::end_response(sock, kept, Counters::found(&owner), times::now_ns(), true);
        }
        _ => (),
    }
}
