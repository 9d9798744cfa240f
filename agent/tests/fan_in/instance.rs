//! A real HTTP server on the loopback interface as an instance of an application: it answers, lies, hangs or floods.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use flate2::Compression;
use flate2::write::GzEncoder;
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::agent::PATIENCE;

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Handles a connection.
type Serve = dyn Fn(TcpStream) + Send + Sync;

/// An instance. It ends when this is dropped.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Instance {
    pub(crate) fn start(serve: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        let mut instance = Self::raw(move |mut stream| {
            let head = head_of(&mut stream);
            seen.lock().unwrap().push(head.clone());
            serve(&head, &mut stream);
        });
        instance.heads = heads;
        instance
    }

    /// An instance that handles each connection with `serve`.
    pub(crate) fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
    }

    /// An instance at the address of an instance that has ended.
    pub(crate) fn at(address: SocketAddr, body: &str) -> Self {
        Self::with(TcpListener::bind(address).unwrap(), body)
    }

    /// An instance on all IPv6 addresses that accepts no IPv4.
    pub(crate) fn ipv6_only(body: &str) -> Self {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(true).unwrap();
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(16).unwrap();
        Self::with(socket.into(), body)
    }

    fn with(listener: TcpListener, body: &str) -> Self {
        let answer = answer("200 OK", "", body.as_bytes());
        Self::on(listener, move |mut stream| {
            head_of(&mut stream);
            drop(stream.write_all(&answer));
        })
    }

    fn on(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let accepting = listener.try_clone().unwrap();
        let serve: Arc<Serve> = Arc::new(serve);
        Self {
            address: listener.local_addr().unwrap(),
            listener,
            heads: Arc::default(),
            accepting: Some(thread::spawn(move || accept(&accepting, &serve))),
        }
    }

    /// An instance that answers with this body.
    pub(crate) fn text(body: &str) -> Self {
        Self::answering(
            "200 OK",
            "Content-Type: text/plain; version=0.0.4\r\n",
            body.as_bytes(),
        )
    }

    /// An instance that answers with this status, these header lines and this body.
    pub(crate) fn answering(status: &str, headers: &str, body: &[u8]) -> Self {
        let answer = answer(status, headers, body);
        Self::start(move |_, stream| drop(stream.write_all(&answer)))
    }

    /// An instance that sends `first`, and then `more` until the client disconnects.
    pub(crate) fn endless(first: &str, more: &str) -> Self {
        let (first, more) = (first.to_owned(), more.repeat(1 + 65_536 / more.len()));
        Self::start(move |_, stream| {
            let mut said = stream.write_all(first.as_bytes());
            while said.is_ok() {
                said = stream.write_all(more.as_bytes());
            }
        })
    }

    /// An instance that sends `first`, and then nothing.
    pub(crate) fn hanging(first: &str) -> Self {
        let first = first.to_owned();
        Self::start(move |_, stream| {
            let _ = stream.write_all(first.as_bytes());
            // Returns when the client disconnects.
            let _ = stream.read(&mut [0]);
        })
    }

    /// An address at which no process listens any more.
    pub(crate) fn gone() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    /// The heads of the requests so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Shutting the listener down ends a pending accept.
        SockRef::from(&self.listener)
            .shutdown(Shutdown::Both)
            .unwrap();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) fn packed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn accept(listener: &TcpListener, serve: &Arc<Serve>) {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let serve = Arc::clone(serve);
        // It ends when the agent closes the connection.
        thread::spawn(move || serve(stream));
    }
}

/// The head of a request, in lower case.
fn head_of(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        heard.extend(byte);
    }
    String::from_utf8_lossy(&heard).to_ascii_lowercase()
}
