//! Servers whose connections pass from process to process, and clients that carry payload by other calls than `send`.
//!
//! ```text
//! listener:  port, then ready for each connection that its server has   server:  sent and received, for each connection
//! client:    connected, waits for a line, then sent and received        both:    hold all open until the input ends, and at
//!                                                                                each line print what MPTCP sent again
//! ```
//!
//! A client begins each connection with two lengths: the bytes that it sends after them, and those that it wants back.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::namespace::{enter_network, leave_network};
use super::number;
use super::passing::{send_descriptor, take_descriptor};
use super::ring::Ring;
use super::worker::read_line;
use crate::process;

/// Where the first descriptor of socket activation is.
const ACTIVATED: RawFd = 3;
/// Printed for bytes that MPTCP sent again, where the kernel does not count them.
pub(crate) const UNKNOWN: u64 = u64::MAX;
/// Bytes of the two lengths.
const HEAD: usize = 16;

/// `HOW COUNT NEXT`: listens, and has so many connections served as `HOW` says; `NEXT` is the program of those that serve,
/// unless they are only forked. `late-HOW`: each carries something first, and is handed over when a
/// line asks for it.
pub(super) fn listener(arguments: &[String]) {
    let (how, count, next) = (
        arguments[0].as_str(),
        number(&arguments[1]),
        Path::new(&arguments[2]),
    );
    let how = match how.strip_prefix("alone-") {
        Some(how) => {
            leave_network();
            how
        }
        None => how,
    };
    let (how, protocol) = match how.strip_prefix("mptcp-") {
        Some(how) => (how, libc::IPPROTO_MPTCP),
        None => (how, libc::IPPROTO_TCP),
    };
    let (how, is_late) = match how.strip_prefix("late-") {
        Some(how) => (how, true),
        None => (how, false),
    };
    let listener = listen(protocol).unwrap();
    let accept = || {
        let (mut stream, _) = listener.accept().unwrap();
        if is_late {
            tell(exchange(&mut stream));
            read_line();
        }
        stream
    };
    println!("port {}", listener.local_addr().unwrap().port());
    match how {
        "itself" => accept_all(&listener, count),
        "prefork" => reap_all(
            (0..count)
                .map(|_| process::fork(|| accept_all(&listener, 1)))
                .collect(),
        ),
        "fork" => hand_over(accept, count, serve),
        "fork-exec" => hand_over(accept, count, |stream| {
            let descriptor = leave_open(stream.into_raw_fd());
            process::exec(
                next,
                &[
                    "server",
                    "scenario",
                    "handed-server",
                    &descriptor.to_string(),
                ],
            );
        }),
        "activate" => {
            let activated = move_to(listener, ACTIVATED);
            let words = [
                "activated",
                "scenario",
                "handed-activated",
                &count.to_string(),
            ];
            let pid = process::fork(|| process::exec(next, &words));
            reap_all(vec![pid]);
            drop(activated);
        }
        "pass" => pass(accept, count, next),
        "leak" => leak(&listener, count, next),
        "brief" => brief(&listener, count),
        "process-each" => process_each(&listener, count),
        _ => panic!("{how:?} is no way to serve"),
    }
}

/// Accepts so many, serves them together, one after another.
fn accept_all(listener: &TcpListener, count: u64) {
    let accept = |_| {
        let (stream, _) = listener.accept().unwrap();
        println!("ready 1");
        stream
    };
    let streams: Vec<TcpStream> = (0..count).map(accept).collect();
    hold(&answer_all(streams));
}

/// Accepts, and has a child of its own serve each.
fn hand_over(accept: impl Fn() -> TcpStream, count: u64, child: impl Fn(TcpStream)) {
    let children = (0..count).map(|_| {
        let stream = accept();
        // The child begins when the parent has closed its copy.
        let (mut hold, mut held) = UnixStream::pair().unwrap();
        let mut kept = Some(stream);
        let pid = process::fork(|| {
            held.read_exact(&mut [0]).unwrap();
            child(kept.take().unwrap());
        });
        drop(kept.take());
        hold.write_all(&[1]).unwrap();
        println!("ready 1");
        pid
    });
    reap_all(children.collect());
}

