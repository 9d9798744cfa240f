//! Both ends of TCP connections, and a client that asks an agent again and again.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, RawFd};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::namespace::{add_address, enter_network, leave_network};
use super::number;
use super::worker::read_line;
use crate::process;

/// Where the connections of clients and servers are.
const FIRST_DESCRIPTORS: [i32; 2] = [3, 4];
/// Between two scrapes.
const INTERVAL_MS: i32 = 20;
/// Bytes of options that a socket of this network may have. The kernel counts socket storage among them.
const OPTMEM: &str = "/proc/sys/net/core/optmem_max";
/// Between two questions whether something has come.
const PAUSE: Duration = Duration::from_micros(200);

/// The sockets of an end. Connections are numbered in their order, from 0 on; those that are closed keep their number.
#[derive(Debug, Default)]
struct End {
    listener: Option<TcpListener>,
    connections: Vec<Option<TcpStream>>,
}

/// `[DESCRIPTOR…]`: reads commands from its standard input, a line each, and answers each by one line. The descriptors are
/// connections that a former image has left. Ends with its input.
pub(super) fn endpoint(arguments: &[String]) {
    // SAFETY: the former image has left them open, and nothing else in this program uses them.
    let inherited =
        |word: &String| unsafe { TcpStream::from_raw_fd(RawFd::try_from(number(word)).unwrap()) };
    let mut end = End {
        listener: None,
        connections: arguments.iter().map(|word| Some(inherited(word))).collect(),
    };
    println!("ready {}", end.connections.len());
    while let Some(line) = read_line() {
        let words: Vec<&str> = line.split(' ').collect();
        let (key, value) = end.obey(&words);
        println!("{key} {value}");
    }
}

impl End {
    fn obey(&mut self, words: &[&str]) -> (&'static str, u64) {
        match *words {
            ["listen", to, backlog] => ("port", self.listen(to, number(backlog))),
            ["unlisten"] => ("unlistened", u64::from(self.listener.take().is_some())),
            ["share", to, port] => ("port", self.share(to, number(port))),
            ["take"] => ("taken", self.take()),
            ["accept"] => {
                let (stream, _) = self.listener.as_ref().unwrap().accept().unwrap();
                ("connection", self.add(stream))
            }
            ["connect", to, port] => {
                let port = u16::try_from(number(port)).unwrap();
                ("connection", self.add(connect(to, port).unwrap()))
            }
            ["connect", to, port, from] => {
                let to = SocketAddr::new(address(to), u16::try_from(number(port)).unwrap());
                let stream = connect_from(address(from), to);
                ("connection", self.add(stream))
            }
            ["alone", ref addresses @ ..] => {
                leave_network();
                let addresses = addresses.iter().map(|word| address(word));
                addresses.for_each(add_address);
                ("alone", 1)
            }
            ["enter", pid] => {
                enter_network(pid);
                ("entered", 1)
            }
            ["refused", family, port] => {
                let error = connect(family, u16::try_from(number(port)).unwrap()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                ("refused", 1)
            }
            ["send", nth, bytes] => ("sent", send(self.at(nth), number(bytes))),
            ["receive", nth, bytes] => ("received", receive(self.at(nth), number(bytes))),
            ["end", nth] => (
                "left",
                self.at(nth).read_to_end(&mut Vec::new()).unwrap() as u64,
            ),
            ["reset", nth] => ("reset", u64::from(await_reset(self.at(nth)))),
            ["flush", nth] => ("unacknowledged", await_flush(self.at(nth))),
            ["queued", nth, bytes] => ("queued", await_queued(self.at(nth), number(bytes))),
            ["rtt", nth] => ("rtt_us", Information::of(self.at(nth)).rtt_us()),
            ["drops"] => ("drops", listen_drops()),
            ["finish", nth] => {
                self.at(nth).shutdown(Shutdown::Write).unwrap();
                ("finished", 1)
            }
            ["close", nth] => ("closed", u64::from(self.slot(nth).take().is_some())),
            ["abort", nth] => {
                linger_not(self.at(nth));
                ("aborted", u64::from(self.slot(nth).take().is_some()))
            }
            ["exec", path] => self.exec(Path::new(path)),
            ["leave"] => {
                leave_network();
                ("left", 1)
            }
            ["optmem", bytes] => {
                std::fs::write(OPTMEM, bytes).unwrap();
                ("optmem", number(bytes))
            }
            _ => panic!("{words:?} is no command"),
        }
    }

    fn slot(&mut self, nth: &str) -> &mut Option<TcpStream> {
        &mut self.connections[usize::try_from(number(nth)).unwrap()]
    }

    fn at(&mut self, nth: &str) -> &mut TcpStream {
        self.slot(nth).as_mut().expect("a connection that is open")
    }

    fn add(&mut self, stream: TcpStream) -> u64 {
        self.connections.push(Some(stream));
        self.connections.len() as u64 - 1
    }

    fn listen(&mut self, to: &str, backlog: u64) -> u64 {
        let listener = TcpListener::bind((address(to), 0)).unwrap();
        // Another time, for the limit.
        // SAFETY: takes numbers only.
        let code = unsafe { libc::listen(listener.as_raw_fd(), i32::try_from(backlog).unwrap()) };
        assert_eq!(code, 0, "listen: {}", io::Error::last_os_error());
        let port = listener.local_addr().unwrap().port();
        self.listener = Some(listener);
        port.into()
    }

    /// Listens at a port that other processes may listen at, too; 0 is any port.
    fn share(&mut self, to: &str, port: u64) -> u64 {
        let at = SocketAddr::new(address(to), u16::try_from(port).unwrap());
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&at.into()).unwrap();
        socket.listen(64).unwrap();
        let listener = TcpListener::from(socket);
        let port = listener.local_addr().unwrap().port();
        self.listener = Some(listener);
        port.into()
    }

