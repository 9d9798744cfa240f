//! A server of HTTP: each command names the bytes that it sends, and the system call by which.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use super::handed::listen;
use super::number;
use super::ring::Ring;
use super::worker::read_line;

enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    fn accept(&self) -> File {
        let stream: OwnedFd = match self {
            Self::Tcp(listener) => listener.accept().unwrap().0.into(),
            Self::Unix(listener) => listener.accept().unwrap().0.into(),
        };
        File::from(stream)
    }
}

/// `PATH`, `6`, `mptcp`, or nothing, for a Unix socket, IPv6, MPTCP or IPv4: reads commands from its standard input, a line each, and
/// answers each by one line. Ends with its input.
pub(super) fn served(arguments: &[String]) {
    let at = |address: IpAddr| Door::Tcp(TcpListener::bind((address, 0)).unwrap());
    let door = match arguments.first().map(String::as_str) {
        None => at(Ipv4Addr::LOCALHOST.into()),
        Some("6") => at(Ipv6Addr::UNSPECIFIED.into()),
        Some("mptcp") => Door::Tcp(listen(libc::IPPROTO_MPTCP).unwrap()),
        Some(path) => Door::Unix(UnixListener::bind(path).unwrap()),
    };
    let port = match &door {
        Door::Tcp(listener) => listener.local_addr().unwrap().port(),
        Door::Unix(_) => 0,
    };
    println!("port {port}");
    let (mut connection, mut kept) = (None, None);
    let (ring, mut armed) = (Ring::new(), vec![0; 8192]);
    while let Some(line) = read_line() {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["accept"] => connection = Some(door.accept()),
            ["close"] => connection = None,
            ["keep"] => kept = connection.take(),
            ["take"] => connection = kept.take(),
            // The kernel receives when the process next leaves a system call: the read of the next command.
            ["arm"] => {
                let socket = connection.as_ref().unwrap().as_raw_fd();
                let Some(ring) = &ring else {
                    println!("done 0");
                    continue;
                };
                ring.begin_to_receive(socket, &mut armed);
            }
            ["armed", bytes] => {
                let received = ring.as_ref().unwrap().end();
                assert_eq!(received.to_string(), bytes);
            }
            ["receive", call, piece, bytes] => {
                receive(connection.as_mut().unwrap(), call, piece, bytes);
            }
            ["send", call, pieces] => send(connection.as_mut().unwrap(), call, pieces),
            ["worker", bytes, pieces] => in_a_child(|| {
                let mut connection = door.accept();
                receive(&mut connection, "read", bytes, bytes);
                send(&mut connection, "write", pieces);
            }),
            ["orphan", bytes] => in_a_child(|| {
                receive(connection.as_mut().unwrap(), "read", bytes, bytes);
            }),
            _ => panic!("{words:?} is no command"),
        }
        println!("done 1");
    }
}

/// A child does this and ends.
fn in_a_child(act: impl FnOnce()) {
    // SAFETY: the process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        act();
        // SAFETY: ends at once, without the end of Rust's runtime.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: takes a child of this process.
    let ended = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!(ended, child);
}

/// Receives so many bytes, at most `piece` at a time.
fn receive(connection: &mut File, call: &str, piece: &str, bytes: &str) {
    let mut left = usize::try_from(number(bytes)).unwrap();
    let mut buffer = vec![0; usize::try_from(number(piece)).unwrap()];
    while left > 0 {
        let size = left.min(buffer.len());
        let part = &mut buffer[..size];
        let fd = connection.as_raw_fd();
        let received = match call {
            "read" => connection.read(part).unwrap(),
            "readv" => connection
                .read_vectored(&mut [IoSliceMut::new(part)])
                .unwrap(),
            "peek" => {
                recv(fd, part, libc::MSG_PEEK);
                recv(fd, part, 0)
            }
            "recv" => recv(fd, part, 0),
            "recvmsg" => {
                let mut slices = [IoSliceMut::new(part)];
                let mut message = message(slices.as_mut_ptr().cast(), 1);
                // SAFETY: the message points to one slice, which outlives the call.
                count(unsafe { libc::recvmsg(fd, &raw mut message, 0) })
            }
            _ => panic!("{call} is no system call that receives"),
        };
        assert_ne!(received, 0, "the client has closed");
        left -= received;
    }
}

fn recv(fd: i32, part: &mut [u8], flags: i32) -> usize {
    // SAFETY: the pointer is valid for the length.
    count(unsafe { libc::recv(fd, part.as_mut_ptr().cast(), part.len(), flags) })
}

/// Sends pieces in hexadecimal, with commas between them: all by one call, if it takes several.
fn send(connection: &mut File, call: &str, pieces: &str) {
    let pieces: Vec<Vec<u8>> = pieces.split(',').map(bytes).collect();
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let all: usize = pieces.iter().map(Vec::len).sum();
    let fd = connection.as_raw_fd();
    let sent = match call {
        "write" => pieces
            .iter()
            .map(|piece| connection.write(piece).unwrap())
            .sum(),
        "writev" => connection.write_vectored(&slices).unwrap(),
        "sendmsg" => {
            let message = message(slices.as_ptr().cast_mut().cast(), slices.len());
            // SAFETY: the message points to slices that outlive the call, and nothing is written to them.
            count(unsafe { libc::sendmsg(fd, &raw const message, 0) })
        }
        "send" => pieces
            .iter()
            // SAFETY: the pointer is valid for the length.
            .map(|piece| count(unsafe { libc::send(fd, piece.as_ptr().cast(), piece.len(), 0) }))
            .sum(),
        _ => panic!("{call} is no system call that sends"),
    };
    assert_eq!(sent, all, "a short send");
}

fn message(slices: *mut libc::iovec, length: usize) -> libc::msghdr {
    // SAFETY: all bytes zero are a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = slices;
    message.msg_iovlen = length as _;
    message
}

fn count(result: isize) -> usize {
    usize::try_from(result).unwrap_or_else(|_| panic!("{}", io::Error::last_os_error()))
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let digits = pairs.map(|pair| std::str::from_utf8(pair).unwrap());
    digits
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}
