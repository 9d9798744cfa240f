//! One connection, from accept to close: TLS if configured, then HTTP/1.
//!
//! In: a stream, its [`ConnectionSlot`] and the [`Service`]. Out: responses, and counts of how the connection ended.
//! Left to others: the deadlines (the slot's [`Watch`]) and the responses ([`respond`]).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_rustls::TlsAcceptor;

use super::admission::{ConnectionPhase, ConnectionSlot, Timeout, Watch, Watched};
use super::routes::respond;
use super::service::Service;
use super::web::Web;

/// First byte of the record with which a client begins TLS (`ContentType::handshake`).
const TLS_HANDSHAKE: u8 = 0x16;
/// The answer to any other first byte, as Go's servers give it.
const PLAIN_REFUSED: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// How a connection ended.
enum ConnectionEnd {
    /// The TLS handshake failed: the client ended it, or speaks no version or suite that the agent accepts.
    NotSecured(io::Error),
    Closed(Result<(), hyper::Error>),
    TimedOut(ConnectionPhase),
    Evicted,
}

/// Serves requests until the client closes, a deadline passes, the connection is evicted for a newer one, or `stop`
/// becomes true.
pub(super) async fn drive<S>(
    stream: S,
    slot: ConnectionSlot,
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let end = match &service.web {
        Some(web) if web.is_secure() => {
            match tls_handshake(stream, &slot.watch, web, &service, stop.clone()).await {
                Ok(stream) => serve_http(stream, &slot, &service, stop).await,
                Err(end) => end,
            }
        }
        _ => serve_http(stream, &slot, &service, stop).await,
    };
    match end {
        ConnectionEnd::NotSecured(error) => {
            service.counters.count_handshake_failure();
            log::debug!("the TLS handshake with a client failed: {error}");
        }
        ConnectionEnd::TimedOut(ConnectionPhase::Head) => {
            service.counters.count_timeout(Timeout::Header)
        }
        ConnectionEnd::TimedOut(ConnectionPhase::Writing) => {
            service.counters.count_timeout(Timeout::Write)
        }
        ConnectionEnd::Closed(Err(error)) if error.is_parse() => {
            let too_large = error.is_parse_too_large();
            let code = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let code = if too_large {
                code
            } else {
                StatusCode::BAD_REQUEST
            };
            service.counters.count_request(code);
        }
        // Clients that finish, disappear or stay idle are normal and not counted.
        ConnectionEnd::TimedOut(ConnectionPhase::Idle | ConnectionPhase::Serving)
        | ConnectionEnd::Closed(_)
        | ConnectionEnd::Evicted => {}
    }
}

/// Returns the TLS stream if the handshake completes before the deadline of [`Watch`], an eviction or `stop`. The
/// configuration is the one that applies now: [`Web`] rereads changed files first. A client that does not speak TLS is refused.
async fn tls_handshake<S>(
    mut stream: S,
    watch: &Watch,
    web: &Arc<Web>,
    service: &Service,
    mut stop: watch::Receiver<bool>,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let accepted = async {
        let first = stream.read_u8().await?;
        if first != TLS_HANDSHAKE {
            refuse_plain(stream, service).await;
            return Ok(None);
        }
        let (reader, writer) = tokio::io::split(stream);
        let reader = AsyncReadExt::chain(io::Cursor::new([first]), reader);
        let stream = tokio::io::join(reader, writer);
        let access = web.current(&service.counters).await;
        let Some(config) = &access.tls else {
            // Unreachable: `Web` rejects a reread configuration without TLS if the first one had TLS.
            return Err(io::ErrorKind::Unsupported.into());
        };
        let acceptor = TlsAcceptor::from(Arc::clone(config));
        acceptor.accept(stream).await.map(Some)
    };
    let too_late = async {
        match watch.deadline() {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        accepted = accepted => match accepted {
            Ok(stream) => stream.ok_or(ConnectionEnd::Closed(Ok(()))),
            Err(error) => Err(ConnectionEnd::NotSecured(error)),
        },
        () = too_late => Err(ConnectionEnd::TimedOut(watch.now().0)),
        () = watch.evicted() => Err(ConnectionEnd::Evicted),
        _ = stop.wait_for(|stop| *stop) => Err(ConnectionEnd::Closed(Ok(()))),
    }
}

/// Answers a client that does not speak TLS. Then reads the rest of its request: otherwise closing would discard the answer.
async fn refuse_plain(mut stream: impl AsyncRead + AsyncWrite + Unpin, service: &Service) {
    service.counters.count_request(StatusCode::BAD_REQUEST);
    if stream.write_all(PLAIN_REFUSED).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut rest = stream.take(service.limits.header_bytes as u64);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }
}

/// Answers the requests on a connection until it ends. When `stop` becomes true, the request in progress is the last.
async fn serve_http<S>(
    stream: S,
    slot: &ConnectionSlot,
    service: &Arc<Service>,
    mut stop: watch::Receiver<bool>,
) -> ConnectionEnd
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = &slot.watch;
    let routes = service_fn(|mut request: Request<hyper::body::Incoming>| {
        let (service, watch) = (Arc::clone(service), Arc::clone(watch));
        async move { Ok::<_, Infallible>(respond(&service, &mut request, &watch).await) }
    });
    let io = TokioIo::new(Watched {
        stream,
        watch: Arc::clone(watch),
    });
    let mut connection = pin!(
        http1::Builder::new()
            .header_read_timeout(None) // the watch's deadlines cover it
            .half_close(true) // a client that only closed its sending side still wants the answer
            .max_buf_size(service.limits.header_bytes)
            .max_headers(service.limits.header_lines)
            .serve_connection(io, routes)
    );
    let mut stopped = pin!(async move { stop.wait_for(|stop| *stop).await.is_ok() });
    let mut stopping = false;
    let mut evicted = pin!(watch.evicted());
    let mut alarm = pin!(sleep_until(tokio::time::Instant::now()));

    // Polled by hand instead of `select!`: each step of the connection may move the deadline, also to an earlier
    // time.
    poll_fn(|cx| {
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(ConnectionEnd::Closed(result));
        }
        if evicted.as_mut().poll(cx).is_ready() {
            return Poll::Ready(ConnectionEnd::Evicted);
        }
        let Some(deadline) = watch.deadline() else {
            return Poll::Pending;
        };
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        alarm
            .as_mut()
            .poll(cx)
            .map(|()| ConnectionEnd::TimedOut(watch.now().0))
    })
    .await
}
