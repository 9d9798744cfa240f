//! One connection, from accept to close: TLS if configured, then HTTP/1.
//!
//! In: a stream, its [`ConnectionSlot`] and the [`Site`]. Out: responses, and counts of how the connection ended. Deadlines
//! come from the slot's [`Watch`](super::admission::Watch); routes are the [`Site`]'s.

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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::admission::{ConnectionSlot, Phase, Watched};
use super::handshake::secured;
use super::{Site, Timeout};

/// How a connection ended.
pub(super) enum End {
    /// The TLS handshake failed: the client does not speak TLS, or not a version or suite that the agent accepts.
    NotSecured(io::Error),
    Closed(Result<(), hyper::Error>),
    TimedOut(Phase),
    Evicted,
}

/// Serves requests until the client closes, a deadline passes, the connection is evicted for a newer one, or `stop`
/// becomes true.
pub(super) async fn drive<S>(
    stream: S,
    slot: ConnectionSlot,
    site: Arc<Site>,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let end = match &site.web {
        Some(web) if web.is_secure() => {
            match secured(stream, &slot.watch, web, &site, stop.clone()).await {
                Ok(stream) => run(stream, &slot, &site, stop).await,
                Err(end) => end,
            }
        }
        _ => run(stream, &slot, &site, stop).await,
    };
    match end {
        End::NotSecured(error) => {
            site.counters.count_handshake_failure();
            log::debug!("the TLS handshake with a client failed: {error}");
        }
        End::TimedOut(Phase::Head) => site.counters.count_timeout(Timeout::Header),
        End::TimedOut(Phase::Writing) => site.counters.count_timeout(Timeout::Write),
        End::Closed(Err(error)) if error.is_parse() => {
            let too_large = error.is_parse_too_large();
            let code = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let code = if too_large {
                code
            } else {
                StatusCode::BAD_REQUEST
            };
            site.counters.count_request(code);
        }
        // Clients that finish, disappear or stay idle are normal and not counted.
        End::TimedOut(Phase::Idle | Phase::Serving) | End::Closed(_) | End::Evicted => {}
    }
}

async fn run<S>(
    stream: S,
    slot: &ConnectionSlot,
    site: &Arc<Site>,
    mut stop: watch::Receiver<bool>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = &slot.watch;
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let (site, watch) = (Arc::clone(site), Arc::clone(watch));
        async move { Ok::<_, Infallible>(site.respond(&request, &watch).await) }
    });
    let io = TokioIo::new(Watched {
        stream,
        watch: Arc::clone(watch),
    });
    let mut connection = pin!(
        http1::Builder::new()
            .header_read_timeout(None) // the watch's deadlines cover it
            .half_close(true) // a client that only closed its sending side still wants the answer
            .max_buf_size(site.limits.header_bytes)
            .max_headers(site.limits.header_lines)
            .serve_connection(io, service)
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
            return Poll::Ready(End::Closed(result));
        }
        if evicted.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Evicted);
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
            .map(|()| End::TimedOut(watch.now().0))
    })
    .await
}