/// `DESCRIPTOR`: serves that connection.
pub(super) fn server(arguments: &[String]) {
    let descriptor = RawFd::try_from(number(&arguments[0])).unwrap();
    // SAFETY: the former image has left it open, and nothing else in this program uses it.
    serve(unsafe { TcpStream::from_raw_fd(descriptor) });
}

/// `COUNT`: accepts so many of the listener that is the first descriptor.
pub(super) fn activated(arguments: &[String]) {
    // SAFETY: as in `server`.
    let listener = unsafe { TcpListener::from_raw_fd(ACTIVATED) };
    accept_all(&listener, number(&arguments[0]));
}

/// Accepts, and sends the connections to another program over a Unix socket.
fn pass(accept: impl Fn() -> TcpStream, count: u64, next: &Path) {
    let (here, there) = UnixStream::pair().unwrap();
    let there = leave_open(there.into_raw_fd());
    let words = [
        "taker",
        "scenario",
        "handed-taker",
        &there.to_string(),
        &count.to_string(),
    ];
    let pid = process::fork(|| process::exec(next, &words));
    // SAFETY: this process's copy, which it does not use any more.
    drop(unsafe { File::from_raw_fd(there) });
    for _ in 0..count {
        let stream = accept();
        send_descriptor(&here, stream.as_raw_fd());
        // The other one has it.
        (&here).read_exact(&mut [0]).unwrap();
        drop(stream);
        println!("ready 1");
    }
    reap_all(vec![pid]);
}

/// `DESCRIPTOR COUNT`: takes so many connections from that Unix socket, and serves them.
pub(super) fn taker(arguments: &[String]) {
    let descriptor = RawFd::try_from(number(&arguments[0])).unwrap();
    // SAFETY: as in `server`.
    let from = unsafe { UnixStream::from_raw_fd(descriptor) };
    let take = |_| {
        let stream = take_descriptor(&from);
        (&from).write_all(&[1]).unwrap();
        stream
    };
    let streams: Vec<TcpStream> = (0..number(&arguments[1])).map(take).collect();
    hold(&answer_all(streams));
}

/// Serves while a younger program, which sleeps, has copies of all descriptors.
fn leak(listener: &TcpListener, count: u64, next: &Path) {
    let streams: Vec<TcpStream> = (0..count).map(|_| listener.accept().unwrap().0).collect();
    let copies = process::fork(|| {
        for stream in &streams {
            leave_open(stream.as_raw_fd());
        }
        process::exec(next, &["sleeper", "scenario", "handed-sleeper"]);
    });
    for _ in 0..count {
        println!("ready 1");
    }
    let streams = answer_all(streams);
    hold(&streams);
    // The last process that holds a connection closes it, so the copies go first.
    reap_all(vec![copies]);
    drop(streams);
}

/// Ends with its input.
pub(super) fn sleeper(_: &[String]) {
    await_end();
}

