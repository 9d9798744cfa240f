//! Accepts connections until told to stop, then lets the open ones finish.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::drive;
use super::slots::Slots;
use super::{Listener, Site};

/// Serves `site` on all `listeners` until `shutdown` is ready; then closes them, and returns when the open requests
/// are answered or [`super::Limits::drain`] is over. The listeners share the limits.
pub async fn serve(listeners: Vec<Listener>, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
    let slots = Slots::new(site.limits.clone(), Arc::clone(&site.statistics));
    let (stop, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    for listener in listeners {
        serving.spawn(serve_one(
            listener,
            Arc::clone(&site),
            Arc::clone(&slots),
            stopped.clone(),
        ));
    }
    tokio::select! {
        () = shutdown => {}
        // None ends by itself. If there is a bug in one, the agent must not go on without it.
        Some(Err(error)) = serving.join_next() => {
            if let Ok(panic) = error.try_into_panic() {
                resume_unwind(panic);
            }
        }
    }
    stop.send_replace(true);
    let finish = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(site.limits.drain, finish)
        .await
        .is_err()
    {
        log::warn!(
            "connections still open {} s after the stop",
            site.limits.drain.as_secs_f64()
        );
    }
}

/// Dropped, it ends its connections.
async fn serve_one(
    listener: Listener,
    site: Arc<Site>,
    slots: Arc<Slots>,
    stop: watch::Receiver<bool>,
) {
    let mut stopped = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            // Takes the finished ones away.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, origin)) => {
                // A full house: dropping the stream closes it.
                if let Some(slot) = slots.take(origin) {
                    connections.spawn(drive(stream, slot, Arc::clone(&site), stop.clone()));
                }
                // What it sent is read before others come, else those of a flood would have it give way unheard.
                tokio::task::yield_now().await;
            }
            Err(error) if concerns_client(&error) => {}
            Err(error) => {
                if listener.is_asked() {
                    site.statistics.count_accept_error();
                    log::debug!("cannot accept a connection: {error}");
                    if slots.make_room() {
                        tokio::task::yield_now().await; // for the one that gave way to close
                        continue;
                    }
                }
                // A new one stays in the backlog and accept would fail again at once.
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => break,
                    () = tokio::time::sleep(site.limits.accept_pause) => {}
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Whether the client took its connection back, as opposed to our running out of something.
fn concerns_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
