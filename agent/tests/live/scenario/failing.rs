//! A client whose connections fail before they are established, for each reason that the kernel has.
//!
//! The listener's queue is full, so the kernel drops each SYN. A message of ICMP, as a router sends it, then ends the attempt;
//! the kernel acts on it because it quotes the SYN, which a raw socket has seen.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::namespace::enter_network;
use super::number;

/// Types and codes of ICMP, and the errors that the kernel makes of them: no network, no host, no such protocol, no such port,
/// forbidden, hops used up, bad parameter.
const MESSAGES: [(u8, u8, i32); 7] = [
    (3, 0, libc::ENETUNREACH),
    (3, 1, libc::EHOSTUNREACH),
    (3, 2, libc::ENOPROTOOPT),
    (3, 3, libc::ECONNREFUSED),
    (3, 13, libc::EHOSTUNREACH),
    (11, 0, libc::EHOSTUNREACH),
    (12, 0, libc::EPROTO),
];
/// An attempt without answer ends after this time, or with the first retransmission of its SYN if that comes later.
const ENOUGH: Duration = Duration::from_millis(100);
/// Length of an IP header without options, as a SYN has it.
const IP_HEADER: usize = 20;
/// IP header and ports and sequence number, by which the kernel knows the connection.
const QUOTED: usize = IP_HEADER + 8;
const PATIENCE_MS: i32 = 60_000;

/// `PID LOCAL ADDRESS PORT`: in the network of `PID`, from one address to a listener that drops each SYN. Prints a line
/// when all attempts have failed, one for each message and two more, and ends.
pub(super) fn failing(arguments: &[String]) {
    enter_network(&arguments[0]);
    let [local, address] = [1, 2].map(|nth| arguments[nth].parse::<Ipv4Addr>().unwrap());
    let to = SocketAddr::from((address, u16::try_from(number(&arguments[3])).unwrap()));
    let silent = socket();
    silent.set_tcp_user_timeout(Some(ENOUGH)).unwrap();
    retry_once(&silent);
    let silent = Attempt::begin(silent, local, to);
    for (kind, code, error) in MESSAGES {
        let mut seen = raw(Protocol::TCP);
        let attempt = Attempt::begin(socket(), local, to);
        let syn = attempt.await_syn(&mut seen);
        tell_of(kind, code, &syn, local);
        assert_eq!(attempt.await_error(), error, "ICMP {kind}.{code}");
    }
    // The process gives up.
    drop(Attempt::begin(socket(), local, to));
    assert_eq!(silent.await_error(), libc::ETIMEDOUT);
    println!("failed 1");
}

/// A connection in SYN_SENT.
struct Attempt(Socket);

impl Attempt {
    fn begin(socket: Socket, local: Ipv4Addr, to: SocketAddr) -> Self {
        socket.bind(&SocketAddr::from((local, 0)).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let error = socket.connect(&to.into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS), "{error}");
        Self(socket)
    }

    /// Its SYN, with the IP header.
    fn await_syn(&self, seen: &mut Socket) -> Vec<u8> {
        let port = self.0.local_addr().unwrap().as_socket().unwrap().port();
        let mut packet = vec![0; 1500];
        loop {
            let length = seen.read(&mut packet).unwrap();
            if packet[IP_HEADER..length].starts_with(&port.to_be_bytes()) {
                packet.truncate(length);
                return packet;
            }
        }
    }

    /// The error by which the kernel ends it.
    fn await_error(&self) -> i32 {
        let mut end = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: the pointer is to one local.
        let ready = unsafe { libc::poll(&raw mut end, 1, PATIENCE_MS) };
        assert_eq!(ready, 1, "nothing ends the attempt");
        let error = self.0.take_error().unwrap();
        error.and_then(|error| error.raw_os_error()).unwrap_or(0)
    }
}

/// Sends a message of ICMP that quotes a packet.
fn tell_of(kind: u8, code: u8, packet: &[u8], to: Ipv4Addr) {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend(&packet[..QUOTED]);
    let sum: u32 = message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let check = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let to = SocketAddr::from((to, 0)).into();
    let sent = raw(Protocol::ICMPV4).send_to(&message, &to).unwrap();
    assert_eq!(sent, message.len());
}

fn socket() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
}

fn raw(protocol: Protocol) -> Socket {
    Socket::new(Domain::IPV4, Type::RAW, Some(protocol)).unwrap()
}

/// The kernel sends the SYN once more at most.
fn retry_once(socket: &Socket) {
    let retries: libc::c_int = 1;
    // SAFETY: the pointer is to a local of the given length.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            (&raw const retries).cast(),
            libc::socklen_t::try_from(size_of_val(&retries)).unwrap(),
        )
    };
    assert_eq!(code, 0, "TCP_SYNCNT: {}", io::Error::last_os_error());
}
