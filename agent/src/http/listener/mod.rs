//! Sockets that listen: TCP and Unix, bound here or passed by systemd. What is accepted is served alike.

mod directories;
mod passed;
mod tcp;
mod unix;

use std::fmt;
use std::io;
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::origin::Origin;
use crate::config::ListenAddress;
use unix::SocketFile;

/// Bytes that the kernel takes for one connection beyond what it can send.
const NOT_SENT: u32 = 128 * 1024;

/// A socket that listens. Dropping it closes it, and removes the file of a Unix socket that was bound here.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix {
        socket: UnixListener,
        /// `None` if systemd made the socket. Only dropped, never read.
        _file: Option<SocketFile>,
    },
}

/// A connection, of whatever kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why there is no socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {reason}")]
pub struct BindError {
    /// The flag, and the address if there is one.
    flag: String,
    /// What is wrong, and what to do.
    reason: String,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address cannot be had; the error says what to do.
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

    /// All sockets that systemd passed to this process. They are taken: call this once.
    ///
    /// # Errors
    /// There is none, or something else was passed; the error says what to do.
    pub fn passed() -> Result<Vec<Self>, BindError> {
        passed::take().map_err(|reason| BindError {
            flag: "--web.systemd-socket".to_owned(),
            reason,
        })
    }

    /// Scheme and authority of a URL that leads here from this machine, as far as there is one.
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
            // curl and others take the socket beside the URL.
            None => format!("{scheme}://localhost"),
        }
    }

    /// The next connection, and where it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Stream>, Origin)> {
        match &self.0 {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // Only a matter of speed.
                let _ = stream.set_nodelay(true);
                // What a client does not read waits in memory that clients share, not in the kernel once for each.
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(NOT_SENT);
                Ok((Box::new(stream), peer.ip().into()))
            }
            Socket::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                Ok((Box::new(stream), Origin::Local))
            }
        }
    }

    /// Whether a connection waits to be accepted. Without a free descriptor the kernel refuses to accept before it looks.
    pub(super) fn is_asked(&self) -> bool {
        let socket = match &self.0 {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix { socket, .. } => socket.as_fd(),
        };
        let mut wanted = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        // What cannot be told is taken for yes.
        poll(&mut wanted, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self(Socket::Tcp(socket))
    }
}

impl fmt::Display for Listener {
    /// The address as `--web.listen-address` takes it.
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
