//! Access to fields of sockets, as in ../network/socket.rs: ../kernel.rs explains how offsets come into the programs.

use core::ptr::read_volatile;

use agent_common::RequestLayout;
use aya_ebpf::helpers::generated::{bpf_skc_to_tcp_sock, bpf_skc_to_unix_sock};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;

/// User space sets it before loading.
#[unsafe(no_mangle)]
pub(crate) static REQUEST_LAYOUT: RequestLayout = RequestLayout::ABSENT;

macro_rules! layout {
    ($($part:tt)+) => {
        // SAFETY: a static of this program. Volatile, because user space has replaced the value that the compiler knows.
        unsafe { core::ptr::read_volatile(&raw const $crate::socket::REQUEST_LAYOUT.$($part)+) }
    };
}
pub(crate) use layout;

macro_rules! read {
    ($ty:ty, $base:expr, $field:ident) => {{
        let offset = layout!(offsets.$field) as usize;
        // SAFETY: the verifier checks that a field of this width is at this offset of the BTF type; a fault reads as 0.
        unsafe { read_volatile($base.add(offset).cast::<$ty>()) }
    }};
}

/// A BTF pointer to a `sock`.
#[derive(Clone, Copy)]
pub(crate) struct Socket(pub(crate) *const u8);

impl Socket {
    /// The socket of a BTF pointer to a `socket`.
    #[inline(always)]
    pub(crate) fn of_socket(socket: *const u8) -> Option<Self> {
        let sock = read!(usize, socket, http_socket_sock) as *const u8;
        (!sock.is_null()).then_some(Self(sock))
    }

    #[inline(always)]
    fn family(self) -> u16 {
        read!(u16, self.0, http_sock_family)
    }

    /// Whether it is a TCP socket.
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        let family = self.family();
        (family == AF_INET || family == AF_INET6)
            && read!(u16, self.0, http_sock_protocol) == IPPROTO_TCP
            && self.is_stream()
    }

    #[inline(always)]
    pub(crate) fn is_stream(self) -> bool {
        read!(u16, self.0, http_sock_type) == SOCK_STREAM
    }

    #[inline(always)]
    fn is_unix(self) -> bool {
        self.family() == AF_UNIX && self.is_stream()
    }

    /// Whether HTTP/1 may be spoken on it.
    #[inline(always)]
    pub(crate) fn may_carry_http(self) -> bool {
        self.is_tcp() || self.is_unix()
    }

    /// Whether a process has a descriptor of it. The kernel has sockets of its own, which it may use while a process waits.
    #[inline(always)]
    pub(crate) fn is_of_process(self) -> bool {
        let socket = read!(usize, self.0, http_sock_socket) as *const u8;
        !socket.is_null() && read!(usize, socket, http_socket_file) != 0
    }

    /// Whether a client opened the connection to this process, which has answered nothing yet.
    #[inline(always)]
    pub(crate) fn is_unanswered(self) -> bool {
        if self.is_unix() {
            // SAFETY: the verifier checks that it is a socket.
            let unix = unsafe { bpf_skc_to_unix_sock(self.0.cast_mut().cast()) }.cast::<u8>();
            !unix.is_null() && read!(usize, unix.cast_const(), http_unix_address) != 0
        } else {
            self.tcp()
                .is_some_and(|tcp| read!(u64, tcp.0, http_tcp_sent) == 0)
        }
    }

    /// `None` if it is no TCP socket.
    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<Tcp> {
        // SAFETY: the verifier checks that it is a socket.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) }.cast::<u8>();
        if tcp.is_null() { None } else { Some(Tcp(tcp)) }
    }
}

/// A BTF pointer to a `tcp_sock`.
#[derive(Clone, Copy)]
pub(crate) struct Tcp(*const u8);

impl Tcp {
    #[inline(always)]
    pub(crate) fn received_tick(self) -> u32 {
        read!(u32, self.0, http_tcp_received)
    }

    #[inline(always)]
    pub(crate) fn last_sent_us(self) -> u64 {
        read!(u64, self.0, http_tcp_last_sent)
    }

    /// Whether the peer has acknowledged all that the process has sent.
    #[inline(always)]
    pub(crate) fn is_acknowledged(self) -> bool {
        read!(u32, self.0, http_tcp_acknowledged) == read!(u32, self.0, http_tcp_written)
    }
}
