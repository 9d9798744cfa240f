//! The credentials of the service broker: one user with one password.
//!
//! The agent compares a keyed digest, so the time of a comparison reveals nothing about them. A wrong password costs one digest,
//! not a bcrypt hash as for users of the web configuration: the password is a machine's secret, stored in plain text in its file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use ring::hmac::{self, Key, Tag};
use ring::rand::SystemRandom;

/// The digest of the user and the password.
pub(super) struct BrokerCredentials {
    /// Random, so that the digest is useless elsewhere.
    key: Key,
    digest: Tag,
}

impl BrokerCredentials {
    pub(super) fn new(username: &str, password: &str) -> Result<Self, String> {
        let key = Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| "the kernel gives no random numbers".to_owned())?;
        let digest = hmac::sign(&key, format!("{username}:{password}").as_bytes());
        Ok(Self { key, digest })
    }

    /// Whether a request with these headers has the credentials.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|header| {
            let (scheme, encoded) = header.as_bytes().split_at_checked(6)?;
            let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
            is_basic.then(|| STANDARD.decode(encoded).ok()).flatten()
        });
        shown.is_some_and(|shown| hmac::verify(&self.key, &shown, self.digest.as_ref()).is_ok())
    }
}

/// Shows nothing.
impl fmt::Debug for BrokerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerCredentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_with_the_password_is_admitted() {
        let credentials = BrokerCredentials::new("user", "pa:ss").unwrap();
        let admitted = |header: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().unwrap());
            credentials.admit(&headers)
        };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(admitted(&basic("user:pa:ss")));
        assert!(admitted(&basic("user:pa:ss").replace("Basic", "bASIC")));
        for wrong in [
            "user:pa:s",
            "user:pa:sss",
            "user:",
            "User:pa:ss",
            "userpa:ss",
            "",
            ":",
        ] {
            assert!(!admitted(&basic(wrong)), "{wrong}");
        }
        for wrong in ["", "Basic", "Basic ", "Basic ?", "Bearer dXNlcjpwYTpzcw=="] {
            assert!(!admitted(wrong), "{wrong}");
        }
        assert!(!credentials.admit(&HeaderMap::new()));
        assert_eq!(format!("{credentials:?}"), "BrokerCredentials");
    }
}
