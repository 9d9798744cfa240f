//! Converts the YAML tree of a web configuration file to typed values.
//!
//! Follows exporter-toolkit: which keys turn TLS on, which keys override others, and which values are allowed.

use std::path::{Path, PathBuf};

use super::super::yaml::{self, YamlNode, YamlValue};
use super::super::{ConfigError, Text, suggest};
use super::{ClientAuth, Pem, Tls, TlsVersion, WebConfig};

const TOP: &[&str] = &[
    "tls_server_config",
    "http_server_config",
    "basic_auth_users",
];
const TLS: &[&str] = &[
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_ca",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "curve_preferences",
    "prefer_server_cipher_suites",
];
const HTTP: &[&str] = &["http2", "headers"];
/// Headers that may be set, with the allowed values; empty: any value.
const HEADERS: &[(&str, &[&str])] = &[
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];
const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
    ("", ClientAuth::NoClientCert),
    ("NoClientCert", ClientAuth::NoClientCert),
    ("RequestClientCert", ClientAuth::RequestClientCert),
    ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
    // The name in older versions of exporter-toolkit.
    ("RequireClientCert", ClientAuth::RequireAnyClientCert),
    (
        "VerifyClientCertIfGiven",
        ClientAuth::VerifyClientCertIfGiven,
    ),
    (
        "RequireAndVerifyClientCert",
        ClientAuth::RequireAndVerifyClientCert,
    ),
];
const CLIENT_AUTH_WORDS: &str = "NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or \
                                 RequireAndVerifyClientCert";

/// Parses `text`, the content of the file `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<WebConfig, ConfigError> {
    let document = yaml::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.line,
        cause: error.cause,
    })?;
    let reader = WebReader { path };
    let mut config = WebConfig {
        path: path.to_owned(),
        tls: None,
        headers: Vec::new(),
        users: Vec::new(),
    };
    let Some(root) = document.root else {
        return Ok(config);
    };
    let top = reader.section(&root, "top level", TOP)?;
    if let Some(node) = top.find("tls_server_config") {
        config.tls = reader.tls(node)?;
    }
    if let Some(node) = top.find("http_server_config") {
        config.headers = reader.http(node)?;
    }
    if let Some(node) = top.find("basic_auth_users") {
        config.users = reader.users(node)?;
    }
    Ok(config)
}

/// The content of a map with unique keys: for each the text of the key, its node and its value.
struct Section<'n>(Vec<(&'n str, &'n YamlNode, &'n YamlNode)>);

impl<'n> Section<'n> {
    /// The value of `key`; `None` also for a key without a value.
    fn find(&self, key: &str) -> Option<&'n YamlNode> {
        let found = self.0.iter().find(|(known, ..)| *known == key);
        found
            .map(|(.., node)| *node)
            .filter(|node| !matches!(node.value, YamlValue::Null))
    }
}

struct WebReader<'a> {
    path: &'a Path,
}