    /// Accepts all connections that wait. Returns how many they are.
    fn take(&mut self) -> u64 {
        let listener = self.listener.take().unwrap();
        listener.set_nonblocking(true).unwrap();
        let before = self.connections.len();
        let error = loop {
            match listener.accept() {
                Ok((stream, _)) => self.add(stream),
                Err(error) => break error,
            };
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        self.listener = Some(listener);
        (self.connections.len() - before) as u64
    }

    /// Leaves the connections to the next image.
    fn exec(&mut self, path: &Path) -> ! {
        let name = path.to_str().unwrap();
        let mut words = [name, "scenario", "endpoint"].map(str::to_owned).to_vec();
        for stream in self.connections.drain(..).flatten() {
            let descriptor = stream.into_raw_fd();
            // SAFETY: takes numbers only.
            let code = unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
            assert_eq!(code, 0, "fcntl: {}", io::Error::last_os_error());
            words.push(descriptor.to_string());
        }
        process::exec(path, &words)
    }
}

/// An address, or the family of the one of the loopback device.
fn address(word: &str) -> IpAddr {
    match word {
        "4" => Ipv4Addr::LOCALHOST.into(),
        "6" => Ipv6Addr::LOCALHOST.into(),
        _ => word.parse().unwrap(),
    }
}

fn connect(to: &str, port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((address(to), port))
}

/// From that address.
fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn send(stream: &mut TcpStream, bytes: u64) -> u64 {
    stream
        .write_all(&vec![7; usize::try_from(bytes).unwrap()])
        .unwrap();
    bytes
}

fn receive(stream: &mut TcpStream, bytes: u64) -> u64 {
    stream
        .read_exact(&mut vec![0; usize::try_from(bytes).unwrap()])
        .unwrap();
    bytes
}

/// Whether the peer's reset comes, and not its end.
fn await_reset(stream: &mut TcpStream) -> bool {
    let error = stream
        .read_to_end(&mut Vec::new())
        .map_err(|error| error.kind());
    error == Err(io::ErrorKind::ConnectionReset)
}

/// Until the peer's kernel has acknowledged all bytes that were sent.
fn await_flush(stream: &TcpStream) -> u64 {
    loop {
        let left = Information::of(stream).unacknowledged();
        if left == 0 {
            return 0;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Until so many bytes have come since the connection's beginning, read or not.
fn await_queued(stream: &TcpStream, bytes: u64) -> u64 {
    loop {
        let queued = Information::of(stream).received_bytes();
        if queued >= bytes {
            return queued;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The next close resets the connection.
fn linger_not(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the pointer is to a local of the given length.
    let code = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap(),
        )
    };
    assert_eq!(code, 0, "SO_LINGER: {}", io::Error::last_os_error());
}

/// How many SYNs the listeners of this network have dropped.
fn listen_drops() -> u64 {
    let text = fs::read_to_string("/proc/self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let mut words = || lines.next().unwrap().split(' ');
    let (names, values) = (words(), words());
    let drops = names.zip(values).find(|(name, _)| *name == "ListenDrops");
    number(drops.unwrap().1)
}

/// `TCP_INFO` (kernel: `struct tcp_info` of include/uapi/linux/tcp.h), as far as 5.10 knows it; its fields by their offset.
struct Information([u32; 58]);

impl Information {
    fn of(stream: &TcpStream) -> Self {
        let mut words = [0; 58];
        let mut length = libc::socklen_t::try_from(size_of_val(&words)).unwrap();
        // SAFETY: the pointers are to locals, and the kernel writes at most `length` bytes.
        let code = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                words.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        assert_eq!(code, 0, "TCP_INFO: {}", io::Error::last_os_error());
        Self(words)
    }

    /// Segments on their way, and bytes that were not sent yet.
    fn unacknowledged(&self) -> u64 {
        u64::from(self.0[24 / 4]) + u64::from(self.0[144 / 4])
    }

    fn rtt_us(&self) -> u64 {
        self.0[68 / 4].into()
    }

    fn received_bytes(&self) -> u64 {
        u64::from(self.0[128 / 4]) | u64::from(self.0[132 / 4]) << 32
    }
}

/// `PID`: reads the links and the descriptions of that process's first descriptors again and again until its input ends.
pub(super) fn reader(arguments: &[String]) {
    let descriptors = FIRST_DESCRIPTORS
        .map(|nth| ["fd", "fdinfo"].map(|folder| format!("/proc/{}/{folder}/{nth}", arguments[0])));
    println!("reading 1");
    while !await_input(0) {
        for [link, information] in &descriptors {
            // A descriptor that is closed has neither.
            let _ = std::fs::read_link(link);
            let _ = std::fs::read(information);
        }
    }
}

/// Waits so long for input, or its end; whether it came.
fn await_input(patience_ms: i32) -> bool {
    let mut input = libc::pollfd {
        fd: 0,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to one local.
    unsafe { libc::poll(&raw mut input, 1, patience_ms) != 0 }
}

/// `PORT`: scrapes the agent there again and again until its input ends; reports how often.
pub(super) fn scraper(arguments: &[String]) {
    let port = u16::try_from(number(&arguments[0])).unwrap();
    let mut count = 0;
    while !await_input(INTERVAL_MS) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        io::copy(&mut stream, &mut File::create("/dev/null").unwrap()).unwrap();
        count += 1;
    }
    println!("scrapes {count}");
}
