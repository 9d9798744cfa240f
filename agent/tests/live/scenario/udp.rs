//! Processes that send and receive over UDP, and report the results of the calls.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::namespace::leave_network;
use super::number;
use super::ring::Ring;
use super::worker::read_line;

/// Only a datagram that is lost takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two addresses of a network of its own.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];

/// Reads commands from its standard input, a line each, and answers each by one line. Ends with its input.
pub(super) fn datagrams(_: &[String]) {
    let mut sockets = Vec::new();
    println!("ready 0");
    while let Some(line) = read_line() {
        let words: Vec<&str> = line.split(' ').collect();
        let (key, value) = obey(&words, &mut sockets);
        println!("{key} {value}");
    }
}

fn obey(words: &[&str], sockets: &mut Vec<Socket>) -> (&'static str, u64) {
    let at = |nth: &str| &sockets[usize::try_from(number(nth)).unwrap()];
    match *words {
        ["leave"] => {
            leave_network();
            add_addresses();
            ("left", 1)
        }
        ["open", address] => {
            sockets.push(open(address));
            ("socket", sockets.len() as u64 - 1)
        }
        ["port", nth] => ("port", port(at(nth)).into()),
        ["connect", nth, address] => {
            at(nth).connect(&parsed(address)).unwrap();
            ("connected", 1)
        }
        ["send", nth, how, peer, bytes, count] => {
            let peer = (peer != "-").then(|| parsed(peer));
            let (bytes, count) = (number(bytes), number(count));
            ("sent", send(at(nth), how, peer.as_ref(), bytes, count))
        }
        ["receive", nth, how, room, count] => {
            let (room, count) = (number(room), number(count));
            ("received", receive(at(nth), how, room, count))
        }
        ["refused", nth, peer, bytes] => {
            let returned = refused(at(nth), &parsed(peer), number(bytes));
            ("returned", returned)
        }
        _ => panic!("{words:?} is no command"),
    }
}

/// `PEER BYTES ROOM`: sends a datagram, receives the answer if there is room for one, and ends.
pub(super) fn datagram_once(arguments: &[String]) {
    let [peer, bytes, room] = arguments else {
        panic!("{arguments:?}");
    };
    let socket = open("0.0.0.0:0");
    println!("port {}", port(&socket));
    let sent = send(&socket, "sendto", Some(&parsed(peer)), number(bytes), 1);
    println!("sent {sent}");
    let room = number(room);
    if room > 0 {
        println!("received {}", receive(&socket, "recvfrom", room, 1));
    }
}

fn parsed(address: &str) -> SockAddr {
    address.parse::<SocketAddr>().unwrap().into()
}

fn open(address: &str) -> Socket {
    let address = parsed(address);
    let socket = Socket::new(address.domain(), Type::DGRAM, None).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.bind(&address).unwrap();
    socket
}

fn port(socket: &Socket) -> u16 {
    let address = socket.local_addr().unwrap().as_socket();
    address.unwrap().port()
}

/// Sends so many datagrams of so many bytes each. Returns the sum of the results of the calls.
fn send(socket: &Socket, how: &str, peer: Option<&SockAddr>, bytes: u64, count: u64) -> u64 {
    let bytes = vec![7; usize::try_from(bytes).unwrap()];
    let halves = bytes.split_at(bytes.len() / 2);
    let halves = [halves.0, halves.1].map(IoSlice::new);
    if how == "sendmmsg" {
        return with_messages(&bytes, peer, count, |messages, count| {
            // SAFETY: all pointers are to values of the caller.
            unsafe { libc::sendmmsg(socket.as_raw_fd(), messages, count, 0) }
        });
    }
    let one = |_| match (how, peer) {
        ("sendto", Some(peer)) => socket.send_to(&bytes, peer).unwrap(),
        ("sendto", None) => socket.send(&bytes).unwrap(),
        ("sendmsg", Some(peer)) => socket.send_to_vectored(&halves, peer).unwrap(),
        ("sendmsg", None) => socket.send_vectored(&halves).unwrap(),
        ("splice", None) => splice_to(socket, &bytes),
        ("sendfile", None) => send_file(socket, &bytes),
        ("uring" | "uring-worker", None) => match ring(how) {
            Some(ring) => {
                ring.send(socket.as_raw_fd(), &bytes);
                bytes.len()
            }
            None => socket.send(&bytes).unwrap(),
        },
        _ => panic!("{how} is no way to send"),
    };
    (0..count).map(one).sum::<usize>() as u64
}

/// Receives so many datagrams, of each at most so many bytes. Returns the sum of the results of the calls.
fn receive(socket: &Socket, how: &str, room: u64, count: u64) -> u64 {
    let mut bytes = vec![0; usize::try_from(room).unwrap()];
    if how == "recvmmsg" {
        return with_messages(&bytes, None, count, |messages, count| {
            let (descriptor, patience) = (socket.as_raw_fd(), std::ptr::null_mut());
            // SAFETY: all pointers are to values of the caller.
            unsafe { libc::recvmmsg(descriptor, messages, count, 0, patience) }
        });
    }
    let mut one = |_| match how {
        "recvfrom" => receive_with(socket, &mut bytes, 0),
        "peek" => receive_with(socket, &mut bytes, libc::MSG_PEEK),
        "length" => receive_with(socket, &mut bytes, libc::MSG_TRUNC),
        "recvmsg" => {
            let half = bytes.len() / 2;
            let (one, other) = bytes.split_at_mut(half);
            let mut socket = socket;
            let halves = &mut [one, other].map(IoSliceMut::new);
            socket.read_vectored(halves).unwrap()
        }
        // SAFETY: the pointer is to so many bytes.
        "read" => returned(unsafe {
            libc::read(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len())
        }),
        "splice" => splice_from(socket, bytes.len()),
        "uring" | "uring-worker" => match ring(how) {
            Some(ring) => {
                ring.receive(socket.as_raw_fd(), &mut bytes);
                bytes.len()
            }
            None => receive_with(socket, &mut bytes, 0),
        },
        _ => panic!("{how} is no way to receive"),
    };
    (0..count).map(&mut one).sum::<usize>() as u64
}

