//! `gorouters` of the section `fan_in`: the routers that the agent asks for their routes.

use std::path::{Path, PathBuf};

use super::problems::{Problems, excerpt};
use super::yaml::{YamlNode, YamlValue};
use super::{ConfigError, HostPort};

/// The name of the list, also in promfetcher's file.
pub(super) const GOROUTERS: &str = "gorouters";
const KEY: &str = "fan_in: gorouters";
const KEYS: [&str; 4] = ["ca_file", "password_file", "url", "username"];
/// The keys of promfetcher's list.
const PROMFETCHER: [&str; 4] = ["host", "port", "user", "pass"];
/// Most routers of promfetcher's list that an error translates; further ones are left out.
const MOST_TRANSLATED: usize = 8;
/// The default path of a router's routes.
const PATH: &str = "/routes";

/// A router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GorouterConfig {
    /// Its host and port.
    pub address: HostPort,
    /// Whether it is asked over TLS.
    pub is_tls: bool,
    /// The path of its routes.
    pub path: String,
    /// The user name, and the file with the password.
    pub credentials: Option<(String, PathBuf)>,
    /// The authorities that may sign its certificate; `None`: those of instances.
    pub ca_file: Option<PathBuf>,
}

impl GorouterConfig {
    /// The URL.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address, self.path)
    }
}

/// Parses the list. Paths of files are relative to `folder`.
pub(super) fn parse(
    node: &YamlNode,
    folder: &Path,
    problems: &mut Problems<'_>,
) -> Result<Vec<GorouterConfig>, ConfigError> {
    let YamlValue::List(routers) = &node.value else {
        return Err(problems.wrong(
            node,
            KEY,
            "a list of routers (such as - url: http://10.0.0.1:8082/routes)",
        ));
    };
    let routers = routers.iter().map(|one| router(one, folder, problems));
    routers.collect()
}

fn router(
    node: &YamlNode,
    folder: &Path,
    problems: &mut Problems<'_>,
) -> Result<GorouterConfig, ConfigError> {
    let YamlValue::Map(pairs) = &node.value else {
        return Err(problems.wrong(
            node,
            KEY,
            "a map with url, username, password_file and ca_file",
        ));
    };
    let (mut url, mut username, mut password_file, mut ca_file) = (None, None, None, None);
    for (key, value) in pairs {
        let place = match &key.value {
            YamlValue::Scalar(text) if text == "url" => &mut url,
            YamlValue::Scalar(text) if text == "username" => &mut username,
            YamlValue::Scalar(text) if text == "password_file" => &mut password_file,
            YamlValue::Scalar(text) if text == "ca_file" => &mut ca_file,
            YamlValue::Scalar(text) if PROMFETCHER.contains(&text.as_str()) => {
                let write = translated(pairs);
                let cause =
                    format!("found the keys of promfetcher; write - {write}, and put {PASSWORD}");
                return Err(problems.unusable(node, KEY, cause));
            }
            _ => {
                problems.warn_unknown(key, &KEYS);
                continue;
            }
        };
        *place = match &value.value {
            YamlValue::Null => None,
            YamlValue::Scalar(text) if !text.is_empty() && !text.contains('\0') => {
                Some(text.as_str())
            }
            _ => return Err(problems.wrong(value, KEY, "a string that is not empty")),
        };
    }
    let (is_tls, address, path) = url.and_then(parts).ok_or_else(|| {
        let expected = "http://host:port/routes or https://host:port/routes";
        let (found, expected) = match url {
            None => ("no url".to_owned(), expected),
            // The error does not quote the URL, because it may have a password.
            Some(url) if url.contains('@') => (
                "a URL with a user".to_owned(),
                "username and password_file beside url",
            ),
            Some(url) => (format!("the url {:?}", excerpt(url)), expected),
        };
        problems.unfit(node, KEY, found, expected)
    })?;
    let credentials = match (username, password_file) {
        (Some(username), Some(file)) => Some((username.to_owned(), folder.join(file))),
        (None, None) => None,
        _ => {
            let found = "only one of username and password_file".to_owned();
            return Err(problems.unfit(node, KEY, found, "both or neither"));
        }
    };
    Ok(GorouterConfig {
        address,
        is_tls,
        path,
        credentials,
        ca_file: ca_file.map(|file| folder.join(file)),
    })
}

