//! SIGHUP, and what ends a run: SIGTERM or SIGINT, after which open requests may finish; a second one ends it at once.
//!
//! The second one kills, as it would have killed if nobody watched for it: a shell sees that the agent was interrupted, and
//! systemd takes both signals for a clean end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Each SIGHUP from now on.
///
/// # Errors
/// The system refuses to watch, or there is no runtime.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Watches for both signals. From the moment this exists neither kills.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system refuses to, or there is no runtime.
    pub fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ready when the first comes. From then on the next kills, as long as the runtime runs.
    pub async fn first(mut self) {
        let (_, name) = self.next().await;
        log::info!("{name}: stopping");
        tokio::spawn(async move {
            let (signal, name) = self.next().await;
            log::warn!("{name} while stopping: ending without the requests that are open");
            die_of(signal);
        });
    }

    async fn next(&mut self) -> (libc::c_int, &'static str) {
        tokio::select! {
            _ = self.terminate.recv() => (libc::SIGTERM, "SIGTERM"),
            _ = self.interrupt.recv() => (libc::SIGINT, "SIGINT"),
        }
    }
}

fn die_of(signal: libc::c_int) -> ! {
    // SAFETY: both take numbers; the disposition that goes is ours, and nothing of this process runs after it is killed.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    // A container's first process is not killed by its own signals: the code that a shell would have made of it.
    std::process::exit(128 + signal)
}
