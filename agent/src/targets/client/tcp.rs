//! Instances of applications over TCP: one question, on a connection of its own.
//!
//! In: a host with its addresses, a path and headers. Out: the decompressed body, or the failure, with the status if there is
//! one. The host comes from a table of the agent, never from a request or an answer: a redirect is followed only to the same host
//! and port, at the address that has sent it. Each body has a bound, and a [`BodyRoom`] bounds all bodies together. Bodies are
//! decompressed in small pieces, between which other tasks of the thread run.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use flate2::write::MultiGzDecoder;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST,
    HeaderValue, LOCATION, USER_AGENT,
};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Request, Response, StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::exchange::{Exchange, of_http, of_io};
use super::redirect::RedirectTarget;
use super::tls::InstanceTls;
use crate::config::HostPort;
use crate::targets::failure::Failure;

/// Pieces in which any body may arrive: the chunks that the instance sends, some of them cut by a read. Each costs 0.7 us of CPU
/// time, whatever its size; a body in large pieces costs 1 ns a byte.
const LEAST_PIECES: usize = 64 << 10;
/// Bytes of a body, after decompression, for which one piece more is allowed. Instances that send each line as a chunk, or the
/// parts of a line, have longer ones.
const BYTES_OF_PIECE: usize = 8;
/// Bytes that may be read for a body beyond twice its bound: the lengths of the first [`LEAST_PIECES`] chunks. The length of a
/// chunk takes less than [`BYTES_OF_PIECE`].
const MOST_FRAMING: usize = 1 << 20;
/// Compressed bytes that are decompressed at a time, to at most 1,032 times as many.
const PACKED_PIECE: usize = 256;
/// Bytes of a body after which the task yields to the other tasks of the thread.
const TURN: usize = 64 << 10;
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;

/// A question to an instance.
#[derive(Debug, Clone)]
pub(in crate::targets) struct InstanceRequest {
    pub(in crate::targets) target: HostPort,
    /// The addresses of `target`, in the order in which they are tried.
    pub(in crate::targets) addresses: Vec<SocketAddr>,
    /// The certificate that it must show; `None`: plain HTTP.
    pub(in crate::targets) tls: Option<InstanceTls>,
    /// The value of the header `Host`; `None`: `target`.
    pub(in crate::targets) host: Option<HeaderValue>,
    pub(in crate::targets) path: PathAndQuery,
    pub(in crate::targets) accept: HeaderValue,
    pub(in crate::targets) authorization: Option<HeaderValue>,
    /// The request states the time until then as the timeout of the scrape. The caller drops the future at that time.
    pub(in crate::targets) deadline: Instant,
    /// Most bytes of the body, after decompression.
    pub(in crate::targets) most_bytes: usize,
}

impl InstanceRequest {
    const fn scheme(&self) -> &'static str {
        match self.tls {
            None => "http",
            Some(_) => "https",
        }
    }
}

/// The body of status 200.
#[derive(Debug)]
pub(in crate::targets) struct InstanceReply {
    pub(in crate::targets) body: Bytes,
    /// Whether the content type of the body is OpenMetrics.
    pub(in crate::targets) is_open_metrics: bool,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::targets) struct NoReply {
    pub(in crate::targets) reason: Failure,
    /// The status, if it is the reason of the failure.
    pub(in crate::targets) status: Option<StatusCode>,
}

impl From<Failure> for NoReply {
    fn from(reason: Failure) -> Self {
        Self {
            reason,
            status: None,
        }
    }
}

/// Asks an instance at the first of its addresses to which the agent can connect. Before it sends anything, it passes both ends of
/// each connection, first the instance's, to `confirm`, which checks that the connection has reached the instance.
///
/// # Errors
/// [`Failure::Denied`]: status 401 or 403. [`Failure::Status`]: another status than 200. [`Failure::Redirected`]: to another
/// host, or more than [`MOST_REDIRECTS`] times. [`Failure::TooLarge`]: a head or a body is beyond its bound. [`Failure::Limit`]:
/// no `room`, or no descriptor. [`Failure::Refused`], [`Failure::Malformed`]: as for other targets. Or the failure of `confirm`.
pub(in crate::targets) async fn get(
    mut request: InstanceRequest,
    room: &BodyRoom,
    confirm: impl AsyncFn((SocketAddr, SocketAddr)) -> Result<(), Failure>,
) -> Result<InstanceReply, NoReply> {
    for _ in 0..=MOST_REDIRECTS {
        let (stream, (address, own)) = connect(&request, &confirm).await?;
        request.addresses = vec![address];
        let said = match &request.tls {
            None => ask(stream, &request, own, room).await?,
            Some(tls) => ask(tls.secure(stream).await?, &request, own, room).await?,
        };
        match said {
            Said::Body(reply) => return Ok(reply),
            Said::Redirect(path) => request.path = path,
            Said::Status(status) => {
                return Err(NoReply {
                    reason: of_status(status),
                    status: Some(status),
                });
            }
        }
    }
    Err(Failure::Redirected.into())
}

