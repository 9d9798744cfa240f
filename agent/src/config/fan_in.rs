//! The section `fan_in`: where instances of applications come from, and how their metrics are merged.

use std::path::{Path, PathBuf};

use super::ConfigError;
use super::allowed_paths::{self, PathRule};
use super::broker::{self, BrokerConfig};
use super::exporters::{self, ExporterConfig};
use super::gorouters::{self, GorouterConfig};
use super::host_port::HostPort;
use super::nats::{self, NatsConfig};
use super::problems::{Problems, excerpt};
use super::yaml::{YamlNode, YamlValue};

/// The name of the section.
pub(super) const FAN_IN: &str = "fan_in";
const KEYS: [&str; 11] = [
    "allowed_paths",
    "broker",
    "ca_file",
    "external_exporters",
    "routes_file",
    "file_sd",
    "forward_authorization",
    "gorouters",
    "label_conflict",
    "limits",
    "nats",
];
const LIMITS: [&str; 4] = ["instances", "at_once", "instance_bytes", "answer_bytes"];
/// The extensions of files of Prometheus' `file_sd`.
const FILE_SD: [&str; 3] = ["json", "yml", "yaml"];

/// The section, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FanInConfig {
    /// Line of the section, from 1.
    pub line: usize,
    /// A file with routes in the JSON shape of a gorouter.
    pub routes_file: Option<PathBuf>,
    /// Files of Prometheus' `file_sd`; the last part of a path may have one `*`.
    pub file_sd: Vec<PathBuf>,
    /// Routers that are asked for their routes.
    pub gorouters: Vec<GorouterConfig>,
    /// The bus on which routes are announced.
    pub nats: Option<NatsConfig>,
    /// The service broker; `None`: there is none.
    pub broker: Option<BrokerConfig>,
    /// The authorities that sign certificates of instances; `None`: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The applications whose instances get the caller's `Authorization`: ids, or names of applications without an id.
    pub forward_authorization: Vec<String>,
    /// Services that the agent asks once for each application of an answer.
    pub external_exporters: Vec<ExporterConfig>,
    /// The only paths that callers may name for an application; the first rule that applies counts.
    pub allowed_paths: Vec<PathRule>,
    /// Whether an instance's own label in a conflict is kept as `exported_<name>`; otherwise it is overwritten.
    pub keeps_exported: bool,
    /// Bounds of the answers.
    pub limits: FanInLimits,
    /// Whether an item of `process_names` has the key `scrape`.
    pub asks_processes: bool,
}

/// Bounds of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanInLimits {
    /// Instances of one answer.
    pub instances: usize,
    /// Instances that are asked at the same time.
    pub at_once: usize,
    /// Bytes of the metrics of one instance, decompressed.
    pub instance_bytes: usize,
    /// Bytes of one answer.
    pub answer_bytes: usize,
}

impl Default for FanInLimits {
    fn default() -> Self {
        Self {
            instances: 1_000,
            at_once: 64,
            instance_bytes: 16 << 20,
            answer_bytes: 64 << 20,
        }
    }
}

impl FanInConfig {
    /// Whether there is a source of instances.
    pub const fn has_source(&self) -> bool {
        self.routes_file.is_some()
            || !self.file_sd.is_empty()
            || !self.gorouters.is_empty()
            || self.nats.is_some()
            || self.asks_processes
    }

    /// The hosts of routers, servers and exporters.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPort> {
        let routers = self.gorouters.iter().map(|one| &one.address);
        let servers = self.nats.iter().flat_map(|nats| &nats.servers);
        let exporters = self.external_exporters.iter().map(|one| &one.address);
        routers
            .chain(servers.map(|one| &one.address))
            .chain(exporters)
    }
}

