//! The admin interface of a fake instance: a server on `agents.s/core_api` that answers, hangs, lies or floods.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// The head of a good answer, up to its length.
const OK: &str = "HTTP/1.1 200 OK\r\nStatus: 200 OK\r\nContent-Type: text/xml\r\n";

/// The reaction of the server to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers.
    Answer,
    /// Says nothing.
    HangBeforeHead,
    /// Stops in the middle of the body.
    HangInBody,
    /// Another status.
    Status(u16),
    /// Status 401 of a pool that has not started any application.
    PoolEmpty,
    /// Closes the connection in the middle of the body.
    Truncated,
    /// Speaks no HTTP.
    Garbage,
    /// Sends a document that is none.
    NoDocument,
    /// Sends a body without end.
    Endless,
    /// Compresses the body, which the agent does not ask for.
    Gzip,
    /// Sends a byte each such interval.
    Slow(Duration),
}

/// Connections and requests that the server has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub connections: u64,
    /// Heads of requests, in small letters.
    pub requests: Vec<String>,
    /// When each connection that has ended did.
    pub ends: Vec<Instant>,
}

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct FakeCore {
    agents: PathBuf,
    uid: u32,
    shared: Arc<Mutex<Shared>>,
    listening: Option<(UnixListener, JoinHandle<()>)>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Behaviour,
    pool: Vec<u8>,
    server: String,
    seen: Seen,
    streams: Vec<UnixStream>,
}

impl FakeCore {
    /// Listens in the directory `agents.s`, as this user.
    pub(super) fn start(agents: &Path, uid: u32) -> Self {
        let shared = Shared {
            behaviour: Behaviour::Answer,
            pool: Vec::new(),
            server: String::new(),
            seen: Seen::default(),
            streams: Vec::new(),
        };
        let mut core = Self {
            agents: agents.to_owned(),
            uid,
            shared: Arc::new(Mutex::new(shared)),
            listening: None,
        };
        core.listen();
        core
    }

    /// A new core in the place of one that has ended.
    pub fn listen(&mut self) {
        assert!(self.listening.is_none());
        let listener = listen(&self.agents, self.uid);
        let shared = Arc::clone(&self.shared);
        let accepting = listener.try_clone().unwrap();
        let thread = thread::spawn(move || accept(&accepting, &shared));
        self.listening = Some((listener, thread));
    }

    /// Ends: open connections are closed, and the socket file stays. Without effect if it has ended.
    pub fn refuse(&mut self) {
        let Some((listener, thread)) = self.listening.take() else {
            return;
        };
        // Shutting the listener down ends a pending accept.
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        drop(listener);
        for stream in self.lock().streams.drain(..) {
            // It may be closed.
            let _ = stream.shutdown(Shutdown::Both);
        }
        thread.join().unwrap();
    }

    /// From now on it does this, on connections that are open, too.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// Connections and requests so far.
    pub fn seen(&self) -> Seen {
        self.lock().seen.clone()
    }

