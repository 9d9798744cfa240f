//! `allowed_paths` of the section `fan_in`: the paths at which callers may ask for the metrics of an application.

use super::ConfigError;
use super::problems::{Problems, excerpt};
use super::scrape::is_path;
use super::yaml::{YamlNode, YamlValue};

const KEY: &str = "fan_in: allowed_paths";

/// The paths of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// Its id, its name, its names with slashes between them, or one of its routes.
    pub application: String,
    /// At least one.
    pub paths: Vec<String>,
}

/// Parses the map of applications to lists of paths.
pub(super) fn parse(
    node: &YamlNode,
    problems: &Problems<'_>,
) -> Result<Vec<PathRule>, ConfigError> {
    let YamlValue::Map(pairs) = &node.value else {
        let expected =
            "a map of applications to lists of paths (such as org/space/app: [/metrics])";
        return Err(problems.wrong(node, KEY, expected));
    };
    let rules = pairs.iter().map(|(key, value)| {
        let application = match &key.value {
            YamlValue::Scalar(text) if !text.is_empty() => text.clone(),
            _ => {
                let expected =
                    "the id, the name, organization/space/name or a route of an application";
                return Err(problems.wrong(key, KEY, expected));
            }
        };
        let paths = match &value.value {
            YamlValue::List(paths) if !paths.is_empty() => paths,
            _ => {
                let expected =
                    "a list of at least one path (such as [/metrics, /actuator/prometheus])";
                return Err(problems.wrong(value, KEY, expected));
            }
        };
        let paths = paths.iter().map(|one| path(one, problems));
        Ok(PathRule {
            application,
            paths: paths.collect::<Result<_, _>>()?,
        })
    });
    rules.collect()
}

fn path(node: &YamlNode, problems: &Problems<'_>) -> Result<String, ConfigError> {
    let expected = "a path in ASCII that begins with a slash, without spaces and without a query";
    match &node.value {
        YamlValue::Scalar(text) if is_path(text) => Ok(text.clone()),
        YamlValue::Scalar(text) => {
            let found = format!("a string {:?}", excerpt(text));
            Err(problems.unfit(node, KEY, found, expected))
        }
        _ => Err(problems.wrong(node, KEY, expected)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parsed(rules: &str) -> Result<Vec<PathRule>, String> {
        let yaml = format!("fan_in:\n  allowed_paths: {rules}\n");
        let config =
            Config::parse(Path::new("/c.yml"), &yaml).map_err(|error| error.to_string())?;
        assert_eq!(config.warnings, []);
        Ok(config.fan_in.unwrap().allowed_paths)
    }

    #[test]
    fn applications_have_their_paths_in_the_order_of_the_file() {
        let rule = |application: &str, paths: &[&str]| PathRule {
            application: application.to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        assert_eq!(
            parsed("{o/s/b: [/x, /metrics], a: [/]}"),
            Ok(vec![rule("o/s/b", &["/x", "/metrics"]), rule("a", &["/"])])
        );
        assert_eq!(parsed("{}"), Ok(Vec::new()));
        assert_eq!(parsed(""), Ok(Vec::new()));
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        for (rules, error) in [
            (
                "[a]",
                "found a list, expected a map of applications to lists of paths",
            ),
            ("{[a]: [/x]}", "found a list, expected the id, the name,"),
            (
                "{a: /x}",
                "found a string \"/x\", expected a list of at least one path",
            ),
            (
                "{a: []}",
                "found a list, expected a list of at least one path",
            ),
            (
                "{a: }",
                "found nothing, expected a list of at least one path",
            ),
            (
                "{a: [x]}",
                "found a string \"x\", expected a path in ASCII that begins with a slash",
            ),
            ("{a: ['/x?y']}", "without a query"),
            ("{a: [[]]}", "found a list, expected a path in ASCII"),
        ] {
            let found = parsed(rules).unwrap_err();
            let start = "/c.yml:2: fan_in: allowed_paths: ";
            assert!(
                found.starts_with(start) && found.contains(error),
                "{rules}: {found}"
            );
        }
    }
}