/// Parses the section. Paths in it are relative to the folder of the configuration file.
pub(super) fn parse(
    node: &YamlNode,
    problems: &mut Problems<'_>,
) -> Result<Option<FanInConfig>, ConfigError> {
    let pairs = match &node.value {
        YamlValue::Null => return Ok(None),
        YamlValue::Map(pairs) => pairs,
        _ => return Err(problems.wrong(node, FAN_IN, "a map (such as routes_file: routes.json)")),
    };
    let folder = problems.path.parent().unwrap_or(Path::new(""));
    let mut config = FanInConfig {
        line: node.line,
        ..FanInConfig::default()
    };
    for (key, value) in pairs {
        let name = match &key.value {
            YamlValue::Scalar(text) => text.as_str(),
            _ => "",
        };
        match (name, &value.value) {
            (known, YamlValue::Null) if KEYS.contains(&known) => {}
            ("routes_file", _) => {
                let file = text(value, "fan_in: routes_file", "the path of a file", problems)?;
                config.routes_file = Some(folder.join(file));
            }
            ("gorouters", _) => config.gorouters = gorouters::parse(value, folder, problems)?,
            ("external_exporters", _) => {
                config.external_exporters = exporters::parse(value, problems)?;
            }
            ("allowed_paths", _) => config.allowed_paths = allowed_paths::parse(value, problems)?,
            ("nats", _) => config.nats = Some(nats::parse(value, folder, problems)?),
            ("broker", _) => config.broker = Some(broker::parse(value, folder, problems)?),
            ("ca_file", _) => {
                let file = text(value, "fan_in: ca_file", "the path of a file", problems)?;
                config.ca_file = Some(folder.join(file));
            }
            ("file_sd", _) => {
                for file in list(value, "fan_in: file_sd", problems)? {
                    config.file_sd.push(folder.join(pattern(file, problems)?));
                }
            }
            ("forward_authorization", _) => {
                let key = "fan_in: forward_authorization";
                for one in list(value, key, problems)? {
                    let application = text(one, key, "the id of an application", problems)?;
                    config.forward_authorization.push(application.to_owned());
                }
            }
            ("label_conflict", YamlValue::Scalar(text)) if text == "overwrite" => {
                config.keeps_exported = false;
            }
            ("label_conflict", YamlValue::Scalar(text)) if text == "exported" => {
                config.keeps_exported = true;
            }
            ("label_conflict", _) => {
                let expected =
                    "overwrite, or exported (the instance's label is kept as exported_<name>)";
                return Err(problems.wrong(value, "fan_in: label_conflict", expected));
            }
            ("limits", _) => config.limits = limits(value, problems)?,
            _ => problems.warn_unknown(key, &KEYS),
        }
    }
    Ok(Some(config))
}

fn limits(node: &YamlNode, problems: &mut Problems<'_>) -> Result<FanInLimits, ConfigError> {
    let YamlValue::Map(pairs) = &node.value else {
        let expected = "a map with instances, at_once, instance_bytes or answer_bytes";
        return Err(problems.wrong(node, "fan_in: limits", expected));
    };
    let mut limits = FanInLimits::default();
    for (key, value) in pairs {
        let (limit, most) = match &key.value {
            YamlValue::Scalar(text) if text == LIMITS[0] => (&mut limits.instances, 20_000),
            YamlValue::Scalar(text) if text == LIMITS[1] => (&mut limits.at_once, 1_000),
            YamlValue::Scalar(text) if text == LIMITS[2] => (&mut limits.instance_bytes, 1 << 30),
            YamlValue::Scalar(text) if text == LIMITS[3] => (&mut limits.answer_bytes, 1 << 30),
            _ => {
                problems.warn_unknown(key, &LIMITS);
                continue;
            }
        };
        *limit = match &value.value {
            YamlValue::Null => continue,
            YamlValue::Scalar(text) => text.parse().ok().filter(|one| (1..=most).contains(one)),
            _ => None,
        }
        .ok_or_else(|| {
            let expected = "a whole number from 1, at most 20000 instances, 1000 at once, and 1073741824 bytes";
            problems.wrong(value, "fan_in: limits", expected)
        })?;
    }
    Ok(limits)
}

/// A path or a pattern: it ends in .json, .yml or .yaml, and only its last part has a `*`, at most one. Prometheus accepts further
/// patterns there; the agent would take them for parts of the name.
fn pattern<'n>(node: &'n YamlNode, problems: &Problems<'_>) -> Result<&'n str, ConfigError> {
    let expected = "a path that ends in .json, .yml or .yaml, with at most one * and that in its last part, \
                    and there without the other patterns of Prometheus (? [ ] \\)";
    let pattern = text(node, "fan_in: file_sd", expected, problems)?;
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let end = name
        .rsplit_once('.')
        .map(|(_, end)| end.to_ascii_lowercase());
    let is_known = end.is_some_and(|end| FILE_SD.contains(&end.as_str()));
    let is_one = name.matches('*').count() <= 1 && !name.contains(['?', '[', ']', '\\']);
    match is_known && !folder.contains('*') && is_one {
        true => Ok(pattern),
        false => Err(problems.wrong(node, "fan_in: file_sd", expected)),
    }
}

fn list<'n>(
    node: &'n YamlNode,
    key: &str,
    problems: &Problems<'_>,
) -> Result<impl Iterator<Item = &'n YamlNode>, ConfigError> {
    match &node.value {
        YamlValue::List(elements) => Ok(elements.iter().map(std::rc::Rc::as_ref)),
        _ => Err(problems.wrong(node, key, "a list (in brackets, or each behind a dash)")),
    }
}

