//! The TLS handshake of a new connection. Its time counts towards the header of the first request.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::admission::Watch;
use super::connection::End;
use super::{Site, Web};

/// Returns the TLS stream if the handshake completes before the deadline of [`Watch`], an eviction or `stop`. The
/// configuration is the one that applies now: [`Web`] rereads changed files first.
pub(super) async fn secured<S>(
    stream: S,
    watch: &Watch,
    web: &Arc<Web>,
    site: &Site,
    mut stop: watch::Receiver<bool>,
) -> Result<TlsStream<S>, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = async {
        let access = web.current(&site.counters).await;
        let Some(config) = &access.tls else {
            // Unreachable: `Web` rejects a reread configuration without TLS if the first one had TLS.
            return Err(io::ErrorKind::Unsupported.into());
        };
        TlsAcceptor::from(Arc::clone(config)).accept(stream).await
    };
    let too_late = async {
        match watch.deadline() {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        accepted = accepted => accepted.map_err(End::NotSecured),
        () = too_late => Err(End::TimedOut(watch.now().0)),
        () = watch.evicted() => Err(End::Evicted),
        _ = stop.wait_for(|stop| *stop) => Err(End::Closed(Ok(()))),
    }
}
