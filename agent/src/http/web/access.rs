//! One reading of the web configuration file and of all files that it names.

use std::path::Path;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use tokio_rustls::rustls::ServerConfig;

use super::files::Files;
use super::tls;
use super::users::WebUsers;
use crate::config::{ConfigError, WebConfig};
use crate::http::admission::FairQueue;

/// The configuration for connections and requests.
#[derive(Debug)]
pub(in crate::http) struct Access {
    /// The TLS configuration, if connections use TLS.
    pub(in crate::http) tls: Option<Arc<ServerConfig>>,
    /// The users whose requests are answered.
    pub(in crate::http) users: WebUsers,
    headers: HeaderMap,
}

impl Access {
    /// Reads the file at `path` and the files that it names, and records their stamps in `files`. WebUsers with the same
    /// hash as in `before` keep their verified password and need no new hash.
    pub(super) fn read(
        path: &Path,
        files: &mut Files,
        hashing: &Arc<FairQueue>,
        before: Option<&Access>,
    ) -> Result<Self, ConfigError> {
        let noted = files.note(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        });
        noted?;
        let config = WebConfig::load(path)?;
        let tls = config.tls.as_ref();
        Ok(Self {
            tls: tls
                .map(|tls| tls::server_config(&config, tls, files))
                .transpose()?,
            users: WebUsers::new(
                &config,
                Arc::clone(hashing),
                before.map(|access| &access.users),
            )?,
            headers: headers(&config)?,
        })
    }

    /// Adds the configured headers to a response.
    pub(in crate::http) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }
}

fn headers(config: &WebConfig) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let (Ok(header), Ok(text)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value.text),
        ) else {
            let cause = "found a character that no header can have";
            return Err(config.unusable(value.line, name, cause));
        };
        headers.insert(header, text);
    }
    Ok(headers)
}
