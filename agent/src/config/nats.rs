//! `nats` of the section `fan_in`: the NATS servers on which components of Cloud Foundry announce their routes.

use std::path::{Path, PathBuf};

use super::ConfigError;
use super::host_port::HostPort;
use super::problems::{Problems, excerpt};
use super::yaml::{Pair, YamlNode, YamlValue};

const KEY: &str = "fan_in: nats";
const KEYS: [&str; 7] = [
    "ca_file",
    "cert_file",
    "key_file",
    "password_file",
    "server_name",
    "servers",
    "username",
];
/// The keys of promfetcher's section.
const PROMFETCHER: [&str; 7] = [
    "ca_certs",
    "cert_chain",
    "hosts",
    "pass",
    "private_key",
    "tls_enabled",
    "user",
];
const EXPECTED_SERVERS: &str =
    "a list of servers (such as nats://10.0.0.1:4222 or tls://nats.example.com:4222)";
const EXPECTED_TEXT: &str = "a string that is not empty";
const EXPECTED_BOTH: &str = "both or neither";

/// The servers of one bus. The agent is connected to one of them at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// At least one.
    pub servers: Vec<NatsServerConfig>,
    /// The user name, and the file with the password.
    pub credentials: Option<(String, PathBuf)>,
    /// The authorities that may sign certificates of servers; `None`: those of instances.
    pub ca_file: Option<PathBuf>,
    /// The name that certificates of servers must have; `None`: the host of each server.
    pub server_name: Option<String>,
    /// The certificate that the agent shows, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServerConfig {
    /// Its host and port.
    pub address: HostPort,
    /// Whether it must offer TLS.
    pub is_tls: bool,
}

impl NatsServerConfig {
    /// The URL.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "tls" } else { "nats" };
        format!("{scheme}://{}", self.address)
    }

    fn parse(url: &str) -> Option<Self> {
        let (is_tls, address) = match url.strip_prefix("tls://") {
            Some(address) => (true, address),
            None => (false, url.strip_prefix("nats://")?),
        };
        let address = HostPort::parse(address).ok()?;
        Some(Self { address, is_tls })
    }
}

