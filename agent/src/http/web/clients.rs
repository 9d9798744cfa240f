//! Verification of client certificates, with the semantics of Go's `ClientAuthType` and of `client_allowed_sans`.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use webpki::EndEntityCert;

use crate::config::web::Tls;
use crate::config::{ConfigError, WebConfig};

/// The verifier for rustls: whether a certificate is required, whether it must be signed by the configured
/// authorities, and which names it must have. Rustls always verifies that the client has the certificate's key.
#[derive(Debug)]
pub(super) struct Clients {
    /// Verifies the signature; `None` if any signature is accepted.
    signed: Option<Arc<dyn ClientCertVerifier>>,
    is_mandatory: bool,
    names: Option<Vec<String>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    /// Builds the verifier from `tls`. `authorities` are used only if `client_auth_type` demands verification.
    pub(super) fn new(
        config: &WebConfig,
        tls: &Tls,
        authorities: Option<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, ConfigError> {
        let algorithms = provider.signature_verification_algorithms;
        let verifier = |store| {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
            let line = tls.client_ca.as_ref().map_or(0, |pem| pem.line());
            let built = builder.build();
            built.map_err(|error| config.unusable(line, "client_ca", error))
        };
        let authorities = authorities.filter(|_| tls.client_auth.verifies());
        for name in tls.client_allowed_sans.iter().flatten() {
            if name.text.contains('@') && !name.text.contains(':') {
                let cause = format!(
                    "found the e-mail address {:?}, expected DNS names, IP addresses and URIs",
                    name.text
                );
                return Err(config.unusable(name.line, "client_allowed_sans", cause));
            }
        }
        let names = tls.client_allowed_sans.as_ref();
        Ok(Self {
            signed: authorities.map(verifier).transpose()?,
            is_mandatory: tls.client_auth.requires(),
            names: names.map(|names| names.iter().map(|name| name.text.clone()).collect()),
            algorithms,
        })
    }

    fn has_allowed_name(&self, certificate: &CertificateDer<'_>) -> Result<bool, TlsError> {
        let Some(names) = &self.names else {
            return Ok(true);
        };
        let certificate = EndEntityCert::try_from(certificate)
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        Ok(names.iter().any(|name| has_name(&certificate, name)))
    }
}

/// Whether one of the certificate's subject alternative names is exactly `name`.
fn has_name(certificate: &EndEntityCert<'_>, name: &str) -> bool {
    if let Ok(address) = name.parse::<IpAddr>() {
        let address = ServerName::IpAddress(address.into());
        return certificate
            .verify_is_valid_for_subject_name(&address)
            .is_ok();
    }
    certificate.valid_dns_names().any(|known| known == name)
        || certificate.valid_uri_names().any(|known| known == name)
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed
            .as_ref()
            .map_or(&[], |signed| signed.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        if let Some(signed) = &self.signed {
            signed.verify_client_cert(certificate, intermediates, now)?;
        }
        match self.has_allowed_name(certificate)? {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(TlsError::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