fn text<'n>(
    node: &'n YamlNode,
    key: &str,
    expected: &'static str,
    problems: &Problems<'_>,
) -> Result<&'n str, ConfigError> {
    match &node.value {
        // A URL is no path of a file. As one, it would be quoted with its password when the file is missing.
        YamlValue::Scalar(text)
            if !text.is_empty() && !text.contains('\0') && !text.contains("://") =>
        {
            Ok(text)
        }
        YamlValue::Scalar(text) => {
            let found = format!("a string {:?}", excerpt(text));
            Err(problems.unfit(node, key, found, expected))
        }
        _ => Err(problems.wrong(node, key, expected)),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::config::Config;

    fn parsed(section: &str) -> Result<Config, String> {
        let mut yaml = "process_names:\n- comm: [a]\nfan_in:\n".to_owned();
        section.lines().for_each(|line| {
            let _ = writeln!(yaml, "  {line}");
        });
        Config::parse(Path::new("/etc/headcount/c.yml"), &yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn section_is_read_with_its_defaults() {
        let config = parsed(
            "routes_file: routes.json\nfile_sd: ['targets/*.yml', '/srv/[?]/a.JSON']\nforward_authorization: [some-id]\n\
             ca_file: ca.pem\nlabel_conflict: exported\nlimits: {instances: 50, at_once: 8}",
        )
        .unwrap();
        assert_eq!(config.warnings, []);
        let expected = FanInConfig {
            line: 4,
            routes_file: Some("/etc/headcount/routes.json".into()),
            file_sd: vec![
                "/etc/headcount/targets/*.yml".into(),
                "/srv/[?]/a.JSON".into(),
            ],
            gorouters: Vec::new(),
            nats: None,
            broker: None,
            ca_file: Some("/etc/headcount/ca.pem".into()),
            forward_authorization: vec!["some-id".to_owned()],
            external_exporters: Vec::new(),
            allowed_paths: Vec::new(),
            keeps_exported: true,
            limits: FanInLimits {
                instances: 50,
                at_once: 8,
                ..FanInLimits::default()
            },
            asks_processes: false,
        };
        assert_eq!(config.fan_in, Some(expected));
        let bare = parsed("routes_file:\nfile_sd:\nlabel_conflict: ~\nlimits:").unwrap();
        assert_eq!(
            bare.fan_in,
            Some(FanInConfig {
                line: 4,
                ..FanInConfig::default()
            })
        );
        assert_eq!(parsed("").unwrap().fan_in, None);
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        for (section, error) in [
            ("- a", r#"4: fan_in: found a list, expected a map"#),
            (
                "routes_file: [a]",
                "4: fan_in: routes_file: found a list, expected the path of a file",
            ),
            (
                "\nroutes_file: ''",
                r#"5: fan_in: routes_file: found a string "", expected the path"#,
            ),
            (
                "routes_file: 'https://router/routes'",
                r#"found a string "https://router/routes", expected the path of a file"#,
            ),
            (
                "file_sd: ['https://u:S3cret@h/t.json']",
                r#"found a string "(not shown: it may have a password)", expected a path that"#,
            ),
            (
                "file_sd: a.yml",
                r#"4: fan_in: file_sd: found a string "a.yml", expected a list"#,
            ),
            (
                "file_sd: [a.yml,\n b.txt]",
                r#"5: fan_in: file_sd: found a string "b.txt", expected a path that ends in"#,
            ),
            (
                "file_sd: ['*/a.yml']",
                "at most one * and that in its last part",
            ),
            (
                "file_sd: ['*a*.yml']",
                "at most one * and that in its last part",
            ),
            (
                "file_sd: ['t/[ab].json']",
                r#"found a string "t/[ab].json", expected a path that ends in .json, .yml or .yaml, with at most one *"#,
            ),
            (
                "file_sd: ['t/?.json']",
                r"without the other patterns of Prometheus (? [ ] \)",
            ),
            (r"file_sd: ['t/a].yml']", "without the other patterns"),
            (r"file_sd: ['t/a\*.yml']", "without the other patterns"),
            (
                "label_conflict: keep",
                r#"found a string "keep", expected overwrite, or exported"#,
            ),
            (
                "limits: {at_once: 0}",
                r#"4: fan_in: limits: found a string "0", expected a whole number from 1"#,
            ),
            ("limits: {instances: 20001}", "at most 20000 instances"),
            ("limits: 3", "a map with instances, at_once"),
            (
                "forward_authorization: [[]]",
                "expected the id of an application",
            ),
        ] {
            let found = parsed(section).unwrap_err();
            assert!(
                found.starts_with("/etc/headcount/c.yml:") && found.contains(error),
                "{section}: {found}"
            );
        }
    }

    #[test]
    fn unknown_keys_are_warned_of() {
        let section =
            "route_file: a\nlimits: {instance: 4}\n'routes_file:http://u:S3cret@h/routes':";
        let config = parsed(section).unwrap();
        let warnings = config.warnings.iter().map(ToString::to_string);
        assert_eq!(
            warnings.collect::<Vec<_>>(),
            [
                "/etc/headcount/c.yml:4: unknown key \"route_file\" is ignored, did you mean \"routes_file\"?",
                "/etc/headcount/c.yml:5: unknown key \"instance\" is ignored, did you mean \"instances\"?",
                "/etc/headcount/c.yml:6: unknown key \"(not shown: it may have a password)\" is ignored",
            ]
        );
        assert!(!config.fan_in.unwrap().has_source());
    }
}
