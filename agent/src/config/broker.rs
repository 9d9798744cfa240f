//! `broker` of the section `fan_in`: the service broker, which stores a path for each application.

use std::path::{Path, PathBuf};

use super::ConfigError;
use super::problems::Problems;
use super::yaml::{Pair, YamlNode, YamlValue};

const KEY: &str = "fan_in: broker";
const KEYS: [&str; 5] = ["file", "password_file", "plan_id", "service_id", "username"];
/// The keys of promfetcher's section.
const PROMFETCHER: [&str; 4] = ["broker_service_id", "broker_plan_id", "user", "pass"];
/// The ids of promfetcher's service and plan.
const SERVICE_ID: &str = "75bcebab-cc25-4ef6-89dc-a91b953919f1";
const PLAN_ID: &str = "e2900be3-709b-419e-b63b-de3aabcd9e15";
/// The default file, in the directory of systemd's `StateDirectory=headcount`.
const FILE: &str = "/var/lib/headcount/broker.json";
/// Most bytes of the file with the password.
const MOST_PASSWORD: u64 = 4096;

/// The service broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// The user name of the platform.
    pub username: String,
    /// The file with the password of that user.
    pub password_file: PathBuf,
    /// The id of the service in the catalog.
    pub service_id: String,
    /// The id of its plan.
    pub plan_id: String,
    /// The file with the stored paths of the applications.
    pub file: PathBuf,
}

impl BrokerConfig {
    /// Reads the password: the content of its file without the line break at the end.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or has no password.
    pub fn password(&self) -> Result<String, String> {
        use std::io::Read as _;
        let problem = |what: String| {
            let file = self.password_file.display();
            format!(
                "{KEY}: password_file: {file}: {what}; write a password of its own into the file"
            )
        };
        let mut text = String::new();
        let read = std::fs::File::open(&self.password_file)
            .and_then(|file| file.take(MOST_PASSWORD + 1).read_to_string(&mut text));
        read.map_err(|error| problem(error.to_string()))?;
        let password = text.trim_end_matches(['\n', '\r']);
        match password.len() as u64 {
            0 => Err(problem("there is no password in it".to_owned())),
            1..=MOST_PASSWORD => Ok(password.to_owned()),
            _ => Err(problem(format!("it has more than {MOST_PASSWORD} bytes"))),
        }
    }
}

/// Parses the section. Paths of files are relative to `folder`.
pub(super) fn parse(
    node: &YamlNode,
    folder: &Path,
    problems: &mut Problems<'_>,
) -> Result<BrokerConfig, ConfigError> {
    let YamlValue::Map(pairs) = &node.value else {
        return Err(problems.wrong(node, KEY, "a map with username and password_file"));
    };
    let (mut username, mut password_file) = (None, None);
    let (mut service_id, mut plan_id, mut file) = (SERVICE_ID, PLAN_ID, FILE);
    for (key, value) in pairs {
        let name = match &key.value {
            YamlValue::Scalar(text) => text.as_str(),
            _ => "",
        };
        if PROMFETCHER.contains(&name) {
            return Err(problems.unusable(node, KEY, translated(pairs)));
        }
        if !KEYS.contains(&name) {
            problems.warn_unknown(key, &KEYS);
            continue;
        }
        let text = match &value.value {
            YamlValue::Null => continue,
            YamlValue::Scalar(text) if !text.is_empty() && !text.contains(char::is_control) => text,
            _ => return Err(problems.wrong(value, KEY, "a string that is not empty")),
        };
        match name {
            "username" if text.contains(':') => {
                // The error does not quote it, because the rest may be the password.
                let found = "a username with a colon".to_owned();
                return Err(problems.unfit(value, KEY, found, "a name without a colon"));
            }
            "username" => username = Some(text.clone()),
            "password_file" => password_file = Some(folder.join(text)),
            "service_id" => service_id = text,
            "plan_id" => plan_id = text,
            _ => file = text,
        }
    }
    let (Some(username), Some(password_file)) = (username, password_file) else {
        let found = "no username or no password_file".to_owned();
        return Err(problems.unfit(node, KEY, found, "both: there is no default password"));
    };
    Ok(BrokerConfig {
        username,
        password_file,
        service_id: service_id.to_owned(),
        plan_id: plan_id.to_owned(),
        file: folder.join(file),
    })
}

