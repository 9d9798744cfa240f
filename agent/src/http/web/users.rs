//! The users of the web configuration, and the check of their passwords.
//!
//! bcrypt is slow on purpose. So a password is hashed on a blocking thread, one hash at a time, and only until it was
//! right once: then its keyed digest is kept with the user, one per user, and compared instead. Wrong passwords are
//! not remembered. While a password is checked, its request counts as still arriving: it is subject to the header's
//! time limit and can be evicted by new connections. A flood of wrong passwords delays no request whose password was
//! verified before; it delays each other request from another origin by one hash.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use hyper::header::HeaderValue;
use ring::error::Unspecified;
use ring::hmac::{self, Key, Tag};
use ring::rand::SystemRandom;

use crate::config::{ConfigError, Text, WebConfig};
use crate::http::admission::{ClientOrigin, FairQueue};

/// The users whose requests are answered.
pub(in crate::http) struct WebUsers {
    known: HashMap<String, Arc<WebUser>>,
    /// The user with the costliest hash. An unknown user's password is checked against it, so that unknown names take
    /// as long as known ones.
    decoy: Option<Arc<WebUser>>,
    hashing: Arc<FairQueue>,
}

struct WebUser {
    hash: String,
    /// The key of the digest; random, so that a digest is worthless elsewhere.
    key: Key,
    /// Digest of the password, once it was verified.
    proven: OnceLock<Tag>,
}

impl WebUsers {
    /// The users of `config`, whose hashes run in the queue `hashing`. A user with the same hash as in `before` keeps
    /// the verified password.
    pub(super) fn new(
        config: &WebConfig,
        hashing: Arc<FairQueue>,
        before: Option<&WebUsers>,
    ) -> Result<Self, ConfigError> {
        let mut known = HashMap::new();
        let mut costliest = (0, None);
        for (name, hash) in &config.users {
            let cost = cost(config, name, hash)?;
            let known_before = before.and_then(|users| users.known.get(name));
            let user = match known_before.filter(|user| user.hash == hash.text) {
                Some(user) => Arc::clone(user),
                None => Arc::new(WebUser::new(&hash.text).map_err(|_| {
                    config.unusable(hash.line, name, "the kernel gives no random numbers")
                })?),
            };
            if cost > costliest.0 {
                costliest = (cost, Some(Arc::clone(&user)));
            }
            known.insert(name.clone(), user);
        }
        Ok(Self {
            known,
            decoy: costliest.1,
            hashing,
        })
    }

    /// Whether to answer a request with this `Authorization` header from `origin`. Without configured users, every
    /// request is answered.
    pub(in crate::http) async fn admit(
        &self,
        authorization: Option<&HeaderValue>,
        origin: ClientOrigin,
    ) -> bool {
        let Some(decoy) = &self.decoy else {
            return true;
        };
        let Some((name, password)) = authorization.and_then(credentials) else {
            return false;
        };
        let known = self.known.get(&name);
        if known.is_some_and(|user| user.has_proven(&password)) {
            return true;
        }
        let user = Arc::clone(known.unwrap_or(decoy));
        let turn = self.hashing.turn(origin).await;
        let check = move || {
            let is_right = user.check(&password);
            // The turn is held until here, even if the client has disconnected.
            drop(turn);
            is_right
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(false) && known.is_some()
    }
}

impl WebUser {
    fn new(hash: &str) -> Result<Self, Unspecified> {
        Ok(Self {
            hash: hash.to_owned(),
            key: Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
            proven: OnceLock::new(),
        })
    }

    /// Compares in constant time with the digest of the verified password.
    fn has_proven(&self, password: &[u8]) -> bool {
        let is_same = |tag: &Tag| hmac::verify(&self.key, password, tag.as_ref()).is_ok();
        self.proven.get().is_some_and(is_same)
    }

    fn check(&self, password: &[u8]) -> bool {
        // The request that had the turn before may have verified the same password.
        if self.has_proven(password) {
            return true;
        }
        let is_right = bcrypt::verify(password, &self.hash).unwrap_or(false);
        if is_right {
            // A second password can only be right if both have the same hash; then the other one is hashed each time.
            let _ = self.proven.set(hmac::sign(&self.key, password));
        }
        is_right
    }
}

fn cost(config: &WebConfig, name: &str, hash: &Text) -> Result<u32, ConfigError> {
    let unusable = || config.unusable(hash.line, name, "expected a bcrypt hash like $2y$10$...");
    let parts: HashParts = hash.text.parse().map_err(|_| unusable())?;
    match parts.get_cost() {
        cost @ 4..=31 => Ok(cost),
        _ => Err(unusable()),
    }
}

/// Name and password of a `Basic` authorization.
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut name = STANDARD.decode(encoded).ok()?;
    let colon = name.iter().position(|byte| *byte == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((String::from_utf8(name).ok()?, password))
}

/// Shows the names only, no hashes.
impl fmt::Debug for WebUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(of: &[(&str, &str)]) -> Result<WebUsers, ConfigError> {
        users_after(of, None)
    }

