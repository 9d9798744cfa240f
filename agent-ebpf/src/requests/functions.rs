//! The returns of the kernel functions that send and receive, where there are no tracepoints `sock_send_length` and
//! `sock_recv_length` (before Linux 6.3).
//!
//! User space attaches these six programs or those two. In: the socket, and the return value of the call. The rest is left to
//! send.rs and receive.rs.

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;

use crate::maps::{OF_ANY, OF_INET6, OF_UNIX};
use crate::receive::received;
use crate::send::sent;
use crate::socket::Socket;

/// Kernel: `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`. For IPv6 the kernel has a function of its
/// own, which does not call this one.
#[fexit(function = "inet_sendmsg")]
pub fn http_send_inet(context: FExitContext) -> i32 {
    returned_sent(&context, OF_ANY)
}

/// Kernel: `int inet6_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`.
#[fexit(function = "inet6_sendmsg")]
pub fn http_send_inet6(context: FExitContext) -> i32 {
    returned_sent(&context, OF_INET6)
}

/// Kernel: `int unix_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)`.
#[fexit(function = "unix_stream_sendmsg")]
pub fn http_send_unix(context: FExitContext) -> i32 {
    returned_sent(&context, OF_UNIX)
}

/// Kernel: `int inet_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[fexit(function = "inet_recvmsg")]
pub fn http_recv_inet(context: FExitContext) -> i32 {
    returned_received(&context, OF_ANY)
}

/// Kernel: `int inet6_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[fexit(function = "inet6_recvmsg")]
pub fn http_recv_inet6(context: FExitContext) -> i32 {
    returned_received(&context, OF_INET6)
}

/// Kernel: `int unix_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[fexit(function = "unix_stream_recvmsg")]
pub fn http_recv_unix(context: FExitContext) -> i32 {
    returned_received(&context, OF_UNIX)
}

/// The result of a function follows its arguments. aya's `ret` calls a helper that Linux has since 5.17 only.
#[inline(always)]
fn returned_sent(context: &FExitContext, place: u32) -> i32 {
    if let Some(sock) = Socket::of_socket(context.arg(0)) {
        sent(sock, context.arg(3), place);
    }
    0
}

#[inline(always)]
fn returned_received(context: &FExitContext, place: u32) -> i32 {
    if let Some(sock) = Socket::of_socket(context.arg(0)) {
        received(sock, context.arg(4), context.arg(3), place);
    }
    0
}
