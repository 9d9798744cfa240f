//! Converts `tls_server_config` of the web configuration into a rustls configuration.
//!
//! The file names suites and curves as Go does. Names that Go knows but rustls does not support, because they are no
//! longer safe or rarely used, are refused with an error that lists the supported ones.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{
    NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    version,
};

use super::clients::Clients;
use super::files::Files;
use crate::config::web::{ClientAuth, Pem, Tls, TlsVersion};
use crate::config::{ConfigError, Text, WebConfig};

/// The protocol offered by ALPN.
const PROTOCOL: &[u8] = b"http/1.1";
/// The keys that rustls with ring has.
const KEYS: &str =
    "no key that is supported; expected RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519";
const ENCRYPTED: &str = "encrypted keys are not supported; decrypt it with `openssl pkey -in KEY -out PLAIN_KEY`, and let only the \
                         agent's user read the result";
const CURVES: [(&str, NamedGroup); 3] = [
    ("X25519", NamedGroup::X25519),
    ("CurveP256", NamedGroup::secp256r1),
    ("CurveP384", NamedGroup::secp384r1),
];

/// Reads the certificates and the key, and builds the server's TLS configuration.
pub(super) fn server_config(
    config: &WebConfig,
    tls: &Tls,
    files: &mut Files,
) -> Result<Arc<ServerConfig>, ConfigError> {
    let mut reader = PemReader { config, files };
    let provider = Arc::new(provider(config, tls)?);
    let chain = reader.certificates(&tls.cert)?;
    let key = reader.key(&tls.key)?;
    if provider
        .key_provider
        .load_private_key(key.clone_key())
        .is_err()
    {
        return Err(reader.unusable(&tls.key, KEYS));
    }
    let authorities = match &tls.client_ca {
        Some(pem) => Some(reader.authorities(pem)?),
        None => None,
    };
    let unusable = |error| config.unusable(tls.cert.line(), tls.cert.key(), error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls))
        .map_err(|error| unusable(error.to_string()))?;
    let builder = match tls.client_auth {
        ClientAuth::NoClientCert => builder.with_no_client_auth(),
        _ => {
            let clients = Clients::new(config, tls, authorities, provider)?;
            builder.with_client_cert_verifier(Arc::new(clients))
        }
    };
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|error| unusable(format!("certificate and key do not work: {error}")))?;
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    server.ignore_client_order = tls.prefers_own_order;
    Ok(Arc::new(server))
}

fn versions(tls: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    [
        (TlsVersion::Tls13, &version::TLS13),
        (TlsVersion::Tls12, &version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| (tls.min_version..=tls.max_version).contains(version))
    .map(|(_, supported)| supported)
    .collect()
}

/// The cipher suites and curves that the file allows; all that rustls has if it lists none.
fn provider(config: &WebConfig, tls: &Tls) -> Result<CryptoProvider, ConfigError> {
    let mut provider = ring::default_provider();
    if !tls.cipher_suites.is_empty() {
        provider.cipher_suites = suites(config, tls, &provider.cipher_suites)?;
    }
    if !tls.curves.is_empty() {
        let wanted = tls.curves.iter();
        let wanted = wanted.map(|curve| group(config, curve, &provider.kx_groups));
        provider.kx_groups = wanted.collect::<Result<_, _>>()?;
    }
    Ok(provider)
}

/// As in Go, the list restricts TLS 1.2 only; all suites of TLS 1.3 are always allowed.
fn suites(
    config: &WebConfig,
    tls: &Tls,
    all: &[SupportedCipherSuite],
) -> Result<Vec<SupportedCipherSuite>, ConfigError> {
    let of_13 = all.iter().filter(|suite| suite.tls13().is_some());
    let mut allowed: Vec<_> = of_13.copied().collect();
    for wanted in &tls.cipher_suites {
        let found = all.iter().find(|suite| go_name(suite) == wanted.text);
        let Some(suite) = found else {
            let known: Vec<_> = all.iter().map(go_name).collect();
            return Err(unknown(config, "cipher_suites", wanted, &known.join(", ")));
        };
        if !allowed.contains(suite) {
            allowed.push(*suite);
        }
    }
    Ok(allowed)
}

fn go_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

fn group(
    config: &WebConfig,
    wanted: &Text,
    all: &[&'static dyn SupportedKxGroup],
) -> Result<&'static dyn SupportedKxGroup, ConfigError> {
    let curve = CURVES.iter().find(|(name, _)| *name == wanted.text);
    let group = curve.and_then(|(_, curve)| all.iter().find(|group| group.name() == *curve));
    group.copied().ok_or_else(|| {
        let known = CURVES.map(|(name, _)| name).join(", ");
        unknown(config, "curve_preferences", wanted, &known)
    })
}

fn unknown(config: &WebConfig, key: &str, wanted: &Text, known: &str) -> ConfigError {
    let cause = format!("found {:?}, expected some of {known}", wanted.text);
    config.unusable(wanted.line, key, cause)
}

/// Reads PEM files and inline PEM; errors name the place of an unusable one.
struct PemReader<'a> {
    config: &'a WebConfig,
    files: &'a mut Files,
}

