//! Messages to the service manager, if it asks for them (`NOTIFY_SOCKET`, `WATCHDOG_USEC`): systemd's `Type=notify`,
//! `Type=notify-reload` and `WatchdogSec=`.
//!
//! Each message is one short datagram. The agent opens the socket once, before the HTTP thread gives up the right to
//! open sockets. If the manager does not read, only the caller of [`Manager::tell`] waits.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::host::monotonic_ns;

/// Shortest pause between two watchdog messages, however short the watchdog interval.
const LEAST: Duration = Duration::from_millis(50);
/// How long a shutdown or a reload waits for the manager to take a message.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager that started the agent.
#[derive(Debug)]
pub(crate) struct Manager {
    /// `None` if there is no manager, or it cannot be reached.
    socket: Option<UnixDatagram>,
}

impl Manager {
    /// Connects to the manager that `NOTIFY_SOCKET` names. A failure is logged and leaves the agent without a
    /// manager.
    pub(crate) fn connect() -> Self {
        let path = std::env::var_os("NOTIFY_SOCKET");
        let socket = path.and_then(|path| {
            let warn =
                |error| log::warn!("cannot reach the service manager (NOTIFY_SOCKET): {error}");
            open(&path).map_err(warn).ok()
        });
        Self { socket }
    }

    /// Sends `state`: lines in the format of `sd_notify(3)`, such as `STATUS=…`. Without a manager this does nothing;
    /// a failure is logged.
    pub(crate) async fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes()).await
        {
            log::warn!("cannot send {state:?} to the service manager (NOTIFY_SOCKET): {error}");
        }
    }

    /// Reports the begin of a reload and its time, as `Type=notify-reload` requires.
    pub(crate) async fn reloading(&self) {
        let since_boot = Duration::from_nanos(monotonic_ns()).as_micros();
        self.hastily(&format!("RELOADING=1\nMONOTONIC_USEC={since_boot}"))
            .await;
    }

    /// Reports the end of a reload.
    pub(crate) async fn reloaded(&self) {
        self.hastily("READY=1").await;
    }

    /// Reports that the agent stops.
    pub(crate) async fn stopping(&self) {
        self.hastily("STOPPING=1").await;
    }

    /// Sends `state`, but waits at most [`PATIENCE`] for a manager that does not read.
    async fn hastily(&self, state: &str) {
        if timeout(PATIENCE, self.tell(state)).await.is_err() {
            log::warn!("the service manager does not read {state:?} (NOTIFY_SOCKET)");
        }
    }

    /// Reports that the agent is ready once the first pass is done, together with the accounting tier. Then, if there
    /// is a watchdog, reports that the agent is alive as long as `is_alive` answers yes; at half the watchdog's
    /// interval, so that one answer may be late. Never returns.
    pub(crate) async fn report<F>(
        &self,
        first_pass: oneshot::Receiver<String>,
        is_alive: impl Fn() -> F,
    ) where
        F: Future<Output = bool>,
    {
        // Without a first pass the run ends, and this future with it.
        let Ok(accounting) = first_pass.await else {
            return std::future::pending().await;
        };
        let state = format!("READY=1\nSTATUS=accounting: {accounting}");
        self.tell(&state).await;
        let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
        let Some(patience) = patience else {
            return std::future::pending().await;
        };
        let pause = (patience / 2).max(LEAST);
        loop {
            if is_alive().await {
                self.tell("WATCHDOG=1").await;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Opens a connected socket. Only for a connected one does the kernel wake the sender when the reader makes room.
fn open(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = net::UnixDatagram::unbound()?;
    socket.connect_addr(&address(path)?)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

/// The address of the socket: a path, or an abstract name if it starts with `@`.
fn address(path: &OsStr) -> io::Result<net::SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => net::SocketAddr::from_abstract_name(name),
        None => net::SocketAddr::from_pathname(path),
    }
}
