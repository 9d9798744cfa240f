//! Converts the YAML tree of a configuration file to typed items: the known keys, and the values allowed for each.
//!
//! Follows process-exporter 0.8.7 for the keys that it has: a value that it accepts is accepted, and an unknown key only causes a
//! warning. Section 2 of docs/dev/compatibility.md describes these keys.

use std::path::Path;
use std::rc::Rc;

use super::fan_in::{self, FAN_IN};
use super::gorouters::{self, GOROUTERS};
use super::problems::{Problems, TEMPLATE};
use super::yaml::{self, Pair, YamlNode, YamlValue};
use super::{Config, ConfigError, Fault, Item, Key, Text, Warning, labels, scrape};

const TOP: &str = "process_names";
/// Beginning of the keys that only hold anchors, as in files of other programs.
const EXTENSION: &str = "x-";
const LIST: &str = "a list of strings (in brackets, or each behind a dash)";

/// Parses `text`, the content of the file `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let document = yaml::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.line,
        cause: explained(error.cause),
    })?;
    let mut problems = Problems {
        path,
        warnings: Vec::new(),
    };
    document
        .repeated
        .into_iter()
        .for_each(|key| problems.warn_of_repeated(key));
    let mut config = Config {
        path: Some(path.to_owned()),
        ..Config::default()
    };
    if let Some(root) = document.root {
        let (names, fan_in) = sections(&root, &mut problems)?;
        config.items = names.map_or(Ok(Vec::new()), |names| items(names, &mut problems))?;
        config.fan_in = fan_in.map_or(Ok(None), |node| fan_in::parse(node, &mut problems))?;
    }
    config.warnings = problems.warnings;
    scrape::join(&mut config)?;
    Ok(config)
}

/// The parser's message, with an explanation if the message does not name the mistake.
fn explained(cause: String) -> String {
    const MISTAKES: [(&str, &str); 2] = [
        (
            "did not find expected '-' indicator",
            "keys of an item must begin in the column of its first key, two behind the dash",
        ),
        (
            "found unknown escape character",
            "in double quotes a backslash must be doubled; write the expression in single quotes",
        ),
    ];
    let meant = MISTAKES.iter().find(|(words, _)| cause.contains(words));
    match meant {
        Some((_, meant)) => format!("{cause}; {meant}"),
        None => cause,
    }
}

const HTTP: &str = Key::Http.as_str();
/// The key of `http` as a map.
const PER_PROCESS: &str = "per_process";

/// The values of `process_names` and of `fan_in`.
type Sections<'n> = (Option<&'n YamlNode>, Option<&'n YamlNode>);

fn sections<'n>(
    root: &'n YamlNode,
    problems: &mut Problems<'_>,
) -> Result<Sections<'n>, ConfigError> {
    let pairs = match &root.value {
        YamlValue::Null => &[][..],
        YamlValue::Map(pairs) => pairs,
        _ => {
            return Err(problems.wrong(root, "top level", "a map with the key process_names"));
        }
    };
    let (mut names, mut fan_in) = (None, None);
    for (key, value) in pairs {
        match &key.value {
            YamlValue::Scalar(text) if text == TOP => names = Some(value.as_ref()),
            YamlValue::Scalar(text) if text == FAN_IN => fan_in = Some(value.as_ref()),
            YamlValue::Scalar(text)
                if text == GOROUTERS
                    && let Some(write) = gorouters::of_promfetcher(value) =>
            {
                problems.warn_elsewhere(key, GOROUTERS, write);
            }
            YamlValue::Scalar(text) if text.starts_with(EXTENSION) => {}
            _ => problems.warn_unknown(key, &[TOP, FAN_IN]),
        }
    }
    Ok((names, fan_in))
}

fn items(names: &YamlNode, problems: &mut Problems<'_>) -> Result<Vec<Item>, ConfigError> {
    match &names.value {
        YamlValue::Null => Ok(Vec::new()),
        YamlValue::List(items) => items
            .iter()
            .enumerate()
            .map(|(index, node)| item(index, node, problems))
            .collect(),
        _ => Err(problems.wrong(
            names,
            TOP,
            "a list of items (each begins with a dash: - comm: [bash])",
        )),
    }
}

