//! The web configuration file, in the format of Prometheus' exporter-toolkit: TLS, users and headers.
//!
//! In: YAML. Out: a [`WebConfig`] with checked values and with paths relative to the file's directory; the files that
//! it names are not opened here. Unlike the file of process groups it is strict, as in exporter-toolkit: an unknown
//! key is an error, because a misspelt access rule would protect nothing.
//!
//! Errors do not show values that may be secret.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use super::{ConfigError, Text, read};

/// The content of a web configuration file, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    /// The file.
    pub path: PathBuf,
    /// TLS options; `None`: connections do not use TLS.
    pub tls: Option<Tls>,
    /// Headers added to every response: name and value.
    pub headers: Vec<(&'static str, Text)>,
    /// Users with the bcrypt hashes of their passwords. If empty, requests need no password.
    pub users: Vec<(String, Text)>,
}

/// The section `tls_server_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and its chain.
    pub cert: Pem,
    /// The private key of the certificate.
    pub key: Pem,
    /// The authorities that must have signed client certificates.
    pub client_ca: Option<Pem>,
    /// Which client certificates are requested.
    pub client_auth: ClientAuth,
    /// Subject alternative names, of which a client's certificate must have one; `None`: any certificate is accepted.
    pub client_allowed_sans: Option<Vec<Text>>,
    /// Oldest TLS version.
    pub min_version: TlsVersion,
    /// Newest TLS version.
    pub max_version: TlsVersion,
    /// Cipher suites of TLS 1.2 by Go's names, best first; empty: all.
    pub cipher_suites: Vec<Text>,
    /// Curves by Go's names, best first; empty: all.
    pub curves: Vec<Text>,
    /// Whether the server's order of cipher suites takes precedence over the client's.
    pub prefers_own_order: bool,
}

/// PEM text, or the path of a PEM file, with the key and the line where the configuration gives it.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file: key, path and line.
    File(&'static str, PathBuf, usize),
    /// In the configuration itself: key and text.
    Inline(&'static str, Text),
}

/// Which certificate a client must present; the names are Go's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// None.
    #[default]
    NoClientCert,
    /// Any certificate, if the client has one.
    RequestClientCert,
    /// Any certificate; required.
    RequireAnyClientCert,
    /// A certificate signed by `client_ca`, if the client has one.
    VerifyClientCertIfGiven,
    /// A certificate signed by `client_ca`; required.
    RequireAndVerifyClientCert,
}

/// A TLS version that is still safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl WebConfig {
    /// Reads and parses the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is not regular text of at most 1 MiB, is not YAML, has an unknown or repeated key, or
    /// has a value of the wrong type.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        parse::parse(path, &read::read_config(path)?)
    }

    /// Parses `text` as the content of the file `path`.
    #[cfg(any(test, fuzzing))]
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        parse::parse(path, text)
    }

    /// An error about the value of `key`, for the code that uses the value.
    pub fn unusable(
        &self,
        line: usize,
        key: impl fmt::Display,
        cause: impl fmt::Display,
    ) -> ConfigError {
        ConfigError::Unusable {
            path: self.path.clone(),
            line,
            key: key.to_string(),
            cause: cause.to_string(),
        }
    }
}

impl Pem {
    /// The key of the configuration that gives it.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::File(key, ..) | Self::Inline(key, _) => key,
        }
    }

    /// Line in the file, from 1.
    pub const fn line(&self) -> usize {
        match self {
            Self::File(_, _, line) => *line,
            Self::Inline(_, text) => text.line,
        }
    }
}

impl ClientAuth {
    /// Whether the signature of the certificate is verified.
    pub const fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert
        )
    }

    /// Whether the client must present a certificate.
    pub const fn requires(self) -> bool {
        matches!(
            self,
            Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert
        )
    }
}

/// Shows no inline text, which may be a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_, path, line) => f.debug_tuple("File").field(path).field(line).finish(),
            Self::Inline(_, text) => f.debug_tuple("Inline").field(&text.line).finish(),
        }
    }
}