/// The text that replaces promfetcher's keys.
fn translated(pairs: &[Pair]) -> String {
    let names = [
        ("user", "username"),
        ("broker_service_id", "service_id"),
        ("broker_plan_id", "plan_id"),
    ];
    let mut keys = Vec::new();
    for (theirs, ours) in names {
        let value = pairs
            .iter()
            .find_map(|(key, value)| match (&key.value, &value.value) {
                (YamlValue::Scalar(key), YamlValue::Scalar(text)) if key == theirs => Some(text),
                _ => None,
            });
        match value {
            Some(text) => keys.push(format!("{ours}: {:?}", super::problems::excerpt(text))),
            None if ours == "username" => keys.push(format!("{ours}: USER")),
            None => {}
        }
    }
    format!(
        "found the keys of promfetcher; write {{{}, password_file: FILE}}, and put the password into that file",
        keys.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parsed(broker: &str) -> Result<BrokerConfig, String> {
        let yaml = format!("fan_in:\n  broker: {broker}\n");
        let config =
            Config::parse(Path::new("/etc/c.yml"), &yaml).map_err(|error| error.to_string())?;
        assert_eq!(config.warnings, []);
        Ok(config.fan_in.unwrap().broker.unwrap())
    }

    #[test]
    fn broker_has_the_ids_of_promfetcher_unless_the_section_says_otherwise() {
        let broker = parsed("{username: u, password_file: p, plan_id: ~}").unwrap();
        let expected = BrokerConfig {
            username: "u".to_owned(),
            password_file: "/etc/p".into(),
            service_id: "75bcebab-cc25-4ef6-89dc-a91b953919f1".to_owned(),
            plan_id: "e2900be3-709b-419e-b63b-de3aabcd9e15".to_owned(),
            file: "/var/lib/headcount/broker.json".into(),
        };
        assert_eq!(broker, expected);
        let broker =
            parsed("{username: u, password_file: /p, service_id: s, plan_id: t, file: b.json}")
                .unwrap();
        assert_eq!(
            (broker.service_id.as_str(), broker.plan_id.as_str()),
            ("s", "t")
        );
        assert_eq!(broker.file, Path::new("/etc/b.json"));
    }

    #[test]
    fn section_without_credentials_is_refused() {
        for (broker, error) in [
            ("{}", "expected both: there is no default password"),
            (
                "{username: u}",
                "found no username or no password_file, expected both",
            ),
            (
                "{password_file: p}",
                "found no username or no password_file",
            ),
            (
                "{username: 'a:S3cret', password_file: p}",
                "found a username with a colon, expected a name without a colon",
            ),
            (
                "{username: '', password_file: p}",
                "expected a string that is not empty",
            ),
            (
                "{username: \"a\\nb\", password_file: p}",
                "expected a string that is not empty",
            ),
            ("[a]", "expected a map with username and password_file"),
        ] {
            let found = parsed(broker).unwrap_err();
            assert!(
                found.starts_with("/etc/c.yml:2: fan_in: broker: ") && found.contains(error),
                "{broker}: {found}"
            );
        }
    }

    #[test]
    fn keys_of_promfetcher_are_translated() {
        let error = parsed("{user: admin, pass: secret, broker_plan_id: x}").unwrap_err();
        assert_eq!(
            error,
            "/etc/c.yml:2: fan_in: broker: found the keys of promfetcher; write {username: \"admin\", plan_id: \"x\", \
             password_file: FILE}, and put the password into that file"
        );
    }

    #[test]
    fn password_is_the_content_of_the_file_and_never_empty() {
        let folder = tempfile::tempdir().unwrap();
        let broker = BrokerConfig {
            password_file: folder.path().join("p"),
            ..parsed("{username: u, password_file: p}").unwrap()
        };
        assert!(broker.password().unwrap_err().contains("No such file"));
        for (text, expected) in [
            ("secret\n", Ok("secret")),
            (" a b \r\n", Ok(" a b ")),
            ("\n", Err("there is no password in it")),
            ("", Err("there is no password in it")),
        ] {
            std::fs::write(&broker.password_file, text).unwrap();
            match expected {
                Ok(password) => assert_eq!(broker.password().unwrap(), password),
                Err(error) => assert!(broker.password().unwrap_err().contains(error), "{text:?}"),
            }
        }
        std::fs::write(&broker.password_file, "x".repeat(4097)).unwrap();
        assert!(broker.password().unwrap_err().contains("more than 4096"));
    }
}
