//! Signals: SIGHUP, and SIGTERM and SIGINT, which end a run. After the first of these two, open requests may finish;
//! a second one ends the process at once.
//!
//! The second one kills the process by its default action. So a shell sees that a signal ended the agent, and systemd
//! takes both signals for a clean exit.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives each SIGHUP from now on.
///
/// # Errors
/// The system refuses to install the handler, or there is no runtime.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Receives SIGTERM and SIGINT. As long as this exists, neither kills the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to receive both signals.
    ///
    /// # Errors
    /// The system refuses to install the handlers, or there is no runtime.
    pub fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ready when the first of the two signals arrives. From then on the next one kills the process, as long as the
    /// runtime runs.
    pub async fn first(mut self) {
        let (_, name) = self.next().await;
        log::info!("{name}: stopping");
        tokio::spawn(async move {
            let (signal, name) = self.next().await;
            log::warn!("{name} while stopping: exiting with open requests unanswered");
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
    // SAFETY: both functions take numbers. The default action replaces a handler of this process, and no code of the
    // process runs after the signal kills it.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    // The kernel does not kill the first process of a container by its own signal: exit with the code that a shell
    // would report.
    std::process::exit(128 + signal)
}
