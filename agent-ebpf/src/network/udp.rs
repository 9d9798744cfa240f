//! Sends and receives over UDP, each counted for the process that makes the call: the kernel keeps no totals of UDP sockets.
//!
//! ```text
//! sock_send_length, sock_recv_length   Linux 6.3 and later
//! inet_sendmsg, inet_recvmsg, ...      before: at their returns, for IPv4 and IPv6
//! ```
//!
//! User space attaches one of both sets. In: the socket, and the return value of the call. Out: sums of the process and of the
//! node.

use agent_common::NetworkSums;
use aya_ebpf::macros::{btf_tracepoint, fexit};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext};

use crate::account::{add_more, add_total, sums_of};
use crate::no_preempt::no_preempt;
use crate::socket::Sock;
use crate::state::current;

/// Flags of a receive (include/linux/socket.h, a stable interface): it leaves the datagram in the queue.
const MSG_PEEK: u32 = 2;
/// It returns a datagram that the process itself has sent, because of an error or a timestamp.
const MSG_ERRQUEUE: u32 = 0x2000;

/// Kernel: `trace_sock_send_length(struct sock *sk, int ret, int flags)`, in the system call of any socket.
#[btf_tracepoint(function = "sock_send_length")]
pub fn udp_send(context: BtfTracePointContext) -> i32 {
    sent(Sock(context.arg(0)), context.arg(1));
    0
}

/// Kernel: `trace_sock_recv_length(struct sock *sk, int ret, int flags)`, in the system call of any socket.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn udp_receive(context: BtfTracePointContext) -> i32 {
    received(Sock(context.arg(0)), context.arg(1), context.arg(2));
    0
}

/// Kernel: `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`. For IPv6 the kernel has a function of its
/// own, which does not call this one, also to send to a mapped address.
#[fexit(function = "inet_sendmsg")]
pub fn udp_send_inet(context: FExitContext) -> i32 {
    returned_sent(&context)
}

/// Kernel: `int inet6_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`.
#[fexit(function = "inet6_sendmsg")]
pub fn udp_send_inet6(context: FExitContext) -> i32 {
    returned_sent(&context)
}

/// Kernel: `int inet_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[fexit(function = "inet_recvmsg")]
pub fn udp_recv_inet(context: FExitContext) -> i32 {
    returned_received(&context)
}

/// Kernel: `int inet6_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[fexit(function = "inet6_recvmsg")]
pub fn udp_recv_inet6(context: FExitContext) -> i32 {
    returned_received(&context)
}

/// The result of a function follows its arguments. aya's `ret` calls a helper that Linux has since 5.17 only.
#[inline(always)]
fn returned_sent(context: &FExitContext) -> i32 {
    if let Some(sock) = Sock::of_socket(context.arg(0)) {
        sent(sock, context.arg(3));
    }
    0
}

#[inline(always)]
fn returned_received(context: &FExitContext) -> i32 {
    if let Some(sock) = Sock::of_socket(context.arg(0)) {
        received(sock, context.arg(4), context.arg(3));
    }
    0
}

#[inline(always)]
fn sent(sock: Sock, result: i32) {
    if result <= 0 || !sock.is_udp() {
        return;
    }
    no_preempt(|| {
        let bytes = u64::from(result.cast_unsigned());
        add_total!(sent_bytes, bytes);
        match caller_sums(sock) {
            Some(sums) => add_more!(sums, bytes, sent_bytes),
            None => add_total!(unowned_sent_bytes, bytes),
        }
        None
    });
}

#[inline(always)]
fn received(sock: Sock, result: i32, flags: u32) {
    if result <= 0 || flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 || !sock.is_udp() {
        return;
    }
    no_preempt(|| {
        let bytes = u64::from(result.cast_unsigned());
        add_total!(received_bytes, bytes);
        match caller_sums(sock) {
            Some(sums) => add_more!(sums, bytes, received_bytes),
            None => add_total!(unowned_received_bytes, bytes),
        }
        None
    });
}

/// The entry of the process that makes the call. A thread of the kernel is no process, so it has the entry of unknown owners.
#[inline(always)]
fn caller_sums(sock: Sock) -> Option<*mut NetworkSums> {
    sums_of(current(), sock.udp_scope())
}