/// Serves `count` connections, each of which ends at once, and prints the sums.
fn brief(listener: &TcpListener, count: u64) {
    let mut sums = [0; 2];
    for _ in 0..count {
        let (mut stream, _) = listener.accept().unwrap();
        let [sent, received] = exchange(&mut stream);
        sums = [sums[0] + sent, sums[1] + received];
        // The client closes first.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    tell(sums);
    await_end();
}

/// Serves `count` connections, each by a process of its own.
fn process_each(listener: &TcpListener, count: u64) {
    for _ in 0..count {
        let (mut stream, _) = listener.accept().unwrap();
        let child = process::fork(|| {
            exchange(&mut stream);
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        });
        drop(stream);
        process::reap(child);
    }
    println!("served {count}");
    await_end();
}

/// `PORT COUNT HOW UP DOWN [PID]`: so many connections to that port, each of which carries so many bytes; of `PID`'s network.
pub(super) fn client(arguments: &[String]) {
    let port = u16::try_from(number(&arguments[0])).unwrap();
    let (count, how) = (number(&arguments[1]), arguments[2].as_str());
    let [up, down] = [3, 4].map(|nth| usize::try_from(number(&arguments[nth])).unwrap());
    if let Some(pid) = arguments.get(5) {
        enter_network(pid);
    }
    if how == "brief" {
        println!("connected {count}");
        read_line();
        let mut sums = [0; 2];
        for _ in 0..count {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let [sent, received] = ask(&mut stream, how, up, down);
            sums = [sums[0] + sent, sums[1] + received];
        }
        tell(sums);
        await_end();
        return;
    }
    let protocol = match how {
        "mptcp" => libc::IPPROTO_MPTCP,
        _ => libc::IPPROTO_TCP,
    };
    let mut streams: Vec<TcpStream> = (0..count)
        .map(|_| connect(protocol, port).unwrap())
        .collect();
    println!("connected {count}");
    read_line();
    for (nth, stream) in streams.iter_mut().enumerate() {
        tell(ask(stream, how, up + nth, down + nth));
    }
    if how == "twice" {
        read_line();
        streams
            .iter_mut()
            .for_each(|stream| tell(ask(stream, how, down, up)));
    }
    hold(&streams);
}

/// The client's side of a connection.
fn ask(stream: &mut TcpStream, how: &str, up: usize, down: usize) -> [u64; 2] {
    let head = [up, down]
        .map(|length| (length as u64).to_be_bytes())
        .concat();
    stream.write_all(&head).unwrap();
    let mut wanted = vec![0; down];
    let ring = (how == "uring").then(Ring::new).flatten();
    match (how, &ring) {
        (_, Some(ring)) => ring.send(stream.as_raw_fd(), &vec![7; up]),
        ("sendfile", _) => send_file(stream, up),
        ("splice", _) => splice_from_pipe(stream, up),
        _ => stream.write_all(&vec![7; up]).unwrap(),
    }
    match (how, &ring) {
        (_, Some(ring)) => ring.receive(stream.as_raw_fd(), &mut wanted),
        ("splice", _) => splice_to_pipe(stream, down),
        _ => stream.read_exact(&mut wanted).unwrap(),
    }
    assert!(how == "splice" || wanted.iter().all(|byte| *byte == 8));
    [(HEAD + up) as u64, down as u64]
}

/// The server's side: the bytes sent and received.
fn exchange(stream: &mut TcpStream) -> [u64; 2] {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).unwrap();
    let length =
        |bytes: &[u8]| usize::try_from(u64::from_be_bytes(bytes.try_into().unwrap())).unwrap();
    let (up, down) = (length(&head[..8]), length(&head[8..]));
    stream.read_exact(&mut vec![0; up]).unwrap();
    stream.write_all(&vec![8; down]).unwrap();
    [down as u64, (HEAD + up) as u64]
}

/// One after another.
fn answer_all(mut streams: Vec<TcpStream>) -> Vec<TcpStream> {
    for stream in &mut streams {
        tell(exchange(stream));
    }
    streams
}

fn serve(stream: TcpStream) {
    hold(&answer_all(vec![stream]));
}

/// Payload that MPTCP has sent again in other segments of the same or another subflow, for TCP new ones; `None` if the kernel
/// does not count it, and 0 of a socket that has no MPTCP (any more). Kernel: `mptcpi_bytes_retrans`, from 6.5 on.
fn sent_again(stream: &TcpStream) -> Option<u64> {
    const SOL_MPTCP: i32 = 284;
    const MPTCP_INFO: i32 = 1;
    const OFFSET: usize = 48 / 8;
    let mut words = [0_u64; 16];
    let mut length = libc::socklen_t::try_from(size_of_val(&words)).unwrap();
    // SAFETY: the pointers are to locals, and the kernel writes at most `length` bytes.
    let code = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            SOL_MPTCP,
            MPTCP_INFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if code != 0 {
        return Some(0);
    }
    (length as usize >= size_of::<u64>() * (OFFSET + 1)).then_some(words[OFFSET])
}