/// Connects to the first address that accepts and is confirmed; returns the connection with both ends. To connect to it, each
/// address has an equal share of the time that is left.
///
/// # Errors
/// The failure of the last address that has not refused, else [`Failure::Refused`].
async fn connect(
    request: &InstanceRequest,
    confirm: &impl AsyncFn((SocketAddr, SocketAddr)) -> Result<(), Failure>,
) -> Result<(TcpStream, (SocketAddr, SocketAddr)), Failure> {
    let mut failure = None;
    for (address, left) in request
        .addresses
        .iter()
        .zip((1..=request.addresses.len()).rev())
    {
        let time = request.deadline.saturating_duration_since(Instant::now());
        let share = time / u32::try_from(left).unwrap_or(u32::MAX);
        let connecting = async {
            let stream = timeout(share, TcpStream::connect(address)).await;
            let stream = stream.map_err(|_| Failure::Timeout)?;
            let stream = stream.map_err(|error| of_io(&error))?;
            let own = stream.local_addr().map_err(|error| of_io(&error))?;
            confirm((*address, own)).await?;
            Ok((stream, (*address, own)))
        };
        match connecting.await {
            Ok(connected) => return Ok(connected),
            // Another failure says more: many an address is refused because the host has none of its kind.
            Err(Failure::Refused) => failure = failure.or(Some(Failure::Refused)),
            Err(other) => failure = Some(other),
        }
    }
    Err(failure.unwrap_or(Failure::Unresolved))
}

/// The result of one request.
enum Said {
    Body(InstanceReply),
    /// A redirect to this path at the same address.
    Redirect(PathAndQuery),
    Status(StatusCode),
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: &InstanceRequest,
    own: SocketAddr,
    room: &BodyRoom,
) -> Result<Said, Failure> {
    let mut exchange = Exchange::over(stream).await?;
    let head = head(request, own)?;
    let judged = exchange.ask(
        head,
        2 * request.most_bytes + MOST_FRAMING,
        async |answer: Response<Incoming>| match answer.status() {
            StatusCode::OK => Ok(Said::Body(
                read(answer, RoomyBody::new(request.most_bytes, room)).await?,
            )),
            status if status.is_redirection() => same_target(&answer, request).map(Said::Redirect),
            status => Ok(Said::Status(status)),
        },
    );
    judged.await
}

fn of_status(status: StatusCode) -> Failure {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Denied,
        _ => Failure::Status,
    }
}