/// Whether a URL has TLS, its host with the port, and its path.
fn parts(url: &str) -> Option<(bool, HostPort, String)> {
    let (is_tls, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.len() > 1 { path } else { PATH };
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let usual = if is_tls { 443 } else { 80 };
    let address = HostPort::parse(host).or_else(|_| HostPort::parse(&format!("{host}:{usual}")));
    is_plain.then_some((is_tls, address.ok()?, path.to_owned()))
}

/// The text that replaces promfetcher's list of routers; `None` if `node` is no such list.
pub(super) fn of_promfetcher(node: &YamlNode) -> Option<String> {
    let YamlValue::List(routers) = &node.value else {
        return None;
    };
    let routers = routers.iter().take(MOST_TRANSLATED);
    let routers = routers.filter_map(|one| match &one.value {
        YamlValue::Map(pairs) => Some(translated(pairs)),
        _ => None,
    });
    let routers: Vec<String> = routers.collect();
    (!routers.is_empty()).then(|| {
        let routers = routers.join(", ");
        format!("fan_in: {{{GOROUTERS}: [{routers}]}}, and put {PASSWORD}")
    })
}

/// The hint about a password in promfetcher's file.
const PASSWORD: &str = "the password, if there is one, into the file FILE";

/// The text that replaces promfetcher's `host`, `port`, `user` and `pass`.
fn translated(pairs: &[super::yaml::Pair]) -> String {
    let value = |wanted: &str| {
        let mut values = pairs
            .iter()
            .filter_map(|(key, value)| match (&key.value, &value.value) {
                (YamlValue::Scalar(key), YamlValue::Scalar(text)) if key == wanted => Some(text),
                _ => None,
            });
        values.next().map(|text| excerpt(text))
    };
    let host = value("host").unwrap_or("localhost");
    let port = value("port").unwrap_or("8080");
    let url = format!("http://{host}:{port}{PATH}");
    match value("user") {
        Some(user) => format!("{{url: {url:?}, username: {user:?}, password_file: FILE}}"),
        None => format!("{{url: {url:?}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parsed(router: &str) -> Result<GorouterConfig, String> {
        let yaml = format!("fan_in:\n  gorouters:\n  - {router}\n");
        let config =
            Config::parse(Path::new("/etc/c.yml"), &yaml).map_err(|error| error.to_string())?;
        assert_eq!(config.warnings, []);
        let mut routers = config.fan_in.unwrap().gorouters;
        Ok(routers.remove(0))
    }

    #[test]
    fn router_has_an_address_and_a_path() {
        let router =
            parsed("{url: 'https://[::1]:8443', username: u, password_file: p, ca_file: /ca.pem}")
                .unwrap();
        assert_eq!(router.url(), "https://[::1]:8443/routes");
        assert_eq!(router.credentials, Some(("u".to_owned(), "/etc/p".into())));
        assert_eq!(router.ca_file, Some("/ca.pem".into()));
        let router = parsed("{url: 'http://10.0.0.1:8082/x/routes?a=b', ca_file: ~}").unwrap();
        assert_eq!(router.url(), "http://10.0.0.1:8082/x/routes?a=b");
        assert!(!router.is_tls && router.credentials.is_none() && router.ca_file.is_none());
        for (url, shown) in [
            ("http://router/x", "http://router:80/x"),
            ("https://router", "https://router:443/routes"),
            ("https://[::1]", "https://[::1]:443/routes"),
            ("https://router:8443/", "https://router:8443/routes"),
        ] {
            let router = parsed(&format!("{{url: '{url}'}}")).unwrap();
            assert_eq!(router.url(), shown);
        }
    }

    #[test]
    fn keys_of_promfetcher_are_translated() {
        let error = parsed("{host: 10.0.0.1, port: 8080, user: admin, pass: secret}").unwrap_err();
        assert_eq!(
            error,
            "/etc/c.yml:3: fan_in: gorouters: found the keys of promfetcher; write - {url: \"http://10.0.0.1:8080/routes\", \
             username: \"admin\", password_file: FILE}, and put the password, if there is one, into the file FILE"
        );
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (router, error) in [
            ("{}", "found no url, expected http://host:port/routes"),
            (
                "{url: 'https://u:S3cret@router:80/routes'}",
                "found a URL with a user, expected username and password_file beside url",
            ),
            // A slash in a password ends the host.
            ("{url: 'http://u:S3cret/@router'}", "a URL with a user"),
            ("{url: 'u:S3cret@router:80'}", "a URL with a user"),
            ("{url:https://u:S3cret@router}", "found no url"),
            ("'http://u:S3cret@router'", "found a string \"(not shown"),
            ("{host: 'u:S3cret@router', port: 80}", "//(not shown"),
            ("{url: '10.0.0.1:80'}", "expected http://host:port"),
            ("{url: 'http://10.0.0.1:0/'}", "expected http://host:port"),
            ("{url: 'http://router:x/'}", "expected http://host:port"),
            (
                "{url: 'http://10.0.0.1:80/a b'}",
                "expected http://host:port",
            ),
            (
                "{url: 'http://10.0.0.1:80', username: u}",
                "found only one of username and password_file",
            ),
            ("{url: [a]}", "a string that is not empty"),
            ("a", "a map with url"),
        ] {
            let found = parsed(router).unwrap_err();
            assert!(
                found.starts_with("/etc/c.yml:3: fan_in: gorouters: ") && found.contains(error),
                "{router}: {found}"
            );
            assert!(!found.contains("S3cret"), "{router}: {found}");
        }
    }
}
