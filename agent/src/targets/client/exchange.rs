//! HTTP/1.1 over one stream: one request after another, with a bound on all bytes read for an answer.
//!
//! In: a connected stream, and requests without a body. Out: the heads of the answers; the caller reads the bodies while
//! [`Exchange::ask`] runs the connection. Left to others: the meaning of an answer, and the bound of its body.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::targets::failure::Failure;

/// Most bytes read up to the end of a head: interim answers (1xx) and the head itself.
pub(super) const MOST_HEAD: usize = 16 << 10;

/// A stream for requests and their answers.
pub(super) struct Exchange<S: AsyncRead + AsyncWrite + Unpin> {
    requests: SendRequest<Empty<Bytes>>,
    /// Reads and writes while an answer is awaited; `None` after the end of the connection.
    driver: Option<Driver<S>>,
    /// Bytes that may still be read.
    left: Arc<AtomicUsize>,
}

type Driver<S> = http1::Connection<TokioIo<Metered<S>>, Empty<Bytes>>;

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// # Errors
    /// As [`of_http`]. Sends nothing before the first request.
    pub(super) async fn over(stream: S) -> Result<Self, Failure> {
        let left = Arc::new(AtomicUsize::new(0));
        let metered = Metered {
            stream,
            left: Arc::clone(&left),
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MOST_HEAD);
        let shaken = builder.handshake(TokioIo::new(metered)).await;
        let (requests, driver) = shaken.map_err(|error| of_http(&error))?;
        Ok(Self {
            requests,
            driver: Some(driver),
            left,
        })
    }

    /// Sends a request and passes the answer to `judge`, which reads it. Reads at most `most_framed` bytes after the head. If the
    /// request succeeds, the stream stays open for the next one.
    ///
    /// # Errors
    /// The error of `judge`, or as [`of_http`].
    pub(super) async fn ask<T>(
        &mut self,
        request: Request<Empty<Bytes>>,
        most_framed: usize,
        judge: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.left.store(MOST_HEAD, Relaxed);
        let (requests, left) = (&mut self.requests, &self.left);
        let mut answer = pin!(async {
            requests.ready().await.map_err(|error| of_http(&error))?;
            let answer = requests.send_request(request).await;
            let answer = answer.map_err(|error| of_http(&error))?;
            left.store(most_framed, Relaxed);
            judge(answer).await
        });
        let driver = &mut self.driver;
        poll_fn(|context| {
            // Its result adds nothing to the answer.
            if let Some(running) = driver
                && Pin::new(running).poll(context).is_ready()
            {
                *driver = None;
            }
            answer.as_mut().poll(context)
        })
        .await
    }
}

/// The reason for which an exchange ended.
pub(super) fn of_http(error: &hyper::Error) -> Failure {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause {
        Some(cause) => of_io(cause),
        None if error.is_parse_too_large() => Failure::TooLarge,
        // The target has closed the connection before the request was sent.
        None if error.is_canceled() || error.is_closed() => Failure::Refused,
        None => Failure::Malformed,
    }
}

/// The reason for which a socket failed.
pub(in crate::targets) fn of_io(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::Gone,
        ErrorKind::PermissionDenied => Failure::Denied,
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::AddrNotAvailable
        | ErrorKind::BrokenPipe
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable => Failure::Refused,
        ErrorKind::TimedOut => Failure::Timeout,
        ErrorKind::FileTooLarge => Failure::TooLarge,
        _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Failure::Limit,
        _ => Failure::Malformed,
    }
}

/// A stream of which a bounded number of bytes is read.
///
/// hyper bounds a head and a body, but neither the number of interim answers nor the bytes between the chunks of a body.
struct Metered<S> {
    stream: S,
    /// Bytes that may still be read; the last read may take one buffer more.
    left: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.left.load(Relaxed);
        if left == 0 {
            return Poll::Ready(Err(ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        self.left.store(left.saturating_sub(count), Relaxed);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