/// In one write: others may report on the same output.
fn tell([sent, received]: [u64; 2]) {
    let report = format!("sent {sent}\nreceived {received}\n");
    io::stdout().lock().write_all(report.as_bytes()).unwrap();
}

/// Returns when the input ends; the connections are open until then. Prints for each line how many bytes MPTCP has sent again, or
/// that the kernel does not say it of all of them.
fn hold(streams: &[TcpStream]) {
    while read_line().is_some() {
        let again: Option<u64> = streams.iter().map(sent_again).sum();
        println!("again {}", again.unwrap_or(UNKNOWN));
    }
}

fn await_end() {
    while read_line().is_some() {}
}

fn reap_all(children: Vec<i32>) {
    for pid in children {
        process::reap(pid);
    }
}

pub(crate) fn listen(protocol: i32) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::STREAM,
        Some(protocol.into()),
    )?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(128)?;
    Ok(socket.into())
}

pub(crate) fn connect(protocol: i32, port: u16) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::STREAM,
        Some(protocol.into()),
    )?;
    socket.connect(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket.into())
}

/// Whether the kernel has MPTCP. One that has not must say so in its way.
pub(crate) fn has_mptcp() -> bool {
    match listen(libc::IPPROTO_MPTCP) {
        Ok(_) => true,
        Err(error) => {
            // Not built in, or off (`net.mptcp.enabled`).
            let known = [libc::EPROTONOSUPPORT, libc::EINVAL, libc::ENOPROTOOPT];
            assert!(
                known.contains(&error.raw_os_error().unwrap()),
                "MPTCP: {error}"
            );
            false
        }
    }
}

/// For the next image, too.
fn leave_open(descriptor: RawFd) -> RawFd {
    // SAFETY: takes numbers only.
    succeeded(unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) });
    descriptor
}

/// The same listener under that number, for the next image, too.
fn move_to(listener: TcpListener, number: RawFd) -> TcpListener {
    if listener.as_raw_fd() == number {
        leave_open(number);
        return listener;
    }
    // SAFETY: takes numbers only.
    succeeded(unsafe { libc::dup2(listener.as_raw_fd(), number) });
    // SAFETY: just made, and nothing else in this program uses it.
    unsafe { TcpListener::from_raw_fd(number) }
}

fn succeeded(code: i32) -> i32 {
    assert!(code >= 0, "{}", io::Error::last_os_error());
    code
}

fn send_file(stream: &TcpStream, bytes: usize) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; bytes]).unwrap();
    let (mut offset, mut left) = (0, bytes);
    while left > 0 {
        // SAFETY: the pointer is to a local.
        let sent =
            unsafe { libc::sendfile(stream.as_raw_fd(), file.as_raw_fd(), &raw mut offset, left) };
        assert!(sent > 0, "sendfile: {}", io::Error::last_os_error());
        left -= sent.cast_unsigned();
    }
}

fn splice_from_pipe(stream: &TcpStream, bytes: usize) {
    let (output, mut input) = io::pipe().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(&vec![7; bytes]).unwrap());
        splice(output.as_raw_fd(), stream.as_raw_fd(), bytes);
    });
}

fn splice_to_pipe(stream: &TcpStream, bytes: usize) {
    let (mut output, input) = io::pipe().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || output.read_exact(&mut vec![0; bytes]).unwrap());
        splice(stream.as_raw_fd(), input.as_raw_fd(), bytes);
    });
}

fn splice(from: RawFd, to: RawFd, bytes: usize) {
    let mut left = bytes;
    while left > 0 {
        let (none, flags) = (std::ptr::null_mut(), libc::SPLICE_F_MOVE);
        // SAFETY: takes numbers, and no offsets.
        let moved = unsafe { libc::splice(from, none, to, none, left, flags) };
        assert!(moved > 0, "splice: {}", io::Error::last_os_error());
        left -= moved.cast_unsigned();
    }
}
