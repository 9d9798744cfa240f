//! Unix stream sockets of targets, with several questions on one connection.
//!
//! In: the socket of a target, a path, and the header `Authorization` if the target wants one. Out: the body of the answer. The
//! socket is a descriptor that the finder has checked; the connection shows its peer.

use std::fmt;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream as Stream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixStream;
use tokio::net::unix::UCred;

use super::exchange::{Exchange, of_http, of_io};
use crate::targets::failure::Failure;

/// Most bytes of a body. Answers are not compressed, so this is the size that the parser gets.
const MOST_BODY: usize = 4 << 20;
/// Most bytes read for a body, including the lengths of its chunks.
const MOST_FRAMED: usize = MOST_BODY + (512 << 10);
/// Most pieces in which a body may arrive: a target that sends single bytes costs 1,000 times as much CPU time for each byte.
const MOST_PIECES: usize = 16 << 10;
/// Most memory allocated for an announced length.
const MOST_ANNOUNCED: usize = 64 << 10;
/// Time between two attempts while the queue of the listener is full.
const PAUSE: Duration = Duration::from_millis(5);

/// A connection to a target.
pub(in crate::targets) struct Connection {
    peer: UCred,
    exchange: Exchange<UnixStream>,
}

/// The answer of a target.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::targets) enum TargetAnswer {
    /// Status 200: the body. It may hold secrets, and is in no log and no `Debug` output.
    Document(Vec<u8>),
    /// Status 401 with `Pool-Empty: true`: Passenger has started no application, so it cannot know whether the agent may see any.
    EmptyPool,
}

/// Connects to the Unix stream socket of which `socket` is a descriptor (`O_PATH` is enough), even if its path leads to another
/// file by now. Returns `None` if the queue of the listener is full.
///
/// The kernel asks the file system whether the agent may write to the socket file. A file system that a user serves (FUSE) may
/// never answer, so this call belongs in a reader (`targets/readers`).
///
/// # Errors
/// [`Failure::Refused`]: nothing listens. [`Failure::Denied`]: the mode of the file forbids it. [`Failure::Malformed`]: it
/// is no stream socket.
pub(in crate::targets) fn connect(socket: BorrowedFd<'_>) -> Result<Option<Stream>, Failure> {
    // Shorter than the 108 bytes that an address may have. A thread may use its own descriptors here, even without any rights.
    // The `/proc` of `--procfs` would not do: it may show no process of the agent's namespace.
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    let stream = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None);
    let connected = stream.and_then(|stream| {
        stream.connect(&SockAddr::unix(path)?)?;
        Ok(Stream::from(stream))
    });
    match connected {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        connected => connected.map(Some).map_err(|error| of_io(&error)),
    }
}

impl Connection {
    /// Makes a connection of the stream that `connected` returns, which calls [`connect`]. While `connected` returns `None`,
    /// tries again until the caller drops the future.
    ///
    /// # Errors
    /// The failure of `connected`.
    pub(in crate::targets) async fn open(
        mut connected: impl AsyncFnMut() -> Result<Option<Stream>, Failure>,
    ) -> Result<Self, Failure> {
        let stream = loop {
            match connected().await? {
                Some(stream) => break stream,
                None => tokio::time::sleep(PAUSE).await,
            }
        };
        let stream = UnixStream::from_std(stream).map_err(|error| of_io(&error))?;
        let peer = stream.peer_cred().map_err(|error| of_io(&error))?;
        let exchange = Exchange::over(stream).await?;
        Ok(Self { peer, exchange })
    }

    /// The effective user of the listening process at the time when it began to listen (SO_PEERCRED).
    pub(in crate::targets) fn peer_uid(&self) -> u32 {
        self.peer.uid()
    }

    /// The process that began to listen (SO_PEERCRED), in the agent's pid namespace; `None` if it has no number there.
    pub(in crate::targets) fn peer_pid(&self) -> Option<u32> {
        let pid = self.peer.pid().and_then(|pid| u32::try_from(pid).ok());
        pid.filter(|pid| *pid != 0)
    }

    /// Asks for `path`, such as `/pool.xml`. The connection stays open for the next question if this one succeeds.
    ///
    /// # Errors
    /// [`Failure::Denied`]: status 401 or 403. [`Failure::Status`]: another status than 200. [`Failure::TooLarge`]: a head or a
    /// body, or the bytes around them, are beyond their bound. [`Failure::Refused`]: the connection was reset, or closed before
    /// the question. [`Failure::Malformed`]: any other answer that is not complete and uncompressed.
    pub(in crate::targets) async fn get(
        &mut self,
        path: &'static str,
        authorization: Option<&HeaderValue>,
    ) -> Result<TargetAnswer, Failure> {
        let request = request(path, authorization);
        self.exchange.ask(request, MOST_FRAMED, judge).await
    }
}

/// The header for basic authentication. It is marked as sensitive.
///
/// `None` if it would not be a valid header, which base64 never is.
pub(in crate::targets) fn basic_authorization(user: &str, password: &str) -> Option<HeaderValue> {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn request(path: &'static str, authorization: Option<&HeaderValue>) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    let agent = concat!("headcount/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    request
}

async fn judge(answer: Response<Incoming>) -> Result<TargetAnswer, Failure> {
    match answer.status() {
        StatusCode::OK if is_plain(&answer) => {
            Ok(TargetAnswer::Document(read(answer.into_body()).await?))
        }
        StatusCode::OK => Err(Failure::Malformed),
        StatusCode::UNAUTHORIZED if is_pool_empty(&answer) => Ok(TargetAnswer::EmptyPool),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Denied),
        _ => Err(Failure::Status),
    }
}

/// Whether the body is not compressed; the agent asks for no compression.
fn is_plain(answer: &Response<Incoming>) -> bool {
    let mut encodings = answer.headers().get_all(CONTENT_ENCODING).into_iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn is_pool_empty(answer: &Response<Incoming>) -> bool {
    let header = answer.headers().get("Pool-Empty");
    header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Reads a body to its end.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Failure> {
    // An announced length can cause a refusal, but no allocation beyond [`MOST_ANNOUNCED`].
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MOST_BODY {
        return Err(Failure::TooLarge);
    }
    let mut bytes = Vec::with_capacity(announced.min(MOST_ANNOUNCED));
    for _ in 0..MOST_PIECES {
        let Some(frame) = body.frame().await else {
            return Ok(bytes);
        };
        let frame = frame.map_err(|error| of_http(&error))?;
        let data = frame.into_data().unwrap_or_default(); // Else trailers.
        if data.len() > MOST_BODY - bytes.len() {
            return Err(Failure::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Err(Failure::TooLarge)
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TargetAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(body) => write!(formatter, "Document({} bytes)", body.len()),
            Self::EmptyPool => formatter.write_str("EmptyPool"),
        }
    }
}

#[cfg(test)]
#[path = "unix_tests.rs"]
mod tests;
