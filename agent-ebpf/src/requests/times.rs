//! Times that the kernel keeps with a TCP socket: when data came, and when the last byte was sent. They cost nothing while requests
//! are served, and no other kind of sockets has them.

use agent_common::Identity;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};

use crate::count;
use crate::exchange::{Kept, RESPONDED};
use crate::kernel::now_ns;
use crate::socket::{Socket, layout};

const US_NS: u64 = 1000;

/// Counts how long a connection has waited for its first receive, which has just been done: since its last data came.
///
/// The kernel keeps that time by a clock of ticks. The connection itself counts as data, because its time begins there, too.
#[inline(always)]
pub(crate) fn end_queue(process: &Identity, sock: Socket) {
    if let Some(tcp) = sock.tcp() {
        // SAFETY: a helper without arguments.
        let now = unsafe { bpf_jiffies64() } as u32;
        let ticks = now.wrapping_sub(tcp.received_tick());
        count::queue(process, u64::from(ticks) * u64::from(layout!(tick_ns)));
    }
}

/// Counts how long the response before took from its head to its last byte. At a receive it counts only if the client has
/// acknowledged the whole response. At the close it always counts; with bytes that are not acknowledged, the last byte is sent now.
#[inline(always)]
pub(crate) fn end_response(sock: Socket, kept: Kept, is_closed: bool) {
    let exchange = kept.get();
    if exchange.flags & RESPONDED == 0 {
        return;
    }
    exchange.flags &= !RESPONDED;
    let Some(tcp) = sock.tcp() else {
        return;
    };
    let mut sent_ns = now_ns();
    if tcp.is_acknowledged() {
        // SAFETY: a helper without arguments.
        let now_us = unsafe { bpf_ktime_get_ns() } / US_NS;
        sent_ns -= now_us.saturating_sub(tcp.last_sent_us()) * US_NS;
    } else if !is_closed {
        return;
    }
    count::response(&exchange.owner, sent_ns.saturating_sub(exchange.begun_ns));
}
