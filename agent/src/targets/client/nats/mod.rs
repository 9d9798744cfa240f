//! A connection to a NATS server that only listens: it subscribes to subjects and publishes nothing.
//!
//! In: an address, credentials, TLS and subjects. Out: the messages, one at a time and from one buffer. There is no queue: if the
//! caller is slow, or the server sends more than [`MOST_A_SECOND`], TCP makes the server wait, and a server that has waited too
//! long closes the connection. The client ignores other servers that the server names. Left to others: the meaning of messages,
//! and when to connect again.

#[cfg(any(test, fuzzing))]
pub(in crate::targets) mod fuzzing;
mod said;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use said::{NatsSaid, said};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::tls::{InstanceTls, of_tls};
use crate::targets::failure::Failure;

/// The longest time until a connection is made and secured, and the server has accepted the subscriptions.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The agent sends PING after this time without a byte from the server, and closes the connection after the same time without an
/// answer.
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes that are read at once.
const READ: usize = 16 << 10;
/// Most bytes read in a second: twice the rate of the largest table if each of its entries is registered every 10 s.
const MOST_A_SECOND: usize = 4 << 20;

/// The address of a server, and the agent's credentials for it.
#[derive(Debug, Clone)]
pub(in crate::targets) struct NatsAddress {
    /// Its addresses, in the order in which they are tried.
    pub(in crate::targets) addresses: Vec<SocketAddr>,
    /// The certificate that the server must show; `None`: plain TCP.
    pub(in crate::targets) tls: Option<InstanceTls>,
}

/// A user and its password.
#[derive(Clone)]
pub(in crate::targets) struct NatsCredentials {
    pub(in crate::targets) user: String,
    pub(in crate::targets) password: String,
}

/// Why a connection failed or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::targets) struct NatsFault {
    pub(in crate::targets) failure: Failure,
    pub(in crate::targets) cause: String,
}

/// An event on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::targets) enum NatsHeard<'a> {
    /// The server has accepted the credentials and the subscriptions.
    Ready,
    /// A message of the subject with this index.
    Message(usize, &'a [u8]),
    /// A message longer than 64 KiB, which is skipped.
    TooLarge,
}

/// A connection with subscriptions.
pub(in crate::targets) struct NatsConnection {
    stream: Box<dyn NatsStream>,
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer that are processed.
    used: usize,
    /// Bytes to skip when they arrive.
    skip: usize,
    /// Whether the server has sent a PING that the agent has not answered.
    owes_pong: bool,
    /// Whether the agent has sent a PING and has received nothing since.
    is_asked: bool,
    /// When the server must have accepted the subscriptions; `None`: it has.
    greeted: Option<Instant>,
    /// When the current second began, and the bytes read in it.
    second: (Instant, usize),
}

trait NatsStream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> NatsStream for S {}

impl NatsConnection {
    /// Connects, and subscribes to `subjects`, which must be names without spaces. The first [`NatsHeard::Ready`] says that the
    /// server accepts that.
    ///
    /// # Errors
    /// The server is not there, speaks another protocol, or has no TLS where it must, or the other way round.
    pub(in crate::targets) async fn open(
        server: &NatsAddress,
        credentials: Option<&NatsCredentials>,
        subjects: &[&str],
    ) -> Result<Self, NatsFault> {
        let greeted = Instant::now() + HANDSHAKE;
        let opening = timeout_at(greeted, Self::secured(server)).await;
        let mut connection = opening.unwrap_or_else(|_| Err(late()))?;
        connection.greeted = Some(greeted);
        let connect = serde_json::json!({
            "verbose": false,
            "pedantic": false,
            "echo": false,
            "headers": false,
            "tls_required": server.tls.is_some(),
            "name": "headcount",
            "lang": "rust",
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": 0,
            "user": credentials.map(|credentials| &credentials.user),
            "pass": credentials.map(|credentials| &credentials.password),
        });
        let mut lines = format!("CONNECT {connect}\r\n");
        for (number, subject) in subjects.iter().enumerate() {
            lines.push_str(&format!("SUB {subject} {number}\r\n"));
        }
        lines.push_str("PING\r\n");
        connection.write(lines.as_bytes()).await?;
        connection.is_asked = true;
        Ok(connection)
    }

