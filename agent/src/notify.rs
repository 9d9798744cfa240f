//! What the service manager is told, if it wants to be (`NOTIFY_SOCKET`, `WATCHDOG_USEC`): systemd's `Type=notify` and
//! `WatchdogSec=`.
//!
//! Each message is one short datagram. The socket is opened once, before the thread of HTTP gives up what it does not need to
//! answer. A manager that does not read holds up whoever waits for [`Manager::tell`], and nobody else.

use crate::{host::monotonic_ns, http::Owner};
use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{ffi::OsStrExt as _, net},
    },
    time::Duration,
};
use tokio::{net::UnixDatagram, sync::oneshot, time::timeout};

/// Pause between two signs of life, however impatient the watchdog.
const LEAST: Duration = Duration::from_millis(50);
/// How long a stop waits for the manager to be told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who started the agent, and wants to know how it does.
#[derive(Debug)]
pub(crate) struct Manager {
    /// `None`: nobody wants to know, or can be told.
    socket: Option<UnixDatagram>,
}

impl Manager {
    /// Whom the environment names. One that cannot be reached is in the log.
    pub(crate) fn connect() -> Self {
        let path = std::env::var_os("NOTIFY_SOCKET");
        let socket = path.and_then(|path| {
            let warn =
                |error| log::warn!("the service manager cannot be told (NOTIFY_SOCKET): {error}");
            open(&path).map_err(warn).ok()
        });
        Self { socket }
    }

    /// Tells `state`: lines as `sd_notify(3)` has them, such as `STATUS=…`. Without a manager nothing happens; what cannot be told
    /// is in the log.
    pub(crate) async fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes()).await
        {
            log::warn!("the service manager cannot be told {state:?} (NOTIFY_SOCKET): {error}");
        }
    }

    /// Tells that a reload begins, and when, as `Type=notify-reload` wants it.
    pub(crate) async fn reloading(&self) {
        let since_boot = Duration::from_nanos(monotonic_ns()).as_micros();
        self.hastily(&format!("RELOADING=1\nMONOTONIC_USEC={since_boot}"))
            .await;
    }

    /// Tells that it is over.
    pub(crate) async fn reloaded(&self) {
        self.hastily("READY=1").await;
    }

    /// Tells that the agent stops.
    pub(crate) async fn stopping(&self) {
        self.hastily("STOPPING=1").await;
    }

    /// A manager that reads nothing holds this up for a moment only.
    async fn hastily(&self, state: &str) {
        if timeout(PATIENCE, self.tell(state)).await.is_err() {
            log::warn!("the service manager does not read {state:?} (NOTIFY_SOCKET)");
        }
    }

    /// Tells that the agent is ready when the first pass is done, and how it accounts; then, if a watchdog wants to know, that it
    /// is alive, as long as the owner of the state answers. Twice as often as need be: one answer may come late. Never ends.
    pub(crate) async fn report(&self, first_pass: oneshot::Receiver<String>, owner: Owner) {
        // Without a first pass the run ends, and with it this.
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
            if owner.health().await.is_ok() {
                self.tell("WATCHDOG=1").await;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Connected, because only then the kernel wakes who waits for the reader.
fn open(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = net::UnixDatagram::unbound()?;
    socket.connect_addr(&address(path)?)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

/// A path, or behind an `@` an abstract name.
fn address(path: &OsStr) -> io::Result<net::SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => net::SocketAddr::from_abstract_name(name),
        None => net::SocketAddr::from_pathname(path),
    }
}
