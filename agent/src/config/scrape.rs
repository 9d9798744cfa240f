//! The key `scrape` of an item: how the agent asks its processes for metrics.

use super::problems::{Problems, excerpt};
use super::yaml::{YamlNode, YamlValue};
use super::{Config, ConfigError, Key, ScrapeConfig, ScrapePort};

const SCRAPE: &str = Key::Scrape.as_str();
const KEYS: [&str; 3] = ["port", "path", "scheme"];
/// The label that each instance has.
const INSTANCE: &str = "instance";

/// Parses the value of the key: `true`, `false` or a map.
pub(super) fn parse(
    node: &YamlNode,
    problems: &mut Problems<'_>,
) -> Result<Option<ScrapeConfig>, ConfigError> {
    let pairs = match &node.value {
        YamlValue::Null => return Ok(None),
        YamlValue::Map(pairs) => pairs,
        _ => {
            return match node.truth() {
                Some(is_wanted) => Ok(is_wanted.then(ScrapeConfig::default)),
                None => {
                    Err(problems.wrong(node, SCRAPE, "true, false, or a map such as {port: 9100}"))
                }
            };
        }
    };
    let mut scrape = ScrapeConfig::default();
    for (key, value) in pairs {
        let name = match &key.value {
            YamlValue::Scalar(text) if KEYS.contains(&text.as_str()) => text.as_str(),
            _ => {
                problems.warn_unknown(key, &KEYS);
                continue;
            }
        };
        let text = match &value.value {
            YamlValue::Null => continue,
            YamlValue::Scalar(text) => text.as_str(),
            _ => "",
        };
        let expected = match (name, text) {
            ("port", _) => match port(text) {
                Some(port) => {
                    scrape.port = port;
                    continue;
                }
                None => "auto, or a port from 1 to 65535",
            },
            ("path", _) if is_path(text) => {
                text.clone_into(&mut scrape.path);
                continue;
            }
            ("path", _) => {
                "a path in ASCII that begins with a slash, without spaces and without a query"
            }
            (_, "http" | "https") => {
                scrape.is_tls = text == "https";
                continue;
            }
            _ => "http or https",
        };
        let key = format!("{SCRAPE}: {name}");
        return Err(match &value.value {
            YamlValue::Scalar(text) => problems.unfit(
                value,
                &key,
                format!("a string {:?}", excerpt(text)),
                expected,
            ),
            _ => problems.wrong(value, &key, expected),
        });
    }
    Ok(Some(scrape))
}

fn port(text: &str) -> Option<ScrapePort> {
    match text {
        "auto" => Some(ScrapePort::Auto),
        _ => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .map(ScrapePort::Number),
    }
}

/// Whether a request can carry the path unchanged. The URL library rejects angle brackets and backquotes.
pub(super) fn is_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#<>`".contains(&byte);
    text.starts_with('/') && text.bytes().all(is_plain)
}