/// A ring whose operations run in the call that submits them, or in workers; `None` where the kernel has none.
fn ring(how: &str) -> Option<Ring> {
    let ring = Ring::new()?;
    Some(match how {
        "uring-worker" => ring.by_workers(),
        _ => ring,
    })
}

fn returned(result: isize) -> usize {
    usize::try_from(result).unwrap_or_else(|_| panic!("{}", io::Error::last_os_error()))
}

fn receive_with(socket: &Socket, bytes: &mut [u8], flags: i32) -> usize {
    let (descriptor, start) = (socket.as_raw_fd(), bytes.as_mut_ptr().cast());
    // SAFETY: the pointer is to so many bytes.
    returned(unsafe { libc::recv(descriptor, start, bytes.len(), flags) })
}

/// Calls `call` with so many messages, each of `bytes` to or from `peer`. Returns the sum of their lengths.
fn with_messages(
    bytes: &[u8],
    peer: Option<&SockAddr>,
    count: u64,
    call: impl FnOnce(*mut libc::mmsghdr, u32) -> i32,
) -> u64 {
    let mut buffers: Vec<Vec<u8>> = (0..count).map(|_| bytes.to_vec()).collect();
    let vector = |buffer: &mut Vec<u8>| libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut vectors: Vec<libc::iovec> = buffers.iter_mut().map(vector).collect();
    let message = |vector: &mut libc::iovec| {
        // SAFETY: all bytes zero are a valid value.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_iov = vector;
        message.msg_hdr.msg_iovlen = 1;
        if let Some(peer) = peer {
            message.msg_hdr.msg_name = peer.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_namelen = peer.len();
        }
        message
    };
    let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
    let done = call(messages.as_mut_ptr(), u32::try_from(count).unwrap());
    assert_eq!(
        u64::try_from(done),
        Ok(count),
        "{}",
        io::Error::last_os_error()
    );
    messages.iter().map(|one| u64::from(one.msg_len)).sum()
}

fn splice(from: RawFd, to: RawFd, bytes: usize) -> usize {
    let (start, end) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: takes numbers and no pointers.
    returned(unsafe { libc::splice(from, start, to, end, bytes, 0) })
}

fn splice_to(socket: &Socket, bytes: &[u8]) -> usize {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(bytes).unwrap();
    splice(reader.as_raw_fd(), socket.as_raw_fd(), bytes.len())
}

fn splice_from(socket: &Socket, bytes: usize) -> usize {
    let (_reader, writer) = io::pipe().unwrap();
    splice(socket.as_raw_fd(), writer.as_raw_fd(), bytes)
}

fn send_file(socket: &Socket, bytes: &[u8]) -> usize {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    // With the length, because the kernel sends a datagram only when it knows that no more follows.
    socket
        .sendfile(&file, 0, NonZero::new(bytes.len()))
        .unwrap()
}

/// Sends a datagram to a port where nothing listens, and takes it back from the queue of errors.
fn refused(socket: &Socket, peer: &SockAddr, bytes: u64) -> u64 {
    let on = 1;
    // SAFETY: the pointer is to a local of the given length.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVERR,
            (&raw const on).cast(),
            libc::socklen_t::try_from(size_of_val(&on)).unwrap(),
        )
    };
    assert_eq!(code, 0, "IP_RECVERR: {}", io::Error::last_os_error());
    let sent = send(socket, "sendto", Some(peer), bytes, 1);
    let mut error = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: the pointer is to one local.
    let count = unsafe { libc::poll(&raw mut error, 1, 60_000) };
    assert_eq!((count, sent), (1, bytes), "no error came");
    let mut taken = vec![0; usize::try_from(bytes).unwrap()];
    receive_with(socket, &mut taken, libc::MSG_ERRQUEUE) as u64
}

/// Gives the loopback device of this network two addresses beside 127.0.0.1.
fn add_addresses() {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    for (nth, address) in ADDRESSES.into_iter().enumerate() {
        // SAFETY: all bytes zero are a valid value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(format!("lo:{nth}").bytes()) {
            *to = from as _;
        }
        let address = SockAddr::from(SocketAddr::from((address, 0)));
        // SAFETY: an IPv4 address, which a `sockaddr` has room for.
        request.ifr_ifru.ifru_addr = unsafe { *address.as_ptr().cast() };
        let descriptor = socket.as_raw_fd();
        // SAFETY: the pointer is to a local of the type that the request reads.
        let code = unsafe { libc::ioctl(descriptor, libc::SIOCSIFADDR as _, &raw const request) };
        assert_eq!(code, 0, "SIOCSIFADDR: {}", io::Error::last_os_error());
    }
}
