//! Access to fields of sockets. All reads of them are in this file; those of tasks are in ../kernel.rs, which explains how
//! offsets come into the programs.
//!
//! In: BTF pointers from the hooks. Out: numbers. Their meaning for the owner is left to the files of the hooks.

use core::arch::asm;

use agent_common::{
    ABSENT, NetworkLayout, SCOPE_LOOPBACK, SCOPE_REMOTE, SCOPE_UDP_LOOPBACK, SCOPE_UDP_REMOTE,
    SCOPE_UDP_UNKNOWN,
};

use crate::calls::{socket_of, tcp_of};
use crate::field;

/// States of `sk_state` (include/net/tcp_states.h, a stable interface).
pub(crate) const ESTABLISHED: i32 = 1;
pub(crate) const SYN_SENT: i32 = 2;
pub(crate) const SYN_RECV: i32 = 3;
pub(crate) const FIN_WAIT1: i32 = 4;
pub(crate) const FIN_WAIT2: i32 = 5;
pub(crate) const CLOSE: i32 = 7;
pub(crate) const CLOSE_WAIT: i32 = 8;
pub(crate) const LAST_ACK: i32 = 9;
pub(crate) const LISTEN: i32 = 10;
pub(crate) const CLOSING: i32 = 11;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
/// Bit of `sk_flags`: the peer has sent its FIN. `enum sock_flags`: DEAD, DONE, …
const SOCK_DONE: u64 = 1 << 1;
/// `SHUTDOWN_MASK` in `sk_shutdown`: neither direction is open.
const SHUTDOWN_BOTH: u8 = 3;

/// User space sets it before loading.
#[unsafe(no_mangle)]
pub(crate) static NETWORK_LAYOUT: NetworkLayout = NetworkLayout::ABSENT;

macro_rules! layout {
    ($($field:tt)+) => {
        // SAFETY: a static of this program. Volatile, because user space has replaced the value that the compiler knows.
        unsafe { core::ptr::read_volatile(&raw const $crate::socket::NETWORK_LAYOUT.$($field)+) }
    };
}
pub(crate) use layout;

macro_rules! read {
    ($ty:ty, $base:expr, $field:ident) => {{
        let offset = layout!(offsets.$field) as usize;
        // SAFETY: the verifier checks the access.
        unsafe { $crate::field::read::<$ty>($base, offset) }
    }};
}

/// The agent's own process id.
#[inline(always)]
pub(crate) fn agent_tgid() -> u32 {
    layout!(agent_tgid)
}

/// A BTF pointer to a `sock`.
#[derive(Clone, Copy)]
pub(crate) struct Sock(pub(crate) *const u8);

/// A BTF pointer to a `tcp_sock`.
#[derive(Clone, Copy)]
pub(crate) struct TcpSock(*const u8);

/// The kernel's totals of one connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Low 32 bits: segments with payload; of a listening socket, its drops. High 32 bits: segments sent again. Both wrap
    /// around.
    pub(crate) packets: u64,
}

impl Sock {
    /// The socket of an open file; `None` if it is none.
    #[inline(always)]
    pub(crate) fn of_file(file: *const u8) -> Option<Self> {
        let socket = socket_of(file);
        if socket.is_null() {
            return None;
        }
        Self::of_socket(socket)
    }

    /// The socket of a BTF pointer to a `socket`.
    #[inline(always)]
    pub(crate) fn of_socket(socket: *const u8) -> Option<Self> {
        let sock = read!(usize, socket, socket_sock) as *const u8;
        (!sock.is_null()).then_some(Self(sock))
    }

