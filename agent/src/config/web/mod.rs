//! The web configuration file, as Prometheus' exporter-toolkit has it: who may connect, and how.
//!
//! In comes YAML, out goes a [`WebConfig`]: words checked, paths relative to the file's directory, nothing else opened. Unlike
//! the file of process groups it is strict, as upstream: an unknown key is refused, since a lock that is misspelt does not lock.
//!
//! Values are not shown in errors where they may be secret.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Error, Text, read};

/// What a web configuration file says, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    /// The file.
    pub path: PathBuf,
    /// How connections are secured; `None`: they are not.
    pub tls: Option<Tls>,
    /// Headers of every answer: name and value.
    pub headers: Vec<(&'static str, Text)>,
    /// Users, and their passwords' bcrypt hashes. Nobody in it: everybody may ask.
    pub users: Vec<(String, Text)>,
}

/// `tls_server_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and those it is signed with.
    pub cert: Pem,
    /// Its key.
    pub key: Pem,
    /// Who signs certificates of clients.
    pub client_ca: Option<Pem>,
    /// What is wanted of clients.
    pub client_auth: ClientAuth,
    /// Subject alternative names, one of which a client's certificate must have; `None`: any will do.
    pub client_allowed_sans: Option<Vec<Text>>,
    /// Oldest version.
    pub min_version: Version,
    /// Newest version.
    pub max_version: Version,
    /// Cipher suites of TLS 1.2 by Go's names, best first; empty: all.
    pub cipher_suites: Vec<Text>,
    /// Curves by Go's names, best first; empty: all.
    pub curves: Vec<Text>,
    /// Whether the server's order of cipher suites counts, not the client's.
    pub prefers_own_order: bool,
}

/// Text in PEM, or where it is, and the key and line that say so.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(&'static str, PathBuf, usize),
    /// In the configuration itself.
    Inline(&'static str, Text),
}

/// What is wanted of clients; Go's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Nothing.
    #[default]
    NoClientCert,
    /// A certificate, if they have one; whoever signed it.
    RequestClientCert,
    /// A certificate; whoever signed it.
    RequireAnyClientCert,
    /// A certificate, if they have one; signed by `client_ca`.
    VerifyClientCertIfGiven,
    /// A certificate signed by `client_ca`.
    RequireAndVerifyClientCert,
}

/// A version of TLS that is still safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl WebConfig {
    /// Reads and parses the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is no regular text of at most 1 MiB, is no YAML, has an unknown key or one twice, or says something
    /// of the wrong shape.
    pub fn load(path: &Path) -> Result<Self, Error> {
        parse::parse(path, &read::read_config(path)?)
    }

    /// Parses `text` as if it stood in the file `path`.
    #[cfg(any(test, fuzzing))]
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        parse::parse(path, text)
    }

    /// An error about the value of `key`, for whoever makes something of it.
    pub fn unusable(&self, line: usize, key: impl fmt::Display, cause: impl fmt::Display) -> Error {
        Error::Unusable {
            path: self.path.clone(),
            line,
            key: key.to_string(),
            cause: cause.to_string(),
        }
    }
}

impl Pem {
    /// The key it stands behind.
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
    /// Whether who signed it matters.
    pub const fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert
        )
    }

    /// Whether there must be one.
    pub const fn requires(self) -> bool {
        matches!(
            self,
            Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert
        )
    }
}

/// Without what may be a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_, path, line) => f.debug_tuple("File").field(path).field(line).finish(),
            Self::Inline(_, text) => f.debug_tuple("Inline").field(&text.line).finish(),
        }
    }
}
