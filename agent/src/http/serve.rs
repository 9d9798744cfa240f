//! Accepts connections until told to stop, then lets the open ones finish.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Site;
use super::connection::drive;
use super::slots::Slots;

/// Serves `site` on `listener` until `shutdown` is ready; then closes the listener, and returns when the open requests
/// are answered or [`super::Limits::drain`] is over.
pub async fn serve(listener: TcpListener, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
    let slots = Slots::new(site.limits.clone(), Arc::clone(&site.statistics));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Takes the finished ones away.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A full house: dropping the stream closes it.
                if let Some(slot) = slots.take(peer.ip().into()) {
                    // Only a matter of speed.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(drive(stream, slot, Arc::clone(&site), stopped.clone()));
                }
                // What it sent is read before others come, else those of a flood would have it give way unheard.
                tokio::task::yield_now().await;
            }
            Err(error) if concerns_client(&error) => {}
            Err(error) => {
                site.statistics.count_accept_error();
                log::debug!("cannot accept a connection: {error}");
                if slots.make_room() {
                    tokio::task::yield_now().await; // for the one that gave way to close
                    continue;
                }
                // The new one stays in the backlog and accept would fail again at once.
                tokio::select! {
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(site.limits.accept_pause) => {}
                }
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let finish = async { while connections.join_next().await.is_some() {} };
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

/// Whether the client took its connection back, as opposed to our running out of something.
fn concerns_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
