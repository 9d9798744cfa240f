//! A directory with a web configuration, and the files it names.

use std::ffi::OsString;
use std::fs;

use super::client::{Authority, Identity};

/// The key and certificate of [`Site::install`].
pub const TLS: &str = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";

/// It is removed when this is dropped.
#[derive(Debug)]
pub struct Site {
    pub directory: tempfile::TempDir,
}

impl Site {
    /// With the text of its `web.yml`.
    pub fn new(web: &str) -> Self {
        let site = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        site.write("web.yml", web);
        site
    }

    /// With a certificate, too.
    pub fn secure(web: &str, authority: &Authority) -> Self {
        let site = Self::new(web);
        site.install(&authority.issue("localhost"));
        site
    }

    /// Key and certificate, one after the other.
    pub fn install(&self, identity: &Identity) {
        self.write("key.pem", &identity.key);
        self.write("cert.pem", &identity.cert);
    }

    /// Replaces a file as a whole, as programs do that renew certificates.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        let new = self.directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// The flag that names it.
    pub fn flag(&self) -> OsString {
        let mut flag = OsString::from("-web.config.file=");
        flag.push(self.directory.path().join("web.yml"));
        flag
    }
}
