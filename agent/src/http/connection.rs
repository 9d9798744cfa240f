//! One connection from its first byte to its last.

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

use super::handshake::secured;
use super::phase::Phase;
use super::slots::Slot;
use super::stream::Watched;
use super::{Site, Timeout};

/// How a connection ended.
pub(super) enum End {
    /// The client does not speak TLS, or not to us.
    NotSecured(io::Error),
    Closed(Result<(), hyper::Error>),
    TimedOut(Phase),
    Evicted,
}

/// Serves requests until the client, a deadline, a newer connection or `stop` ends it.
pub(super) async fn drive<S>(stream: S, slot: Slot, site: Arc<Site>, stop: watch::Receiver<bool>)
where
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
            site.statistics.count_handshake_failure();
            log::debug!("no TLS with a client: {error}");
        }
        End::TimedOut(Phase::Head) => site.statistics.count_timeout(Timeout::Header),
        End::TimedOut(Phase::Writing) => site.statistics.count_timeout(Timeout::Write),
        End::Closed(Err(error)) if error.is_parse() => {
            let too_large = error.is_parse_too_large();
            let code = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let code = if too_large {
                code
            } else {
                StatusCode::BAD_REQUEST
            };
            site.statistics.count_request(code);
        }
        // Clients that are done, vanish or stay idle are everyday.
        End::TimedOut(Phase::Idle | Phase::Serving) | End::Closed(_) | End::Evicted => {}
    }
}

async fn run<S>(stream: S, slot: &Slot, site: &Arc<Site>, mut stop: watch::Receiver<bool>) -> End
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
            .half_close(true) // who only stops sending still wants the answer
            .max_buf_size(site.limits.header_bytes)
            .max_headers(site.limits.header_lines)
            .serve_connection(io, service)
    );
    let mut stopped = pin!(async move { stop.wait_for(|stop| *stop).await.is_ok() });
    let mut stopping = false;
    let mut evicted = pin!(watch.evicted());
    let mut alarm = pin!(sleep_until(tokio::time::Instant::now()));

    // By hand and not by `select!`: each step of the connection may move the deadline, nearer too.
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
