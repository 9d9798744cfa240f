//! A client that counts: it sends requests in given pieces, reads responses to their ends, and keeps the results.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use super::support::agent::PATIENCE;
use super::tally::Tally;

#[derive(Debug)]
pub(crate) struct Client {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
    pub(crate) tally: Tally,
}

/// A request in the making.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) version: &'static str,
    /// Lines of the head, each with its CRLF.
    pub(crate) fields: String,
    pub(crate) body: Vec<u8>,
    /// The least time that the answer takes.
    pub(crate) least: Duration,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            version: "1.1",
            fields: String::new(),
            body: Vec::new(),
            least: Duration::ZERO,
        }
    }

    pub(crate) fn field(mut self, line: &str) -> Self {
        self.fields += line;
        self.fields += "\r\n";
        self
    }

    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        let Self {
            method,
            path,
            version,
            fields,
            body,
            ..
        } = self;
        let length = match body.is_empty() {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        format!("{method} {path} HTTP/{version}\r\nHost: localhost\r\n{length}{fields}\r\n")
            .into_bytes()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend(&self.body);
        bytes
    }
}

/// The head of a response.
struct Head {
    status: u16,
    length: Option<usize>,
    is_chunked: bool,
    is_last: bool,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        Self {
            port,
            stream: None,
            tally: Tally::default(),
        }
    }

    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    /// Sends on the open connection, or on a new one.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let port = self.port;
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            BufReader::new(stream)
        });
        // A server may close before it has read all. The caller sees that by the response, or by its absence.
        let _ = stream.get_mut().write_all(bytes);
    }

    /// One request and its response; `None`: the connection ended without one.
    pub(crate) fn exchange(&mut self, request: &Request) -> Option<u16> {
        let begin = Instant::now();
        self.send(&request.bytes());
        self.receive(request, begin)
    }

    /// The same, written in pieces of `bytes`.
    pub(crate) fn exchange_in_pieces(&mut self, request: &Request, bytes: usize) -> Option<u16> {
        let begin = Instant::now();
        for piece in request.bytes().chunks(bytes) {
            self.send(piece);
        }
        self.receive(request, begin)
    }

    /// Sends the body only when the server asks for it.
    pub(crate) fn exchange_expecting(&mut self, request: &Request) -> Option<u16> {
        let begin = Instant::now();
        let request = request.clone().field("Expect: 100-continue");
        self.send(&request.head());
        let head = self.head()?;
        match head.status {
            100 => self.send(&request.body),
            status => {
                self.tally
                    .add(request.method, status, request.least, begin.elapsed());
                self.close();
                return Some(status);
            }
        }
        self.receive(&request, begin)
    }

    /// All requests in one write, then all responses.
    pub(crate) fn pipeline(&mut self, requests: &[Request]) {
        let begin = Instant::now();
        let bytes: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
        self.send(&bytes);
        for request in requests {
            let status = self.receive(request, begin);
            assert!(status.is_some(), "a pipelined request has no response");
        }
    }

    /// The response to a request that was sent.
    pub(crate) fn receive(&mut self, request: &Request, begin: Instant) -> Option<u16> {
        let mut head = self.head();
        while head.as_ref().is_some_and(|head| head.status / 100 == 1) {
            head = self.head();
        }
        let Some(head) = head else {
            self.close();
            self.tally.unanswered += 1;
            return None;
        };
        self.tally
            .add(request.method, head.status, request.least, begin.elapsed());
        let has_body = request.method != "HEAD" && !matches!(head.status, 204 | 304);
        if has_body {
            self.body(&head);
        }
        if head.is_last {
            self.close();
        }
        Some(head.status)
    }

    /// `None` if the connection ends before the head does.
    fn head(&mut self) -> Option<Head> {
        let status_line = self.line()?;
        let mut words = status_line.split(' ');
        let mut head = Head {
            is_last: words.next()? == "HTTP/1.0",
            status: words.next()?.parse().unwrap(),
            length: None,
            is_chunked: false,
        };
        loop {
            let line = self.line()?.to_ascii_lowercase();
            let Some((name, value)) = line.split_once(':') else {
                assert_eq!(line, "");
                return Some(head);
            };
            match (name, value.trim()) {
                ("content-length", value) => head.length = Some(value.parse().unwrap()),
                ("transfer-encoding", "chunked") => head.is_chunked = true,
                ("connection", "close") => head.is_last = true,
                ("connection", "keep-alive") => head.is_last = false,
                _ => (),
            }
        }
    }

    fn body(&mut self, head: &Head) {
        if head.is_chunked {
            loop {
                let size = self.line().unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                self.skip(size + 2);
                if size == 0 {
                    return;
                }
            }
        }
        match head.length {
            Some(length) => self.skip(length),
            None => {
                let mut rest = Vec::new();
                let _ = self.stream.as_mut().unwrap().read_to_end(&mut rest);
                self.close();
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        let mut body = vec![0; bytes];
        let stream = self.stream.as_mut().unwrap();
        stream.read_exact(&mut body).unwrap();
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let stream = self.stream.as_mut()?;
        let read = stream.read_until(b'\n', &mut line);
        let line = String::from_utf8(line).unwrap();
        match read {
            Ok(_) => Some(line.strip_suffix("\r\n")?.to_owned()),
            Err(_) => None,
        }
    }
}