/// Parses the section. Paths of files are relative to `folder`.
pub(super) fn parse(
    node: &YamlNode,
    folder: &Path,
    problems: &mut Problems<'_>,
) -> Result<NatsConfig, ConfigError> {
    let YamlValue::Map(pairs) = &node.value else {
        return Err(problems.wrong(node, KEY, "a map with servers, username and password_file"));
    };
    let mut servers = Vec::new();
    let (mut username, mut password_file, mut ca_file) = (None, None, None);
    let (mut server_name, mut cert_file, mut key_file) = (None, None, None);
    for (key, value) in pairs {
        let name = match &key.value {
            YamlValue::Scalar(text) => text.as_str(),
            _ => "",
        };
        let place = match name {
            "servers" => {
                servers = parse_servers(value, problems)?;
                continue;
            }
            "username" => &mut username,
            "password_file" => &mut password_file,
            "ca_file" => &mut ca_file,
            "server_name" => &mut server_name,
            "cert_file" => &mut cert_file,
            "key_file" => &mut key_file,
            known if PROMFETCHER.contains(&known) => {
                return Err(problems.unusable(node, KEY, translated(pairs)));
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
            _ => return Err(problems.wrong(value, KEY, EXPECTED_TEXT)),
        };
    }
    if servers.is_empty() {
        return Err(problems.unfit(node, KEY, "no servers".to_owned(), EXPECTED_SERVERS));
    }
    let pair = |one: Option<&str>, other: Option<&str>, names| match (one, other) {
        (Some(one), Some(other)) => Ok(Some((one.to_owned(), folder.join(other)))),
        (None, None) => Ok(None),
        _ => Err(problems.unfit(node, KEY, format!("only one of {names}"), EXPECTED_BOTH)),
    };
    let identity = pair(cert_file, key_file, "cert_file and key_file")?;
    Ok(NatsConfig {
        servers,
        credentials: pair(username, password_file, "username and password_file")?,
        ca_file: ca_file.map(|file| folder.join(file)),
        server_name: server_name.map(str::to_owned),
        identity: identity.map(|(certificate, key)| (folder.join(certificate), key)),
    })
}

fn parse_servers(
    node: &YamlNode,
    problems: &Problems<'_>,
) -> Result<Vec<NatsServerConfig>, ConfigError> {
    let YamlValue::List(servers) = &node.value else {
        return Err(problems.wrong(node, KEY, EXPECTED_SERVERS));
    };
    let servers = servers.iter().map(|server| match &server.value {
        // The error does not quote the URL, because it may have a password.
        YamlValue::Scalar(url) if url.contains('@') => {
            let found = "a URL with a user".to_owned();
            Err(problems.unfit(
                server,
                KEY,
                found,
                "username and password_file beside servers",
            ))
        }
        YamlValue::Scalar(url) => NatsServerConfig::parse(url)
            .ok_or_else(|| problems.wrong(server, KEY, EXPECTED_SERVERS)),
        _ => Err(problems.wrong(server, KEY, EXPECTED_SERVERS)),
    });
    servers.collect()
}

/// The text that replaces promfetcher's keys.
fn translated(pairs: &[Pair]) -> String {
    let text = |pairs: &[Pair], wanted: &str| {
        let mut values = pairs.iter();
        values.find_map(|(key, value)| match (&key.value, &value.value) {
            (YamlValue::Scalar(key), YamlValue::Scalar(text)) if key == wanted => {
                Some(excerpt(text).to_owned())
            }
            _ => None,
        })
    };
    let is_tls = text(pairs, "tls_enabled").is_some_and(|value| value == "true");
    let scheme = if is_tls { "tls" } else { "nats" };
    let of_list = |value: &YamlNode| match &value.value {
        YamlValue::List(hosts) => hosts.clone(),
        _ => Vec::new(),
    };
    let is_hosts =
        |key: &YamlNode| matches!(&key.value, YamlValue::Scalar(text) if text == "hosts");
    let hosts = pairs.iter().filter(|(key, _)| is_hosts(key));
    let hosts = hosts.flat_map(|(_, value)| of_list(value)).map(|host| {
        let pairs = match &host.value {
            YamlValue::Map(pairs) => &pairs[..],
            _ => &[],
        };
        let name = text(pairs, "hostname").unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = text(pairs, "port").unwrap_or_else(|| "4222".to_owned());
        format!("\"{scheme}://{name}:{port}\"")
    });
    let mut servers: Vec<String> = hosts.take(16).collect();
    if servers.is_empty() {
        servers.push(format!("\"{scheme}://127.0.0.1:4222\""));
    }
    let user = text(pairs, "user").filter(|user| !user.is_empty());
    let user = user.map_or(String::new(), |user| {
        format!(", username: {user:?}, password_file: FILE")
    });
    let tls = if is_tls {
        ", ca_file: FILE, cert_file: FILE, key_file: FILE"
    } else {
        ""
    };
    format!(
        "found the keys of promfetcher; write nats: {{servers: [{}]{user}{tls}}}, and put passwords, \
         certificates and keys into these files",
        servers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parsed(nats: &str) -> Result<NatsConfig, String> {
        let yaml = format!("fan_in:\n  nats: {nats}\n");
        let config =
            Config::parse(Path::new("/etc/c.yml"), &yaml).map_err(|error| error.to_string())?;
        assert_eq!(config.warnings, []);
        Ok(config.fan_in.unwrap().nats.unwrap())
    }

    #[test]
    fn bus_has_servers_and_files_beside_the_configuration() {
        let nats = parsed(
            "{servers: ['nats://127.0.0.1:4222', 'tls://[::1]:4224'], username: u, password_file: p, ca_file: /ca.pem, \
             server_name: nats.internal, cert_file: c.pem, key_file: k.pem}",
        )
        .unwrap();
        let urls = nats.servers.iter().map(NatsServerConfig::url);
        assert_eq!(
            urls.collect::<Vec<_>>(),
            ["nats://127.0.0.1:4222", "tls://[::1]:4224"]
        );
        assert_eq!(nats.credentials, Some(("u".to_owned(), "/etc/p".into())));
        assert_eq!(nats.ca_file, Some("/ca.pem".into()));
        assert_eq!(nats.server_name.as_deref(), Some("nats.internal"));
        assert_eq!(
            nats.identity,
            Some(("/etc/c.pem".into(), "/etc/k.pem".into()))
        );
        let nats = parsed("{servers: ['nats://10.0.0.1:4222'], ca_file: ~}").unwrap();
        assert_eq!(
            (nats.credentials, nats.ca_file, nats.identity),
            (None, None, None)
        );
    }

    #[test]
    fn keys_of_promfetcher_are_translated() {
        let begin = "/etc/c.yml:2: fan_in: nats: found the keys of promfetcher; write nats: ";
        for (nats, line) in [
            (
                "{hosts: [{hostname: 10.0.0.1, port: 4222}, {hostname: localhost}], user: n, pass: secret}",
                r#"{servers: ["nats://10.0.0.1:4222", "nats://localhost:4222"], username: "n", password_file: FILE}, and"#,
            ),
            (
                "{hosts: [{hostname: nats.internal, port: 4224}], user: '', tls_enabled: true, ca_certs: x, cert_chain: y}",
                r#"{servers: ["tls://nats.internal:4224"], ca_file: FILE, cert_file: FILE, key_file: FILE}, and"#,
            ),
            ("{user: ''}", r#"{servers: ["nats://127.0.0.1:4222"]}, and"#),
        ] {
            let error = parsed(nats).unwrap_err();
            assert!(
                error.starts_with(&format!("{begin}{line}")) && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (nats, error) in [
            (
                "{}",
                "found no servers, expected a list of servers (such as nats://",
            ),
            ("{servers: []}", "found no servers"),
            ("{servers: 'nats://10.0.0.1:4222'}", "a list of servers"),
            (
                "{servers: ['nats://-router:4222']}",
                "\"nats://-router:4222\", expected a list",
            ),
            ("{servers: ['10.0.0.1:4222']}", "a list of servers"),
            (
                "{servers: ['nats://u:S3cret@10.0.0.1:4222']}",
                "found a URL with a user, expected username and password_file beside servers",
            ),
            (
                "{servers: 'nats://u@h:S3cret@10.0.0.1:4222'}",
                "found a string \"(not shown: it may have a password)\", expected a list",
            ),
            ("{hosts: [{hostname: 'u:S3cret@h'}]}", "nats://(not shown"),
            ("{servers: ['nats://10.0.0.1:0']}", "a list of servers"),
            (
                "{servers: ['nats://10.0.0.1:4222'], username: u}",
                "found only one of username and password_file, expected both",
            ),
            (
                "{servers: ['nats://10.0.0.1:4222'], key_file: k}",
                "found only one of cert_file and key_file",
            ),
            (
                "{servers: ['nats://10.0.0.1:4222'], username: [u]}",
                "a string that is not empty",
            ),
            ("a", "a map with servers"),
        ] {
            let found = parsed(nats).unwrap_err();
            assert!(
                found.starts_with("/etc/c.yml:2: fan_in: nats: ") && found.contains(error),
                "{nats}: {found}"
            );
            assert!(!found.contains("S3cret"), "{nats}: {found}");
        }
    }
}
