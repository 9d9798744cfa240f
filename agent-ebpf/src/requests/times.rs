//! Times that the kernel keeps with a TCP socket: when data came, and when the last byte was sent. They cost nothing while requests
//! are served, and no other kind of sockets has them.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};

use crate::count::{self, Counters};
use crate::exchange::{Kept, RESPONDED};
use crate::socket::{Socket, layout};

const US_NS: u64 = 1000;

/// Nanoseconds of `CLOCK_MONOTONIC`, by which the kernel keeps the times of TCP.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// Counts how long a connection has waited for its first receive, which has just been done: since its last data came.
///
/// The kernel keeps that time by a clock of ticks. The connection itself counts as data, because its time begins there, too.
#[inline(always)]
pub(crate) fn end_queue(counters: Option<Counters>, sock: Socket) {
    if let Some(tcp) = sock.tcp() {
        // SAFETY: a helper without arguments.
        let now = unsafe { bpf_jiffies64() } as u32;
        let ticks = now.wrapping_sub(tcp.received_tick());
        count::queue(counters, u64::from(ticks) * u64::from(layout!(tick_ns)));
    }
}

/// Counts how long the response before took from its head to its last byte. At a receive it counts only if the client has
/// acknowledged the whole response. At the close it always counts; with bytes that are not acknowledged, the last byte is sent now.
/// `counters`: those of the exchange's owner.
#[inline(always)]
pub(crate) fn end_response(
    sock: Socket,
    kept: Kept,
    counters: Option<Counters>,
    now: u64,
    is_closed: bool,
) {
    let exchange = kept.get();
    if exchange.flags & RESPONDED == 0 {
        return;
    }
    exchange.flags &= !RESPONDED;
    let Some(tcp) = sock.tcp() else {
        return;
    };
    let sent_ns = if tcp.is_acknowledged() {
        tcp.last_sent_us() * US_NS
    } else if is_closed {
        now
    } else {
        return;
    };
    count::response(counters, sent_ns.saturating_sub(exchange.begun_ns));
}