impl PemReader<'_> {
    fn certificates(&mut self, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let text = self.text(pem)?;
        let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
        let found = found.map_err(|error| self.unusable(pem, &error.to_string()))?;
        match found.is_empty() {
            true => Err(self.unusable(pem, "has no certificate in PEM")),
            false => Ok(found),
        }
    }

    fn key(&mut self, pem: &Pem) -> Result<PrivateKeyDer<'static>, ConfigError> {
        let text = self.text(pem)?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            _ if is_encrypted(&text) => self.unusable(pem, ENCRYPTED),
            pem::Error::NoItemsFound => self.unusable(pem, "has no private key in PEM"),
            error => self.unusable(pem, &error.to_string()),
        })
    }

    fn authorities(&mut self, pem: &Pem) -> Result<RootCertStore, ConfigError> {
        let mut store = RootCertStore::empty();
        for certificate in self.certificates(pem)? {
            let added = store.add(certificate);
            added.map_err(|error| self.unusable(pem, &error.to_string()))?;
        }
        Ok(store)
    }

    fn text(&mut self, pem: &Pem) -> Result<Vec<u8>, ConfigError> {
        match pem {
            Pem::Inline(_, text) => Ok(text.text.clone().into_bytes()),
            Pem::File(_, path, _) => {
                let read = self.files.read(path);
                read.map_err(|error| self.unusable(pem, &format!("cannot be read: {error}")))
            }
        }
    }

    fn unusable(&self, pem: &Pem, cause: &str) -> ConfigError {
        let cause = match pem {
            Pem::File(_, path, _) => format!("{}: {cause}", path.display()),
            Pem::Inline(..) => cause.to_owned(),
        };
        self.config.unusable(pem.line(), pem.key(), cause)
    }
}

/// Whether PEM holds an encrypted key: one of OpenSSL's older format, or of PKCS#8.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("\nProc-Type: 4,ENCRYPTED")
        || text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn provider_of(suites: &[&str], curves: &[&str]) -> Result<CryptoProvider, ConfigError> {
        let texts = |words: &[&str]| {
            let text = |word: &&str| Text {
                text: (*word).to_owned(),
                line: 3,
            };
            words.iter().map(text).collect()
        };
        let pem = || Pem::File("cert_file", PathBuf::new(), 1);
        let tls = Tls {
            cert: pem(),
            key: pem(),
            client_ca: None,
            client_auth: ClientAuth::NoClientCert,
            client_allowed_sans: None,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            cipher_suites: texts(suites),
            curves: texts(curves),
            prefers_own_order: true,
        };
        let config = WebConfig {
            path: "web.yml".into(),
            tls: None,
            headers: Vec::new(),
            users: Vec::new(),
        };
        provider(&config, &tls)
    }

    #[test]
    fn suites_and_curves_use_go_names_in_file_order() {
        let of_12 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let found =
            provider_of(&["TLS_AES_128_GCM_SHA256", of_12], &["CurveP384", "X25519"]).unwrap();
        let names: Vec<_> = found.cipher_suites.iter().map(go_name).collect();
        assert_eq!((names.len(), names[3].as_str()), (4, of_12), "{names:?}");
        let groups: Vec<_> = found.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, [NamedGroup::secp384r1, NamedGroup::X25519]);
        for suite in &ring::default_provider().cipher_suites {
            assert!(provider_of(&[&go_name(suite)], &[]).is_ok(), "{suite:?}");
        }
    }

    #[test]
    fn cipher_or_curve_that_rustls_lacks_is_refused_by_name() {
        let refused = provider_of(&["TLS_RSA_WITH_AES_128_CBC_SHA"], &[]);
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.starts_with(
                "web.yml:3: cipher_suites: found \"TLS_RSA_WITH_AES_128_CBC_SHA\", expected some of TLS_AES_"
            ),
            "{refused}"
        );
        assert_eq!(
            provider_of(&[], &["CurveP521"]).unwrap_err().to_string(),
            "web.yml:3: curve_preferences: found \"CurveP521\", expected some of X25519, CurveP256, CurveP384"
        );
    }
}
