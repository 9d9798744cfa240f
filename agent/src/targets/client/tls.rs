//! TLS to instances: the authorities that are trusted, and the handshake.
//!
//! In: certificates in PEM, a connected stream, and the name that the certificate must have. Out: the secured stream.
//! Verification cannot be turned off.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::exchange::of_io;
use crate::config::HostPort;
use crate::targets::failure::Failure;

/// The files in which systems keep the authorities that they trust.
const SYSTEM: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// The authorities that may sign certificates of instances. Clones share them.
#[derive(Clone)]
pub(in crate::targets) struct Authorities(Arc<ClientConfig>);

/// The certificate that one instance must show.
#[derive(Clone)]
pub(in crate::targets) struct InstanceTls {
    authorities: Authorities,
    name: ServerName<'static>,
}

impl Authorities {
    /// Reads the authorities in `file`, by default those that the system trusts; none if the system has no such file.
    ///
    /// # Errors
    /// The file cannot be read, or has no valid certificate.
    pub(in crate::targets) fn read(file: Option<&Path>) -> Result<Self, String> {
        Self::with_identity(file, None)
    }

    /// Reads the authorities as [`Self::read`] does, and the certificate that the agent shows, with its key.
    ///
    /// # Errors
    /// A file cannot be read, or has no valid certificate or key.
    pub(in crate::targets) fn with_identity(
        file: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, String> {
        let system = || {
            SYSTEM
                .into_iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
        };
        let mut roots = RootCertStore::empty();
        if let Some(path) = file.map(Path::to_owned).or_else(system) {
            roots.add_parsable_certificates(certificates(&path)?);
            if roots.is_empty() {
                return Err(format!("{}: no certificate", path.display()));
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = builder.with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, path)) => {
                let fault = |error: &dyn Display| format!("{}: {error}", path.display());
                let key = PrivateKeyDer::from_pem_file(path).map_err(|error| fault(&error))?;
                let config = builder.with_client_auth_cert(certificates(certificate)?, key);
                config.map_err(|error| fault(&error))?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// The certificate that an instance must show: one for `name`, by default for the host of `target`.
    ///
    /// # Errors
    /// [`Failure::Insecure`]: a certificate cannot have that name.
    pub(in crate::targets) fn expect(
        &self,
        name: Option<&str>,
        target: &HostPort,
    ) -> Result<InstanceTls, Failure> {
        let name = match (name.or(target.name()), target) {
            (None, HostPort::Address(address)) => ServerName::IpAddress(address.ip().into()),
            (name, _) => {
                let name = name.unwrap_or_default().trim_end_matches('.');
                ServerName::try_from(name.to_owned()).map_err(|_| Failure::Insecure)?
            }
        };
        Ok(InstanceTls {
            authorities: self.clone(),
            name,
        })
    }
}

/// The certificates in a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fault = |error: &dyn Display| format!("{}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| fault(&error))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    certificates.map_err(|error| fault(&error))
}

impl InstanceTls {
    /// # Errors
    /// [`Failure::Insecure`]: the certificate is not valid, or the handshake fails. Others: as for the stream.
    pub(super) async fn secure(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let connector = TlsConnector::from(Arc::clone(&self.authorities.0));
        let secured = connector.connect(self.name.clone(), stream).await;
        secured.map_err(|error| of_tls(&error))
    }
}

/// The reason for which a secured stream failed.
pub(super) fn of_tls(error: &io::Error) -> Failure {
    let cause = error.get_ref();
    match cause.is_some_and(|cause| cause.is::<rustls::Error>()) {
        true => Failure::Insecure,
        false => of_io(error),
    }
}

impl std::fmt::Debug for InstanceTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("InstanceTls")
            .field(&self.name)
            .finish()
    }
}
