//! The accept loops: they accept connections until shutdown, then wait for the open ones to finish.
//!
//! In: listeners, the [`Service`] and a shutdown future. Each accepted connection gets a [slot](ConnectionSlots) and a tokio task
//! that runs [`drive`]. Left to others: serving a connection, and the choice of the connection that closes when all slots are
//! taken.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::ConnectionSlots;
use super::connection::drive;
use super::{Listener, Service};

/// Serves `service` on all `listeners` until `shutdown` is ready. Then it closes the listeners and returns when the open
/// requests are answered or [`super::Limits::drain`] is over. All listeners share the limits.
pub async fn serve(
    listeners: Vec<Listener>,
    service: Arc<Service>,
    shutdown: impl Future<Output = ()>,
) {
    let slots = ConnectionSlots::new(service.limits.clone(), Arc::clone(&service.counters));
    let (stop, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    for listener in listeners {
        serving.spawn(serve_one(
            listener,
            Arc::clone(&service),
            Arc::clone(&slots),
            stopped.clone(),
        ));
    }
    tokio::select! {
        () = shutdown => {}
        // No accept loop ends by itself. If one panics, the agent must not go on without it.
        Some(Err(error)) = serving.join_next() => {
            if let Ok(panic) = error.try_into_panic() {
                resume_unwind(panic);
            }
        }
    }
    stop.send_replace(true);
    let finish = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(service.limits.drain, finish)
        .await
        .is_err()
    {
        log::warn!(
            "closing the connections that are still open {} s after the stop",
            service.limits.drain.as_secs_f64()
        );
    }
}

/// Accepts connections on one listener. Dropping the future ends its connections.
async fn serve_one(
    listener: Listener,
    service: Arc<Service>,
    slots: Arc<ConnectionSlots>,
    stop: watch::Receiver<bool>,
) {
    let mut stopped = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            // Reaps the tasks of finished connections.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, origin)) => {
                // Without a slot, dropping the stream closes the connection.
                if let Some(slot) = slots.take(origin) {
                    connections.spawn(drive(stream, slot, Arc::clone(&service), stop.clone()));
                }
                // Lets the new connection read what its client has sent before the next accept. Otherwise, in a
                // flood, the connection would be evicted before its request is read.
                tokio::task::yield_now().await;
            }
            Err(error) if is_client_abort(&error) => {}
            Err(error) => {
                if listener.has_waiting_connection() {
                    service.counters.count_accept_error();
                    log::debug!("cannot accept a connection: {error}");
                    if slots.evict_one() {
                        tokio::task::yield_now().await; // lets the evicted connection close
                        continue;
                    }
                }
                // The new connection stays in the backlog, so another accept would fail at once.
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => break,
                    () = tokio::time::sleep(service.limits.accept_pause) => {}
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Whether the client aborted its connection, as opposed to the agent being out of a resource.
fn is_client_abort(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