    /// Whether it is a TCP socket; subflows of MPTCP are, too. A raw socket may have the same protocol number.
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        let family = read!(u16, self.0, sock_family);
        read!(u16, self.0, sock_protocol) == IPPROTO_TCP
            && read!(u16, self.0, sock_type) == SOCK_STREAM
            && (family == AF_INET || family == AF_INET6)
    }

    /// Whether it is a UDP socket.
    #[inline(always)]
    pub(crate) fn is_udp(self) -> bool {
        let family = read!(u16, self.0, sock_family);
        read!(u16, self.0, sock_protocol) == IPPROTO_UDP
            && read!(u16, self.0, sock_type) == SOCK_DGRAM
            && (family == AF_INET || family == AF_INET6)
    }

    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<TcpSock> {
        let tcp = tcp_of(self.0);
        (!tcp.is_null()).then_some(TcpSock(tcp))
    }

    #[inline(always)]
    pub(crate) fn state(self) -> i32 {
        i32::from(read!(u8, self.0, sock_state))
    }

    /// The error that ended the connection; 0 if none did.
    #[inline(always)]
    pub(crate) fn error(self) -> i32 {
        read!(i32, self.0, sock_error)
    }

    /// Whether a process holds it.
    #[inline(always)]
    pub(crate) fn is_held(self) -> bool {
        read!(usize, self.0, sock_socket) != 0
    }

    /// Whether it has a file: a process may have a descriptor of it.
    #[inline(always)]
    pub(crate) fn has_file(self) -> bool {
        let socket = read!(usize, self.0, sock_socket) as *const u8;
        !socket.is_null() && read!(usize, socket, socket_file) != 0
    }

    #[inline(always)]
    pub(crate) fn is_shut_down(self) -> bool {
        read!(u8, self.0, sock_shutdown) == SHUTDOWN_BOTH
    }

    #[inline(always)]
    pub(crate) fn backlog(self) -> u32 {
        read!(u32, self.0, sock_backlog)
    }

    #[inline(always)]
    pub(crate) fn backlog_limit(self) -> u32 {
        read!(u32, self.0, sock_backlog_limit)
    }

    /// Whether the peer has sent its FIN, and the kernel has taken it in order.
    #[inline(always)]
    fn has_fin(self) -> bool {
        read!(u64, self.0, sock_flags) & SOCK_DONE != 0
    }

    /// Whether a process or a CPU holds the socket's lock.
    #[inline(always)]
    fn is_locked(self) -> bool {
        let spins = if layout!(offsets.sock_rt_lock) == ABSENT {
            read!(u32, self.0, sock_spin_lock) != 0
        } else {
            read!(u64, self.0, sock_rt_lock) != 0
        };
        spins || read!(u32, self.0, sock_owned) != 0
    }

    /// [`SCOPE_LOOPBACK`] or [`SCOPE_REMOTE`], by the addresses, which the kernel sets before a connection is established.
    #[inline(always)]
    pub(crate) fn scope(self) -> u32 {
        let is_loopback = if read!(u16, self.0, sock_family) == AF_INET {
            let peer = read!(u32, self.0, sock_daddr);
            is_loopback_v4(peer) || peer == read!(u32, self.0, sock_saddr)
        } else {
            self.is_loopback_v6()
        };
        if is_loopback {
            SCOPE_LOOPBACK
        } else {
            SCOPE_REMOTE
        }
    }

    #[inline(always)]
    fn is_loopback_v6(self) -> bool {
        let (peer, own) = (
            layout!(offsets.sock_v6_daddr),
            layout!(offsets.sock_v6_saddr),
        );
        let is_own = |index| self.word_v6(peer, index) == self.word_v6(own, index);
        peer != ABSENT
            && own != ABSENT
            && (self.is_loopback_v6_at(peer) || is_own(0) && is_own(1) && is_own(2) && is_own(3))
    }

    /// The scope of a UDP socket. One without a peer is of [`SCOPE_UDP_UNKNOWN`], unless its own address has peers on this
    /// machine only.
    #[inline(always)]
    pub(crate) fn udp_scope(self) -> u32 {
        if self.state() == ESTABLISHED {
            if self.scope() == SCOPE_LOOPBACK {
                SCOPE_UDP_LOOPBACK
            } else {
                SCOPE_UDP_REMOTE
            }
        } else if self.is_bound_to_loopback() {
            SCOPE_UDP_LOOPBACK
        } else {
            SCOPE_UDP_UNKNOWN
        }
    }

    #[inline(always)]
    fn is_bound_to_loopback(self) -> bool {
        if read!(u16, self.0, sock_family) == AF_INET {
            is_loopback_v4(read!(u32, self.0, sock_saddr))
        } else {
            let own = layout!(offsets.sock_v6_saddr);
            own != ABSENT && self.is_loopback_v6_at(own)
        }
    }

    /// Whether the IPv6 address at this offset is ::1, or a mapped address in 127.0.0.0/8.
    #[inline(always)]
    fn is_loopback_v6_at(self, offset: u32) -> bool {
        let word = |index| self.word_v6(offset, index);
        let (c, d) = (word(2), word(3));
        word(0) | word(1) == 0
            && (c == 0 && d == 1_u32.to_be() || c == 0xffff_u32.to_be() && is_loopback_v4(d))
    }

    /// A word of the IPv6 address at this offset, which is not absent.
    #[inline(always)]
    fn word_v6(self, offset: u32, index: u32) -> u32 {
        // SAFETY: as in `read!`; the address is an array of four words.
        unsafe { field::read::<u32>(self.0, (offset + index * 4) as usize) }
    }

    /// The traffic of the connection. The caller is a program that the kernel runs with the socket locked, so that all fields are
    /// of one moment.
    #[inline(always)]
    pub(crate) fn carried(self, tcp: TcpSock) -> Carried {
        let received = tcp.received();
        self.rest(tcp, less(received, self.has_fin()))
    }

    /// The same while the kernel may be changing the fields. `credited`: the bytes received that were credited already. The count
    /// of received bytes may be one too low until the next look: the kernel counts a FIN as a byte before it marks the socket, so
    /// while the socket is locked one byte may be a FIN.
    #[inline(always)]
    pub(crate) fn carried_so_far(self, tcp: TcpSock, credited: u64) -> Carried {
        let received = tcp.received();
        // The lock is in a cache line of its own, and most sockets have received nothing.
        let without_fin = if less(received, self.has_fin()) == credited {
            credited
        } else {
            let is_locked = self.is_locked();
            less(received, is_locked || self.has_fin())
        };
        self.rest(tcp, without_fin)
    }

    #[inline(always)]
    fn rest(self, tcp: TcpSock, received: u64) -> Carried {
        // The kernel counts a retransmission before it sends the bytes again, so in this order the difference is never too high.
        let sent = tcp.sent();
        let low = if self.state() == LISTEN {
            let drops = read!(u32, self.0, sock_drops);
            keep_apart();
            drops
        } else {
            read!(u32, tcp.0, tcp_segments)
        };
        Carried {
            sent: sent.saturating_sub(tcp.retransmitted()),
            received,
            packets: u64::from(low) | u64::from(read!(u32, tcp.0, tcp_retransmits)) << 32,
        }
    }
}