fn item(index: usize, node: &YamlNode, problems: &mut Problems<'_>) -> Result<Item, ConfigError> {
    let label = format!("item {} of process_names", index + 1);
    let pairs = match &node.value {
        YamlValue::Null => &[][..],
        YamlValue::Map(pairs) => pairs,
        _ => {
            return Err(problems.wrong(
                node,
                &label,
                "a map with comm, exe, cmdline, user or cgroup (such as comm: [bash])",
            ));
        }
    };
    let mut item = Item {
        line: node.line,
        ..Item::default()
    };
    let first_warning = problems.warnings.len();
    problems.warn_of_tag(None, node);
    for (key, value) in pairs {
        let known = match &key.value {
            YamlValue::Scalar(text) => Key::ALL.into_iter().find(|key| key.as_str() == text),
            _ => None,
        };
        match known {
            Some(Key::Name) => item.name = name(value, problems)?,
            Some(Key::Comm) => item.comm = list(Key::Comm, value, problems)?,
            Some(Key::Exe) => item.exe = list(Key::Exe, value, problems)?,
            Some(Key::Cmdline) => item.cmdline = list(Key::Cmdline, value, problems)?,
            Some(Key::User) => item.user = list(Key::User, value, problems)?,
            Some(Key::Cgroup) => item.cgroup = list(Key::Cgroup, value, problems)?,
            Some(Key::Exclude) => item.exclude = truth(Key::Exclude.as_str(), value, problems)?,
            Some(Key::Labels) => item.labels = labels::parse(value, problems)?,
            Some(Key::MaxGroups) => item.max_groups = count(Key::MaxGroups, value, problems)?,
            Some(Key::Http) => (item.http, item.http_per_process) = http(value, problems)?,
            Some(Key::Scrape) => item.scrape = scrape::parse(value, problems)?,
            None => problems.warn_unknown(key, &Key::ALL.map(Key::as_str)),
        }
    }
    if Key::SELECTORS.iter().all(|key| item.list(*key).is_none()) {
        let (path, line) = (problems.path.to_owned(), node.line);
        return Err(ConfigError::NoSelector {
            path,
            line,
            item: index + 1,
            instead: instead(pairs, &problems.warnings[first_warning..]),
        });
    }
    Ok(item)
}

fn name(value: &YamlNode, problems: &mut Problems<'_>) -> Result<Option<Text>, ConfigError> {
    problems.warn_of_tag(None, value);
    let expected = match &value.value {
        YamlValue::Null => return Ok(None),
        YamlValue::Scalar(text) => {
            return Ok(Some(Text {
                text: text.clone(),
                line: value.line,
            }));
        }
        YamlValue::Map(_) => TEMPLATE,
        YamlValue::List(_) => "a string",
    };
    Err(problems.wrong(value, Key::Name.as_str(), expected))
}

fn truth(key: &str, value: &YamlNode, problems: &Problems<'_>) -> Result<bool, ConfigError> {
    value
        .truth()
        .ok_or_else(|| problems.wrong(value, key, "true or false"))
}

/// Whether requests are counted, and whether those of each process are shown.
fn http(value: &YamlNode, problems: &mut Problems<'_>) -> Result<(bool, bool), ConfigError> {
    let YamlValue::Map(pairs) = &value.value else {
        let expected = "true, false, or a map such as {per_process: true}";
        let is_counted = value.truth();
        let is_counted = is_counted.ok_or_else(|| problems.wrong(value, HTTP, expected))?;
        return Ok((is_counted, false));
    };
    let mut is_per_process = false;
    for (key, value) in pairs {
        match &key.value {
            YamlValue::Scalar(text) if text == PER_PROCESS => {
                is_per_process = truth("http: per_process", value, problems)?;
            }
            _ => problems.warn_unknown(key, &[PER_PROCESS]),
        }
    }
    Ok((true, is_per_process))
}

fn count(key: Key, value: &YamlNode, problems: &Problems<'_>) -> Result<Option<u32>, ConfigError> {
    match &value.value {
        YamlValue::Null => Ok(None),
        YamlValue::Scalar(text) if text.parse::<u32>().is_ok_and(|count| count > 0) => {
            Ok(text.parse().ok())
        }
        _ => Err(problems.wrong(value, key.as_str(), "a whole number from 1")),
    }
}

fn list(
    key: Key,
    value: &YamlNode,
    problems: &mut Problems<'_>,
) -> Result<Option<Vec<Text>>, ConfigError> {
    match &value.value {
        YamlValue::Null => Ok(None),
        YamlValue::List(elements) => elements
            .iter()
            .map(|node| element(key, node, problems))
            .collect::<Result<_, _>>()
            .map(Some),
        _ => Err(problems.wrong(value, key.as_str(), LIST)),
    }
}

fn element(
    key: Key,
    element: &Rc<YamlNode>,
    problems: &mut Problems<'_>,
) -> Result<Text, ConfigError> {
    problems.warn_of_tag(Some(key), element);
    let text = match &element.value {
        YamlValue::Null => String::new(),
        YamlValue::Scalar(text) => text.clone(),
        _ => {
            return Err(problems.wrong(
                element,
                &format!("{key}: element of the list"),
                "a string",
            ));
        }
    };
    Ok(Text {
        text,
        line: element.line,
    })
}

/// The keys of an item without a selector, as text for the error: "; unknown key ...".
fn instead(pairs: &[Pair], warnings: &[Warning]) -> String {
    /// At most this many are named.
    const NAMED: usize = 5;
    let unknown = warnings.iter().filter_map(|warning| {
        let Fault::Unknown { suggestion } = warning.fault else {
            return None;
        };
        let meant = suggestion.map_or(String::new(), |known| format!(", did you mean {known:?}?"));
        let (key, line) = (&warning.key, warning.line);
        Some(format!("; unknown key {key:?} in line {line}{meant}"))
    });
    let empty = pairs
        .iter()
        .filter_map(|(key, value)| match (&key.value, &value.value) {
            (YamlValue::Scalar(text), YamlValue::Null) => {
                let is_selector = Key::SELECTORS.iter().any(|key| key.as_str() == text);
                is_selector.then(|| format!("; {text} in line {} has no value", key.line))
            }
            _ => None,
        });
    unknown.chain(empty).take(NAMED).collect()
}