/// Sets `asks_processes` in the section `fan_in` if an item has the key. Refuses an item with a label `instance`, because its
/// instances would have equal labels. Refuses an item that would receive credentials although any user can start a process that
/// it matches.
pub(super) fn join(config: &mut Config) -> Result<(), ConfigError> {
    if config.items.iter().all(|item| item.scrape.is_none()) {
        return Ok(());
    }
    let fan_in = config.fan_in.get_or_insert_default();
    fan_in.asks_processes = true;
    let receivers = fan_in.forward_authorization.clone();
    for (index, item) in config.items.iter().enumerate() {
        if item.scrape.is_none() {
            continue;
        }
        if let Some(at) = item.labels.iter().position(|label| label.name == INSTANCE) {
            let cause = "an item with scrape cannot have the label instance: it is the address of the process";
            return Err(config.invalid(index, Key::Labels, Some(at), "label", cause));
        }
        let receives = item
            .name
            .as_ref()
            .is_some_and(|name| receivers.contains(&name.text));
        if receives && !item.is_of_owner() {
            let cause = "fan_in: forward_authorization sends credentials to this group, and any user can start a process that matches \
                         the item; add user or cgroup to it";
            return Err(config.invalid(index, Key::Name, None, "group", cause));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(item: &str, rest: &str) -> Result<Config, String> {
        let yaml = format!("process_names:\n- comm: [a]\n  {item}\n{rest}");
        Config::parse(Path::new("/c.yml"), &yaml).map_err(|error| error.to_string())
    }

    fn scrape(value: &str) -> Result<Option<ScrapeConfig>, String> {
        let config = parsed(&format!("scrape: {value}"), "")?;
        assert_eq!(config.warnings, []);
        let scrape = config.items[0].scrape.clone();
        assert_eq!(
            config.fan_in.is_some_and(|fan_in| fan_in.has_source()),
            scrape.is_some()
        );
        Ok(scrape)
    }

    #[test]
    fn scrape_is_read_with_its_defaults() {
        let default = Some(ScrapeConfig::default());
        for value in [
            "true",
            "{}",
            "{port: auto, path: /metrics, scheme: http}",
            "{port: , path: , scheme: }",
        ] {
            assert_eq!(scrape(value), Ok(default.clone()), "{value}");
        }
        for value in ["", "false"] {
            assert_eq!(scrape(value), Ok(None), "{value}");
        }
        let expected = ScrapeConfig {
            port: ScrapePort::Number(9100),
            path: "/m/x".to_owned(),
            is_tls: true,
        };
        assert_eq!(
            scrape("{port: 9100, path: /m/x, scheme: https}"),
            Ok(Some(expected))
        );
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        for (value, error) in [
            (
                "9100",
                "/c.yml:3: scrape: found a string \"9100\", expected true, false, or a map",
            ),
            (
                "{port: 0}",
                "/c.yml:3: scrape: port: found a string \"0\", expected auto, or a port",
            ),
            (
                "{port: [1]}",
                "scrape: port: found a list, expected auto, or a port",
            ),
            (
                "{path: metrics}",
                "expected a path in ASCII that begins with a slash",
            ),
            ("{path: '/m?x'}", "without a query"),
            ("{path: '/<m>'}", "expected a path in ASCII"),
            ("{path: \"/m\\n\"}", "without spaces"),
            ("{scheme: tcp}", "expected http or https"),
        ] {
            let found = scrape(value).unwrap_err();
            assert!(found.contains(error), "{value}: {found}");
        }
        let warned = parsed("scrape: {ports: 1}", "").unwrap().warnings;
        assert_eq!(
            warned[0].to_string(),
            "/c.yml:3: unknown key \"ports\" is ignored, did you mean \"port\"?"
        );
    }

    #[test]
    fn credentials_go_only_to_processes_of_certain_owners() {
        let section = "fan_in: {forward_authorization: [web]}";
        let item = |owner: &str| parsed(&format!("name: web\n  scrape: true{owner}"), section);
        let error = item("").unwrap_err();
        assert!(
            error.contains("/c.yml:3: ") && error.contains("add user or cgroup"),
            "{error}"
        );
        for owner in ["\n  user: [www]", "\n  cgroup: [web.slice]"] {
            assert!(item(owner).is_ok(), "{owner}");
        }
        assert!(parsed("name: other\n  scrape: true", section).is_ok());
        assert!(parsed("name: web", section).is_ok());
    }

    #[test]
    fn group_named_by_a_template_receives_no_credentials() {
        let may = |item: &str| {
            let config = parsed(&format!("{item}\n  scrape: true"), "").unwrap();
            config.items[0].may_receive_credentials()
        };
        assert!(may("name: web\n  user: [www]"));
        assert!(may("name: web\n  cgroup: [web.slice]"));
        for item in [
            "name: web",
            "name: '{{.Comm}}'\n  user: [www]",
            "name: 'a-{{.Pod}}'\n  cgroup: [kubepods]",
            "user: [www]",
        ] {
            assert!(!may(item), "{item}");
        }
    }

    #[test]
    fn label_instance_is_refused() {
        let error = parsed("scrape: true\n  labels: {instance: x}", "").unwrap_err();
        assert!(error.contains("cannot have the label instance"), "{error}");
        assert!(parsed("labels: {instance: x}", "").is_ok());
    }
}