    fn users_after(
        of: &[(&str, &str)],
        before: Option<&WebUsers>,
    ) -> Result<WebUsers, ConfigError> {
        let user = |(name, hash): &(&str, &str)| {
            let text = (*hash).to_owned();
            ((*name).to_owned(), Text { text, line: 2 })
        };
        let config = WebConfig {
            path: "web.yml".into(),
            tls: None,
            headers: Vec::new(),
            users: of.iter().map(user).collect(),
        };
        WebUsers::new(&config, Arc::default(), before)
    }

    async fn admit(users: &WebUsers, authorization: Option<&HeaderValue>) -> bool {
        let origin = std::net::Ipv4Addr::LOCALHOST.into();
        users.admit(authorization, origin).await
    }

    /// Whether the credentials are admitted without a hash.
    async fn is_known(users: &WebUsers, text: &str) -> bool {
        let _turn = users
            .hashing
            .turn(std::net::Ipv4Addr::LOCALHOST.into())
            .await;
        let header = basic(text);
        tokio::select! {
            biased;
            is_admitted = admit(users, Some(&header)) => is_admitted,
            () = std::future::ready(()) => false,
        }
    }

    fn basic(text: &str) -> HeaderValue {
        let encoded = STANDARD.encode(text);
        HeaderValue::from_str(&format!("Basic {encoded}")).unwrap()
    }

    #[tokio::test]
    async fn only_right_password_of_known_user_is_admitted() {
        let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
        let (of_a, of_b) = (hash("x:y"), hash("z"));
        let users = users(&[("a", &of_a), ("b", &of_b)]).unwrap();
        for _ in 0..2 {
            assert!(admit(&users, Some(&basic("a:x:y"))).await);
            assert!(admit(&users, Some(&basic("b:z"))).await);
            for wrong in ["a:z", "a:x", "b:x:y", "c:z", "c:x:y", ":z", "a:", "", "a"] {
                assert!(!admit(&users, Some(&basic(wrong))).await, "{wrong}");
            }
        }
        for header in ["", "Basic", "Basic ", "Basic !", "Bearer YTp4OnkK"] {
            let header = HeaderValue::from_static(header);
            assert!(!admit(&users, Some(&header)).await, "{header:?}");
        }
        assert!(!admit(&users, None).await);
        let shown = format!("{users:?}");
        assert!(!shown.contains(&of_a) && shown.contains("\"a\""), "{shown}");
    }

    #[tokio::test]
    async fn verified_password_is_not_hashed_again() {
        let hash = bcrypt::hash("x", 4).unwrap();
        let users = users(&[("a", &hash)]).unwrap();
        assert!(admit(&users, Some(&basic("a:x"))).await);
        assert!(is_known(&users, "a:x").await);
        assert!(!is_known(&users, "a:y").await);
        assert!(!is_known(&users, "b:x").await);
    }

    #[tokio::test]
    async fn user_with_an_unchanged_hash_is_not_hashed_again() {
        let (hash, other) = (bcrypt::hash("x", 4).unwrap(), bcrypt::hash("x", 4).unwrap());
        let before = users(&[("a", &hash), ("b", &hash)]).unwrap();
        for right in ["a:x", "b:x"] {
            assert!(admit(&before, Some(&basic(right))).await);
        }
        let users = users_after(&[("a", &hash), ("b", &other)], Some(&before)).unwrap();
        assert!(is_known(&users, "a:x").await);
        assert!(!is_known(&users, "b:x").await, "another hash");
    }

    #[tokio::test]
    async fn hashes_made_by_go_are_accepted() {
        // The decoy hash of the exporter toolkit, made by Go; `2a`, `2b` and `2y` mean the same.
        let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
        let of_b = hash.replace("2y", "2a");
        let users = users(&[("a", hash), ("b", &of_b)]).unwrap();
        assert!(admit(&users, Some(&basic("a:fakepassword"))).await);
        assert!(admit(&users, Some(&basic("b:fakepassword"))).await);
    }

    #[test]
    fn decoy_has_the_highest_cost_of_all_users() {
        let (cheap, costly) = (bcrypt::hash("x", 4).unwrap(), bcrypt::hash("x", 5).unwrap());
        let users = users(&[("a", &cheap), ("b", &costly), ("c", &cheap)]).unwrap();
        assert_eq!(users.decoy.unwrap().hash, costly);
    }

    #[tokio::test]
    async fn without_users_every_request_is_admitted() {
        let users = users(&[]).unwrap();
        assert!(admit(&users, None).await && admit(&users, Some(&basic("a:x"))).await);
    }

    #[test]
    fn malformed_hash_is_refused_without_showing_it() {
        for hash in ["secret", "", "$2y$03$", "$1$10$QOauhQNbBCuQDKes6eFzPe"] {
            let refused = users(&[("a", hash)]).unwrap_err().to_string();
            assert_eq!(
                refused,
                "web.yml:2: a: expected a bcrypt hash like $2y$10$..."
            );
        }
    }
}