impl WebReader<'_> {
    fn tls(&self, node: &YamlNode) -> Result<Option<Tls>, ConfigError> {
        let section = self.section(node, "tls_server_config", TLS)?;
        let client_auth = match section.find("client_auth_type") {
            Some(value) => self.word(value, "client_auth_type", CLIENT_AUTH, CLIENT_AUTH_WORDS)?,
            None => ClientAuth::default(),
        };
        let cert = self.pem(&section, "cert_file", "cert")?;
        let key = self.pem(&section, "key_file", "key")?;
        let client_ca = self.pem(&section, "client_ca_file", "client_ca")?;
        let options = Tls {
            cert: Pem::File("cert_file", PathBuf::new(), node.line),
            key: Pem::File("key_file", PathBuf::new(), node.line),
            client_ca: None,
            client_auth,
            client_allowed_sans: section
                .find("client_allowed_sans")
                .map(|value| self.list(value, "client_allowed_sans"))
                .transpose()?,
            min_version: self.version(&section, "min_version", TlsVersion::Tls12)?,
            max_version: self.version(&section, "max_version", TlsVersion::Tls13)?,
            cipher_suites: self.words(&section, "cipher_suites")?,
            curves: self.words(&section, "curve_preferences")?,
            prefers_own_order: match section.find("prefer_server_cipher_suites") {
                Some(value) => self.truth(value, "prefer_server_cipher_suites")?,
                None => true,
            },
        };
        let is_wanted = cert.is_some()
            || key.is_some()
            || client_ca.is_some()
            || section.find("client_auth_type").is_some();
        if !is_wanted {
            return Ok(None);
        }
        let missing = |what| self.fault(node, "tls_server_config", what);
        let tls = Tls {
            cert: cert
                .ok_or_else(|| missing("neither cert_file nor cert, expected one of them"))?,
            key: key.ok_or_else(|| missing("neither key_file nor key, expected one of them"))?,
            client_ca,
            ..options
        };
        match contradiction(&tls) {
            Some(what) => Err(missing(what)),
            None => Ok(Some(tls)),
        }
    }

    /// The file named by the key `file`, or else the text of the key `inline`.
    fn pem(
        &self,
        section: &Section<'_>,
        file: &'static str,
        inline: &'static str,
    ) -> Result<Option<Pem>, ConfigError> {
        let text = |key| {
            let node = section.find(key);
            let text = node.map(|node| self.text(node, key)).transpose()?;
            Ok(text.filter(|text| !text.text.is_empty()))
        };
        let directory = self.path.parent().unwrap_or(Path::new(""));
        let named = text(file)?.map(|text| Pem::File(file, directory.join(&text.text), text.line));
        let written = text(inline)?.map(|text| Pem::Inline(inline, text));
        Ok(named.or(written))
    }

    fn version(
        &self,
        section: &Section<'_>,
        key: &str,
        default: TlsVersion,
    ) -> Result<TlsVersion, ConfigError> {
        let known = &[("TLS12", TlsVersion::Tls12), ("TLS13", TlsVersion::Tls13)];
        section.find(key).map_or(Ok(default), |node| {
            self.word(node, key, known, "TLS12 or TLS13")
        })
    }

    fn http(&self, node: &YamlNode) -> Result<Vec<(&'static str, Text)>, ConfigError> {
        let section = self.section(node, "http_server_config", HTTP)?;
        if let Some(value) = section.find("http2") {
            // Only checked: the server offers HTTP/1.1 in any case.
            self.truth(value, "http2")?;
        }
        let Some(headers) = section.find("headers") else {
            return Ok(Vec::new());
        };
        let names: Vec<_> = HEADERS.iter().map(|(name, _)| *name).collect();
        let headers = self.section(headers, "headers", &names)?;
        let mut found = Vec::new();
        for (name, allowed) in HEADERS {
            let Some(node) = headers.find(name) else {
                continue;
            };
            let value = self.text(node, name)?;
            if !allowed.is_empty() && !allowed.contains(&value.text.as_str()) {
                let what = format!("found {:?}, expected {}", value.text, allowed.join(" or "));
                return Err(self.fault(node, name, &what));
            }
            if !value.text.is_empty() {
                found.push((*name, value));
            }
        }
        Ok(found)
    }

    fn users(&self, node: &YamlNode) -> Result<Vec<(String, Text)>, ConfigError> {
        let users = self.pairs(node, "basic_auth_users")?;
        let user = |(name, _, hash): (&str, _, _)| Ok((name.to_owned(), self.text(hash, name)?));
        users.0.into_iter().map(user).collect()
    }

    fn section<'n>(
        &self,
        node: &'n YamlNode,
        name: &str,
        known: &[&'static str],
    ) -> Result<Section<'n>, ConfigError> {
        let section = self.pairs(node, name)?;
        for (key, node, _) in &section.0 {
            if known.contains(key) {
                continue;
            }
            let hint = match suggest::nearest(key, known) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("expected {}", known.join(", ")),
            };
            return Err(self.fault(node, name, &format!("unknown key {key:?}, {hint}")));
        }
        Ok(section)
    }

    fn pairs<'n>(&self, node: &'n YamlNode, name: &str) -> Result<Section<'n>, ConfigError> {
        let pairs = match &node.value {
            YamlValue::Null => &[][..],
            YamlValue::Map(pairs) => pairs,
            _ => return Err(self.fault(node, name, "expected a map")),
        };
        let mut found = Section(Vec::new());
        for (key, value) in pairs {
            let YamlValue::Scalar(text) = &key.value else {
                return Err(self.fault(key, name, "expected a string as key"));
            };
            if found.0.iter().any(|(known, ..)| known == text) {
                return Err(self.fault(key, name, &format!("key {text:?} is repeated")));
            }
            found.0.push((text, key, value));
        }
        Ok(found)
    }

    fn words(&self, section: &Section<'_>, key: &str) -> Result<Vec<Text>, ConfigError> {
        section
            .find(key)
            .map_or(Ok(Vec::new()), |node| self.list(node, key))
    }

    fn list(&self, node: &YamlNode, key: &str) -> Result<Vec<Text>, ConfigError> {
        match &node.value {
            YamlValue::List(elements) => elements.iter().map(|one| self.text(one, key)).collect(),
            _ => Err(self.fault(node, key, "expected a list of strings")),
        }
    }

    fn text(&self, node: &YamlNode, key: &str) -> Result<Text, ConfigError> {
        let text = match &node.value {
            YamlValue::Null => String::new(),
            YamlValue::Scalar(text) => text.clone(),
            _ => return Err(self.fault(node, key, "expected a string")),
        };
        Ok(Text {
            text,
            line: node.line,
        })
    }

    fn word<T: Copy>(
        &self,
        node: &YamlNode,
        key: &str,
        known: &[(&str, T)],
        expected: &str,
    ) -> Result<T, ConfigError> {
        let text = self.text(node, key)?.text;
        let found = known.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| self.fault(node, key, &format!("found {text:?}, expected {expected}")))
    }

    /// Accepts the booleans of YAML 1.1, as the parser of exporter-toolkit does.
    fn truth(&self, node: &YamlNode, key: &str) -> Result<bool, ConfigError> {
        let text = self.text(node, key)?.text;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(true),
            "false" | "no" | "off" | "n" => Ok(false),
            _ => Err(self.fault(
                node,
                key,
                &format!("found {text:?}, expected true or false"),
            )),
        }
    }

    fn fault(&self, node: &YamlNode, key: &str, cause: &str) -> ConfigError {
        ConfigError::Unusable {
            path: self.path.to_owned(),
            line: node.line,
            key: key.to_owned(),
            cause: cause.to_owned(),
        }
    }
}

/// The first contradiction between the options, if there is one.
fn contradiction(tls: &Tls) -> Option<&'static str> {
    if tls.min_version > tls.max_version {
        Some("min_version is newer than max_version")
    } else if tls.client_ca.is_some() && tls.client_auth == ClientAuth::NoClientCert {
        Some("client_ca_file or client_ca needs a client_auth_type that requests certificates")
    } else if tls.client_ca.is_none() && tls.client_auth.verifies() {
        // Go would verify with the system's authorities, which have signed certificates for anyone.
        Some(
            "client_auth_type verifies certificates, but neither client_ca_file nor client_ca names the signing authorities",
        )
    } else if tls.client_allowed_sans.is_some() && !tls.client_auth.requires() {
        Some(
            "client_allowed_sans needs client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert",
        )
    } else {
        None
    }
}