    pub(super) fn show(&self, pool: Vec<u8>, server: String) {
        let mut shared = self.lock();
        (shared.pool, shared.server) = (pool, server);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

impl Drop for FakeCore {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// Listens on `core_api` in `agents`, in the place of an older socket.
fn listen(agents: &Path, uid: u32) -> UnixListener {
    let path = agents.join("core_api");
    let _ = fs::remove_file(&path);
    // Not longer than an address may be, wherever the directory is.
    let directory = File::open(agents).unwrap();
    let address = format!("/proc/self/fd/{}/core_api", directory.as_raw_fd());
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(address).unwrap()).unwrap();
    super::give(&path, uid);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&path, mode).unwrap();
    let listener = thread::spawn(move || {
        // SO_PEERCRED names the user of the thread that called listen. This system call changes only this thread, which ends.
        if uid != super::own_uid() {
            // SAFETY: takes numbers.
            let code = unsafe { libc::syscall(libc::SYS_setresuid, -1, uid, -1) };
            assert_eq!(code, 0);
        }
        socket.listen(128).unwrap();
        socket
    });
    UnixListener::from(std::os::fd::OwnedFd::from(listener.join().unwrap()))
}

/// Serves each connection in a thread, until the listener is shut down.
fn accept(listener: &UnixListener, shared: &Arc<Mutex<Shared>>) {
    let mut threads = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        {
            let mut shared = shared.lock().unwrap();
            shared.seen.connections += 1;
            shared.streams.push(stream.try_clone().unwrap());
        }
        let shared = Arc::clone(shared);
        threads.push(thread::spawn(move || {
            // The client may close at any time.
            let _ = serve(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
            shared.lock().unwrap().seen.ends.push(Instant::now());
        }));
    }
    // Those that were accepted after the streams were closed.
    for stream in shared.lock().unwrap().streams.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// Answers requests until the connection ends.
fn serve(mut stream: &UnixStream, shared: &Mutex<Shared>) -> io::Result<()> {
    loop {
        let head = read_head(stream)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (behaviour, body) = {
            let mut shared = shared.lock().unwrap();
            shared.seen.requests.push(head);
            let body = match path.as_str() {
                "/pool.xml" => Some(shared.pool.clone()),
                "/server.json" => Some(shared.server.clone().into_bytes()),
                _ => None,
            };
            (shared.behaviour, body)
        };
        match body {
            Some(body) => behave(stream, behaviour, &body)?,
            None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
        }
    }
}

/// Handles a request; an error ends the connection.
fn behave(mut stream: &UnixStream, behaviour: Behaviour, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let with_head = |head: &str, body: &[u8]| [head.as_bytes(), b"\r\n", body].concat();
    let answer = with_head(&format!("{OK}Content-Length: {length}\r\n"), body);
    let half = &answer[..answer.len() - length / 2 - 1];
    match behaviour {
        Behaviour::Answer => stream.write_all(&answer),
        Behaviour::HangBeforeHead => await_end(stream),
        Behaviour::HangInBody => stream.write_all(half).and_then(|()| await_end(stream)),
        Behaviour::Status(status) => {
            let words =
                format!("HTTP/1.1 {status} No\r\nWWW-Authenticate: Basic realm=\"api\"\r\n");
            stream.write_all(&with_head(&format!("{words}Content-Length: 2\r\n"), b"no"))
        }
        Behaviour::PoolEmpty => {
            let words = "HTTP/1.1 401 Unauthorized\r\nPool-Empty: true\r\nContent-Length: 2\r\n";
            stream.write_all(&with_head(words, b"no"))
        }
        Behaviour::Truncated => stream.write_all(half).and_then(|()| end()),
        Behaviour::Garbage => stream.write_all(b"\0garbage\r\n\r\n").and_then(|()| end()),
        Behaviour::NoDocument => stream.write_all(&with_head(
            &format!("{OK}Content-Length: 12\r\n"),
            b"<info</info}",
        )),
        Behaviour::Endless => {
            stream.write_all(&with_head(OK, b""))?;
            loop {
                stream.write_all(&[b' '; 65_536])?;
            }
        }
        Behaviour::Gzip => {
            let head = format!("{OK}Content-Encoding: gzip\r\nContent-Length: {length}\r\n");
            stream.write_all(&with_head(&head, body))
        }
        Behaviour::Slow(interval) => answer.iter().try_for_each(|byte| {
            thread::sleep(interval);
            stream.write_all(&[*byte])
        }),
    }
}

fn end() -> io::Result<()> {
    Err(ErrorKind::UnexpectedEof.into())
}

/// Waits until the client closes the connection, or the server ends.
fn await_end(mut stream: &UnixStream) -> io::Result<()> {
    stream.read(&mut [0]).and_then(|_| end())
}

/// One head, in small letters; an error at the end of the connection.
fn read_head(mut stream: &UnixStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).to_ascii_lowercase())
}