    /// Connects to the first address that accepts. Each address has an equal share of the time.
    async fn connected(addresses: &[SocketAddr]) -> Result<TcpStream, NatsFault> {
        let share = HANDSHAKE / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
        let mut last = fault(Failure::Unresolved, "the name of the server has no address");
        for address in addresses {
            last = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => of_stream(&error),
                Err(_) => late(),
            };
        }
        Err(last)
    }

    /// Connects, reads INFO, which the server sends first and always without TLS, and then begins TLS if the configuration wants
    /// it.
    async fn secured(server: &NatsAddress) -> Result<Self, NatsFault> {
        let mut stream = Self::connected(&server.addresses).await?;
        let mut buffer = Vec::new();
        let info = loop {
            let mut heard = said(&buffer).map_err(malformed)?;
            if let Some((NatsSaid::Info(info), length)) = heard {
                // No byte may follow: it would be taken for one received over TLS.
                if length == buffer.len() {
                    break info;
                }
                // But a server that refuses the connection says why, and closes it.
                heard = said(&buffer[length..]).map_err(malformed)?;
            }
            match heard {
                None => match stream.read_buf(&mut buffer).await {
                    Ok(0) => return Err(closed()),
                    Ok(_) => {}
                    Err(error) => return Err(of_stream(&error)),
                },
                Some((NatsSaid::Error(text), _)) => return Err(refused(&text)),
                Some(_) => return Err(malformed("something else than one INFO".to_owned())),
            }
        };
        let insecure = |cause: &str| Err(fault(Failure::Insecure, cause));
        match &server.tls {
            None if info.tls_required => {
                insecure("the server demands TLS; write tls:// in its URL")
            }
            None => Ok(Self::over(Box::new(stream))),
            Some(_) if !info.tls_required && !info.tls_available => {
                insecure("the server offers no TLS")
            }
            Some(tls) => {
                let secured = tls.secure(stream).await;
                let cause = "the certificate or the handshake is not acceptable";
                Ok(Self::over(Box::new(
                    secured.map_err(|failure| fault(failure, cause))?,
                )))
            }
        }
    }

    fn over(stream: Box<dyn NatsStream>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            used: 0,
            skip: 0,
            owes_pong: false,
            is_asked: false,
            greeted: None,
            second: (Instant::now(), 0),
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The connection has ended, or must end: the server sends an error, is silent, or violates the protocol.
    pub(in crate::targets) async fn next(&mut self) -> Result<NatsHeard<'_>, NatsFault> {
        loop {
            let Some((said, length)) = said(&self.buffer[self.used..]).map_err(malformed)? else {
                self.fill().await?;
                continue;
            };
            let start = self.used;
            self.pass(length);
            match said {
                NatsSaid::Info(_) | NatsSaid::Fine => {}
                // Several PINGs that arrive together get one PONG.
                NatsSaid::Ping => self.owes_pong = true,
                NatsSaid::Pong => {
                    self.greeted = None;
                    return Ok(NatsHeard::Ready);
                }
                NatsSaid::Error(text) => return Err(refused(&text)),
                NatsSaid::TooLarge => return Ok(NatsHeard::TooLarge),
                NatsSaid::Message(number, at) => {
                    let message = &self.buffer[start + at.start..start + at.end];
                    return Ok(NatsHeard::Message(number, message));
                }
            }
        }
    }

    /// Skips `length` bytes, including bytes that have not arrived yet.
    fn pass(&mut self, length: usize) {
        let there = length.min(self.buffer.len() - self.used);
        self.used += there;
        self.skip += length - there;
    }

    /// Waits for more bytes.
    async fn fill(&mut self) -> Result<(), NatsFault> {
        if self.owes_pong {
            self.write(b"PONG\r\n").await?;
            self.owes_pong = false;
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(READ);
        let count = loop {
            // A server that always has something to say is never late for a timer.
            if self.greeted.is_some_and(|end| end <= Instant::now()) {
                return Err(late());
            }
            match timeout_at(self.end(), self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => return Err(closed()),
                Ok(Ok(count)) => break count,
                Ok(Err(error)) => return Err(of_stream(&error)),
                Err(_) if self.is_asked || self.greeted.is_some() => return Err(late()),
                Err(_) => {
                    self.write(b"PING\r\n").await?;
                    self.is_asked = true;
                }
            }
        };
        self.is_asked = false;
        let skipped = self.skip.min(self.buffer.len());
        self.skip -= skipped;
        self.used = skipped;
        self.slow_down(count).await;
        Ok(())
    }

    /// How long the server may be silent.
    fn end(&self) -> Instant {
        self.greeted.unwrap_or_else(|| Instant::now() + SILENCE)
    }

    /// Notes that `count` bytes were read, and waits for the next second if there were too many.
    async fn slow_down(&mut self, count: usize) {
        const SECOND: Duration = Duration::from_secs(1);
        let (began, so_far) = self.second;
        self.second = match began.elapsed() < SECOND {
            true => (began, so_far + count),
            false => (Instant::now(), count),
        };
        match self.second.1 > MOST_A_SECOND {
            true => sleep_until(self.second.0 + SECOND).await,
            false => tokio::task::yield_now().await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), NatsFault> {
        let end = self.end();
        let stream = &mut self.stream;
        let writing = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match timeout_at(end, writing).await {
            Ok(written) => written.map_err(|error| of_stream(&error)),
            Err(_) => Err(late()),
        }
    }
}

/// The fault that the text of `-ERR` names. Servers differ in upper and lower case.
fn refused(text: &str) -> NatsFault {
    const REASONS: [(&str, Failure); 10] = [
        ("account auth", Failure::Denied),
        ("auth", Failure::Denied),
        ("credentials", Failure::Denied),
        ("permissions", Failure::Denied),
        ("user", Failure::Denied),
        ("connection throttling", Failure::Limit),
        ("maximum", Failure::Limit),
        ("slow", Failure::Limit),
        ("stale", Failure::Timeout),
        ("secure", Failure::Insecure),
    ];
    let lower = text.to_ascii_lowercase();
    let mut reasons = REASONS.iter();
    let reason = reasons.find(|(start, _)| lower.starts_with(start));
    let text: String = text.chars().take(100).collect();
    fault(
        reason.map_or(Failure::Malformed, |(_, failure)| *failure),
        &format!("the server says {text:?}"),
    )
}

fn fault(failure: Failure, cause: &str) -> NatsFault {
    NatsFault {
        failure,
        cause: cause.to_owned(),
    }
}

fn closed() -> NatsFault {
    fault(Failure::Refused, "the server closed the connection")
}

fn late() -> NatsFault {
    fault(Failure::Timeout, "the server does not answer")
}

fn malformed(what: String) -> NatsFault {
    fault(
        Failure::Malformed,
        &format!("not the protocol of NATS: {what}"),
    )
}

fn of_stream(error: &io::Error) -> NatsFault {
    fault(of_tls(error), &error.to_string())
}

impl std::fmt::Debug for NatsCredentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NatsCredentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
