//! What the service manager is told, if it wants to be (`NOTIFY_SOCKET`, `WATCHDOG_USEC`): systemd's `Type=notify` and
//! `WatchdogSec=`.
//!
//! Each message is one short datagram. A manager that reads none holds up whoever waits for [`tell`], and nobody else.

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

/// Tells `state`: lines as `sd_notify(3)` has them, such as `STATUS=…`. Without a manager nothing happens; one that cannot be
/// told is in the log.
pub(crate) async fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&path, state).await {
        log::warn!("the service manager cannot be told {state:?} (NOTIFY_SOCKET): {error}");
    }
}

/// Connected, because only then the kernel wakes who waits for the reader.
async fn send(path: &OsStr, state: &str) -> io::Result<()> {
    let socket = net::UnixDatagram::unbound()?;
    socket.connect_addr(&address(path)?)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)?
        .send(state.as_bytes())
        .await?;
    Ok(())
}

/// A path, or behind an `@` an abstract name.
fn address(path: &OsStr) -> io::Result<net::SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => net::SocketAddr::from_abstract_name(name),
        None => net::SocketAddr::from_pathname(path),
    }
}

/// Tells that a reload begins, and when, as `Type=notify-reload` wants it.
pub(crate) async fn reloading() {
    let since_boot = Duration::from_nanos(monotonic_ns()).as_micros();
    hastily(&format!("RELOADING=1\nMONOTONIC_USEC={since_boot}")).await;
}

/// Tells that it is over.
pub(crate) async fn reloaded() {
    hastily("READY=1").await;
}

/// Tells that the agent stops.
pub(crate) async fn stopping() {
    hastily("STOPPING=1").await;
}

/// A manager that reads nothing holds this up for a moment only.
async fn hastily(state: &str) {
    if timeout(PATIENCE, tell(state)).await.is_err() {
        log::warn!("the service manager does not read {state:?} (NOTIFY_SOCKET)");
    }
}

/// Tells that the agent is ready when the first pass is done, and how it accounts; then, if a watchdog wants to know, that it is
/// alive, as long as the owner of the state answers. Twice as often as need be: one answer may come late. Never ends.
pub(crate) async fn report(first_pass: oneshot::Receiver<String>, owner: Owner) {
    // Without a first pass the run ends, and with it this.
    let Ok(accounting) = first_pass.await else {
        return std::future::pending().await;
    };
    tell(&format!("READY=1\nSTATUS=accounting: {accounting}")).await;
    let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
    let Some(patience) = patience else {
        return std::future::pending().await;
    };
    let pause = (patience / 2).max(LEAST);
    loop {
        if owner.health().await.is_ok() {
            tell("WATCHDOG=1").await;
        }
        tokio::time::sleep(pause).await;
    }
}