fn head(request: &InstanceRequest, own: SocketAddr) -> Result<Request<Empty<Bytes>>, Failure> {
    let mut head = Request::new(Empty::new());
    *head.uri_mut() = Uri::from(request.path.clone());
    let headers = head.headers_mut();
    headers.insert(HOST, host(request)?);
    let agent = concat!("headcount/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(ACCEPT, request.accept.clone());
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let left = request.deadline.saturating_duration_since(Instant::now());
    let left = text(format!("{:.6}", left.as_secs_f64()))?;
    headers.insert("x-prometheus-scrape-timeout-seconds", left);
    let scheme = HeaderValue::from_static(request.scheme());
    headers.insert("x-forwarded-proto", scheme);
    headers.insert("x-forwarded-for", text(own.ip().to_string())?);
    headers.insert("x-promfetcher-scrapping", HeaderValue::from_static("true"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(authorization) = &request.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    Ok(head)
}

fn host(request: &InstanceRequest) -> Result<HeaderValue, Failure> {
    match &request.host {
        Some(host) => Ok(host.clone()),
        None => text(request.target.to_string()),
    }
}

fn text(value: String) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(value).map_err(|_| Failure::Malformed)
}

/// The path to which an instance redirects.
///
/// # Errors
/// [`Failure::Redirected`]: it is not a path of the same host and port.
fn same_target(
    answer: &Response<Incoming>,
    request: &InstanceRequest,
) -> Result<PathAndQuery, Failure> {
    let location = answer.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let location = location.filter(|location| !location.is_empty());
    let location = location.ok_or(Failure::Redirected)?;
    let location = RedirectTarget::resolve(location, &request.path);
    let scheme = location.scheme.unwrap_or(request.scheme());
    let is_here = match location.authority {
        None => location.scheme.is_none(),
        Some(there) => scheme.eq_ignore_ascii_case(request.scheme()) && is_host_of(request, there),
    };
    let path = location.path.parse().ok();
    path.filter(|_| is_here).ok_or(Failure::Redirected)
}

/// Whether `there` is the host and port that are asked.
fn is_host_of(request: &InstanceRequest, there: &str) -> bool {
    let usual = if request.tls.is_some() { 443 } else { 80 };
    let is_target = |there: Authority| {
        there.port_u16().unwrap_or(usual) == request.target.port()
            && there.host().eq_ignore_ascii_case(&request.target.host())
    };
    let host = request.host.as_ref();
    host.is_some_and(|host| host.as_bytes() == there.as_bytes())
        || there.parse().is_ok_and(is_target)
}

/// Reads a body to its end, and decompresses it.
async fn read(answer: Response<Incoming>, mut kept: RoomyBody) -> Result<InstanceReply, Failure> {
    let headers = answer.headers();
    let content_type = headers.get(CONTENT_TYPE);
    let is_open_metrics = content_type.is_some_and(|value| {
        let bytes = value.as_bytes();
        let name = b"application/openmetrics-text";
        bytes.len() >= name.len() && bytes[..name.len()].eq_ignore_ascii_case(name)
    });
    let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let body = match encoding {
        Some(gzip) if gzip.eq_ignore_ascii_case(b"gzip") => {
            let mut decoder = MultiGzDecoder::new(kept);
            let length = |decoder: &MultiGzDecoder<RoomyBody>| decoder.get_ref().bytes.len();
            copy(answer.into_body(), &mut decoder, PACKED_PIECE, length).await?;
            decoder.finish().map_err(|error| of_body(&error))?
        }
        None | Some(b"identity" | b"") => {
            let length = |kept: &RoomyBody| kept.bytes.len();
            copy(answer.into_body(), &mut kept, usize::MAX, length).await?;
            kept
        }
        Some(_) => return Err(Failure::Malformed),
    };
    Ok(InstanceReply {
        body: body.whole(),
        is_open_metrics,
    })
}

/// Writes a body to `to` in pieces of at most `piece` bytes. `length` returns the bytes kept so far.
async fn copy<W: Write>(
    mut body: Incoming,
    to: &mut W,
    piece: usize,
    length: impl Fn(&W) -> usize,
) -> Result<(), Failure> {
    let (mut turn, mut pieces) = (TURN, 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| of_http(&error))?;
        let data = frame.into_data().unwrap_or_default(); // Else trailers.
        for piece in data.chunks(piece) {
            to.write_all(piece).map_err(|error| of_body(&error))?;
            if length(to) >= turn {
                turn = length(to) + TURN;
                tokio::task::yield_now().await;
            }
        }
        pieces += 1;
        if pieces > LEAST_PIECES + length(to) / BYTES_OF_PIECE {
            return Err(Failure::TooLarge);
        }
    }
    Ok(())
}

/// The reason for which a body could not be kept or decompressed.
fn of_body(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::FileTooLarge => Failure::TooLarge,
        ErrorKind::OutOfMemory => Failure::Limit,
        _ => Failure::Malformed,
    }
}

/// Memory for bodies, with a share for each application. Clones use the same share.
///
/// A body that grows fails with [`Failure::Limit`] when its own bytes plus those of all bodies of its application would exceed
/// the bytes left for all. So no application uses up all memory, and no body uses up the share of its application.
#[derive(Debug, Clone)]
pub(in crate::targets) struct BodyRoom {
    /// Bytes that are left for all.
    left: Arc<AtomicUsize>,
    /// Bytes of this application.
    used: Arc<AtomicUsize>,
}

impl BodyRoom {
    /// Memory of `most` bytes.
    pub(in crate::targets) fn of(most: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(most)),
            used: Arc::default(),
        }
    }

    /// The share of another application.
    pub(in crate::targets) fn share(&self) -> Self {
        Self {
            left: Arc::clone(&self.left),
            used: Arc::default(),
        }
    }

    /// Whether clones of it or bodies exist.
    pub(in crate::targets) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.used) > 1
    }

    /// Takes `bytes` more for a body that has `own` bytes. Returns false if there is no room.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let taken = self.used.load(Relaxed) + own + 2 * bytes;
        let fits = |left: usize| left.checked_sub(bytes).filter(|left| taken <= *left);
        let is_taken = self.left.try_update(Relaxed, Relaxed, fits).is_ok();
        if is_taken {
            self.used.fetch_add(bytes, Relaxed);
        }
        is_taken
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
        self.left.fetch_add(bytes, Relaxed);
    }
}

/// A body that is arriving. Its memory is free again when the last value made of it is dropped.
#[derive(Debug)]
struct RoomyBody {
    bytes: Vec<u8>,
    /// Most bytes.
    most: usize,
    room: BodyRoom,
}

impl RoomyBody {
    fn new(most: usize, room: &BodyRoom) -> Self {
        Self {
            bytes: Vec::new(),
            most,
            room: room.clone(),
        }
    }

    fn whole(mut self) -> Bytes {
        self.bytes.shrink_to_fit();
        Bytes::from_owner(self)
    }
}

impl Write for RoomyBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if !self.room.take(bytes.len(), self.bytes.len()) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRef<[u8]> for RoomyBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for RoomyBody {
    fn drop(&mut self) {
        self.room.give_back(self.bytes.len());
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
