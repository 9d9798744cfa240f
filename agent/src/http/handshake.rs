//! The beginning of a connection that is to be secured.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::End;
use super::phase::Watch;
use super::{Site, Web};

/// The secured stream, if the client comes to it before a deadline, a newer connection or `stop`. The time it takes is that of the
/// first request's header.
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
        let access = web.current(&site.statistics).await;
        let Some(config) = &access.tls else {
            // Cannot be: what is read again has TLS as well.
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
