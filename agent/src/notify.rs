//! What the service manager is told, if it wants to be (`NOTIFY_SOCKET`, `WATCHDOG_USEC`): systemd's `Type=notify` and
//! `WatchdogSec=`.
//!
//! Each message is one short datagram to a socket of the manager's, which reads it as soon as it comes.

use crate::{host::monotonic_ns, http::Owner};
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::sync::oneshot;

/// Pause between two signs of life, however impatient the watchdog.
const LEAST: Duration = Duration::from_millis(50);

/// Tells `state`: lines as `sd_notify(3)` has them, such as `STOPPING=1`. Without a manager nothing happens; one that cannot be
/// told is in the log.
pub(crate) fn tell(state: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Custom(state)]) {
        log::warn!("the service manager cannot be told {state:?} (NOTIFY_SOCKET): {error}");
    }
}

/// Tells that a reload begins, and when, as `Type=notify-reload` wants it; `READY=1` is told when it is over.
pub(crate) fn reloading() {
    let since_boot = Duration::from_nanos(monotonic_ns()).as_micros();
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={since_boot}"));
}

/// Tells that the agent is ready when the first pass is done, and how it accounts; then, if a watchdog wants to know, that it is
/// alive, as long as the owner of the state answers. Twice as often as need be: one answer may come late. Never ends.
pub(crate) async fn report(first_pass: oneshot::Receiver<String>, owner: Owner) {
    // Without a first pass the run ends, and with it this.
    let Ok(accounting) = first_pass.await else {
        return std::future::pending().await;
    };
    tell(&format!("READY=1\nSTATUS=accounting: {accounting}"));
    let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
    let Some(patience) = patience else {
        return std::future::pending().await;
    };
    let pause = (patience / 2).max(LEAST);
    loop {
        if owner.health().await.is_ok() {
            tell("WATCHDOG=1");
        }
        tokio::time::sleep(pause).await;
    }
}
