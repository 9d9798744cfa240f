//! Listening sockets, TCP and Unix, bound by the agent or passed by systemd. Accepted connections are served alike.
//!
//! In: a [`ListenAddress`], or the sockets that systemd passed. Out: [`Listener`], or a [`BindError`] that says how
//! to fix it.

mod directories;
mod passed;
mod tcp;
mod unix;

use std::os::fd::AsFd as _;
use std::{fmt, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use unix::SocketFile;

use super::admission::ClientOrigin;
use crate::config::ListenAddress;

/// Unsent bytes that the kernel buffers for one connection (`TCP_NOTSENT_LOWAT`).
const NOT_SENT: u32 = 128 * 1024;

/// A listening socket. Dropping it closes it, and removes the file of a Unix socket that the agent bound.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix {
        socket: UnixListener,
        /// `None` if systemd created the socket. Kept only to be dropped.
        _file: Option<SocketFile>,
    },
}

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why the agent has no listening socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {reason}")]
pub struct BindError {
    /// The flag, with its address if there is one.
    flag: String,
    /// The reason, and how to fix it.
    reason: String,
}

impl Listener {
    /// Binds `address` and listens on it.
    ///
    /// # Errors
    /// The address cannot be bound; the error says how to fix it.
    pub async fn bind(address: &ListenAddress) -> Result<Self, BindError> {
        let bound = match address {
            ListenAddress::Tcp(tcp) => tcp::bind(tcp).await.map(Socket::Tcp),
            ListenAddress::Unix(path) => unix::bind(path).map(|(socket, file)| Socket::Unix {
                socket,
                _file: Some(file),
            }),
        };
        bound.map(Self).map_err(|reason| BindError {
            flag: format!("--web.listen-address {address}"),
            reason,
        })
    }

    /// Takes over all sockets that systemd passed to this process. Call this once only.
    ///
    /// # Errors
    /// No socket was passed, or a descriptor is no listening socket; the error says how to fix it.
    pub fn passed() -> Result<Vec<Self>, BindError> {
        passed::take().map_err(|reason| BindError {
            flag: "--web.systemd-socket".to_owned(),
            reason,
        })
    }

    /// Scheme and authority of a URL that reaches this listener from this machine. A Unix socket has none; it gets
    /// `localhost`.
    pub fn url(&self, is_secure: bool) -> String {
        let scheme = if is_secure { "https" } else { "http" };
        let address = match &self.0 {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Unix { .. } => None,
        };
        match address {
            Some(address) if address.ip().is_unspecified() => {
                format!("{scheme}://localhost:{}", address.port())
            }
            Some(address) => format!("{scheme}://{address}"),
            // Clients such as curl take the socket's path in addition to the URL.
            None => format!("{scheme}://localhost"),
        }
    }

    /// Accepts the next connection, and returns its origin.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Stream>, ClientOrigin)> {
        match &self.0 {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // Failure costs latency only.
                let _ = stream.set_nodelay(true);
                // Data that a client does not read shall wait in the memory of answers, which is shared and bounded,
                // not in a kernel buffer for each connection.
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(NOT_SENT);
                Ok((Box::new(stream), peer.ip().into()))
            }
            Socket::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                Ok((Box::new(stream), ClientOrigin::Local))
            }
        }
    }

    /// Whether a connection waits to be accepted. An error of `accept` does not show that: without a free descriptor
    /// it fails before the kernel checks for a connection.
    pub(super) fn has_waiting_connection(&self) -> bool {
        let socket = match &self.0 {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix { socket, .. } => socket.as_fd(),
        };
        let mut wanted = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        // If `poll` fails, assume that one waits.
        poll(&mut wanted, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self(Socket::Tcp(socket))
    }
}

impl fmt::Display for Listener {
    /// The address in the syntax of `--web.listen-address`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Socket::Tcp(socket) => match socket.local_addr() {
                Ok(address) => address.fmt(f),
                Err(error) => error.fmt(f),
            },
            Socket::Unix { socket, .. } => match socket.local_addr() {
                Ok(address) => match address.as_pathname() {
                    Some(path) => write!(f, "unix:{}", path.display()),
                    None => f.write_str("unix socket without a path"),
                },
                Err(error) => error.fmt(f),
            },
        }
    }
}