/// Bytes received, without the FIN if `has_fin`.
#[inline(always)]
fn less(received: u64, has_fin: bool) -> u64 {
    received.saturating_sub(u64::from(has_fin))
}

/// Keeps the compiler from joining the loads of two branches to one load at a chosen pointer. The verifier does not know that
/// pointer and offset belong together.
#[inline(always)]
fn keep_apart() {
    // SAFETY: no instruction.
    unsafe { asm!("") };
}

impl TcpSock {
    #[inline(always)]
    fn received(self) -> u64 {
        read!(u64, self.0, tcp_received)
    }

    #[inline(always)]
    fn sent(self) -> u64 {
        read!(u64, self.0, tcp_sent)
    }

    #[inline(always)]
    fn retransmitted(self) -> u64 {
        read!(u64, self.0, tcp_retransmitted)
    }

    /// The smoothed round trip time, microseconds; 0 before the first measurement.
    #[inline(always)]
    pub(crate) fn rtt_us(self) -> u32 {
        read!(u32, self.0, tcp_rtt) >> 3
    }
}

/// Whether a socket in this state has an established connection, or one that is being closed.
#[inline(always)]
pub(crate) fn is_open(state: i32) -> bool {
    const OPEN: u32 = 1 << ESTABLISHED
        | 1 << FIN_WAIT1
        | 1 << FIN_WAIT2
        | 1 << CLOSE_WAIT
        | 1 << LAST_ACK
        | 1 << CLOSING;
    state < 32 && 1_u32 << state & OPEN != 0
}

/// Whether an address in network byte order is in 127.0.0.0/8.
#[inline(always)]
fn is_loopback_v4(address: u32) -> bool {
    u32::from_be(address) >> 24 == 127
}
