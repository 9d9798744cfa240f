//! Converts the YAML tree of a configuration file to typed items: the known keys, and the values allowed for each.
//!
//! Follows process-exporter 0.8.7 for the keys that it has: what it accepts is accepted, and an unknown key only
//! causes a warning. Section 2 of docs/dev/compatibility.md describes these keys.

use std::path::Path;
use std::rc::Rc;

use super::yaml::{self, Pair, Repeated, YamlNode, YamlValue};
use super::{Config, Error, Fault, Item, Key, Text, Warning, suggest};

const TOP: &str = "process_names";
const LIST: &str = "a list of strings (in brackets, or each behind a dash)";
pub(super) const TEMPLATE: &str = "a string (a template that starts with {{ needs quotes)";

/// Parses `text`, the content of the file `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Config, Error> {
    let document = yaml::parse(text).map_err(|error| Error::Syntax {
        path: path.to_owned(),
        line: error.line,
        cause: explained(error.cause),
    })?;
    let mut reader = ItemReader {
        path,
        warnings: Vec::new(),
    };
    document
        .repeated
        .into_iter()
        .for_each(|key| reader.warn_of_repeated(key));
    let items = match document.root {
        Some(root) => reader.root(&root)?,
        None => Vec::new(),
    };
    Ok(Config {
        path: Some(path.to_owned()),
        items,
        warnings: reader.warnings,
    })
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

pub(super) struct ItemReader<'a> {
    path: &'a Path,
    warnings: Vec<Warning>,
}

impl ItemReader<'_> {
    fn root(&mut self, root: &YamlNode) -> Result<Vec<Item>, Error> {
        let pairs = match &root.value {
            YamlValue::Null => return Ok(Vec::new()),
            YamlValue::Map(pairs) => pairs,
            _ => {
                return Err(self.wrong(root, "top level", "a map with the key process_names"));
            }
        };
        let mut names = None;
        for (key, value) in pairs {
            match &key.value {
                YamlValue::Scalar(text) if text == TOP => names = Some(value),
                _ => self.warn(key, &[TOP]),
            }
        }
        match names.map(|names| (names, &names.value)) {
            None | Some((_, YamlValue::Null)) => Ok(Vec::new()),
            Some((_, YamlValue::List(items))) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.item(index, item))
                .collect(),
            Some((names, _)) => Err(self.wrong(
                names,
                TOP,
                "a list of items (each begins with a dash: - comm: [bash])",
            )),
        }
    }

    fn item(&mut self, index: usize, node: &YamlNode) -> Result<Item, Error> {
        let label = format!("item {} of process_names", index + 1);
        let pairs = match &node.value {
            YamlValue::Null => &[][..],
            YamlValue::Map(pairs) => pairs,
            _ => {
                return Err(self.wrong(
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
        let first_warning = self.warnings.len();
        self.warn_of_tag(None, node);
        for (key, value) in pairs {
            let known = match &key.value {
                YamlValue::Scalar(text) => Key::ALL.into_iter().find(|key| key.as_str() == text),
                _ => None,
            };
            match known {
                Some(Key::Name) => item.name = self.name(value)?,
                Some(Key::Comm) => item.comm = self.list(Key::Comm, value)?,
                Some(Key::Exe) => item.exe = self.list(Key::Exe, value)?,
                Some(Key::Cmdline) => item.cmdline = self.list(Key::Cmdline, value)?,
                Some(Key::User) => item.user = self.list(Key::User, value)?,
                Some(Key::Cgroup) => item.cgroup = self.list(Key::Cgroup, value)?,
                Some(Key::Exclude) => item.exclude = self.truth(Key::Exclude, value)?,
                Some(Key::Labels) => item.labels = self.labels(value)?,
                Some(Key::MaxGroups) => item.max_groups = self.count(Key::MaxGroups, value)?,
                None => self.warn(key, &Key::ALL.map(Key::as_str)),
            }
        }
        if Key::SELECTORS.iter().all(|key| item.list(*key).is_none()) {
            let (path, line) = (self.path.to_owned(), node.line);
            return Err(Error::NoSelector {
                path,
                line,
                item: index + 1,
                instead: instead(pairs, &self.warnings[first_warning..]),
            });
        }
        Ok(item)
    }

    fn name(&mut self, value: &YamlNode) -> Result<Option<Text>, Error> {
        self.warn_of_tag(None, value);
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
        Err(self.wrong(value, Key::Name.as_str(), expected))
    }

    fn truth(&self, key: Key, value: &YamlNode) -> Result<bool, Error> {
        match &value.value {
            YamlValue::Null => Ok(false),
            YamlValue::Scalar(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            YamlValue::Scalar(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.wrong(value, key.as_str(), "true or false")),
        }
    }

    fn count(&self, key: Key, value: &YamlNode) -> Result<Option<u32>, Error> {
        match &value.value {
            YamlValue::Null => Ok(None),
            YamlValue::Scalar(text) if text.parse::<u32>().is_ok_and(|count| count > 0) => {
                Ok(text.parse().ok())
            }
            _ => Err(self.wrong(value, key.as_str(), "a whole number from 1")),
        }
    }

    fn list(&mut self, key: Key, value: &YamlNode) -> Result<Option<Vec<Text>>, Error> {
        match &value.value {
            YamlValue::Null => Ok(None),
            YamlValue::List(elements) => elements
                .iter()
                .map(|element| self.element(key, element))
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(self.wrong(value, key.as_str(), LIST)),
        }
    }

    fn element(&mut self, key: Key, element: &Rc<YamlNode>) -> Result<Text, Error> {
        self.warn_of_tag(Some(key), element);
        let text = match &element.value {
            YamlValue::Null => String::new(),
            YamlValue::Scalar(text) => text.clone(),
            _ => {
                return Err(self.wrong(
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

    pub(super) fn wrong(&self, node: &YamlNode, key: &str, expected: &'static str) -> Error {
        let found = match &node.value {
            YamlValue::Null => "nothing".to_owned(),
            YamlValue::Scalar(text) => format!("a string {:?}", excerpt(text)),
            YamlValue::List(_) => "a list".to_owned(),
            YamlValue::Map(_) => "a map".to_owned(),
        };
        self.unfit(node, key, found, expected)
    }

    pub(super) fn unfit(
        &self,
        node: &YamlNode,
        key: &str,
        found: String,
        expected: &'static str,
    ) -> Error {
        Error::Type {
            path: self.path.to_owned(),
            line: node.line,
            key: key.to_owned(),
            found,
            expected,
        }
    }

    pub(super) fn unusable(&self, node: &YamlNode, key: &str, cause: String) -> Error {
        Error::Unusable {
            path: self.path.to_owned(),
            line: node.line,
            key: key.to_owned(),
            cause,
        }
    }

    fn warn(&mut self, key: &YamlNode, known: &[&'static str]) {
        let text = match &key.value {
            YamlValue::Scalar(text) => excerpt(text),
            YamlValue::Null => "null",
            YamlValue::List(_) => "a list",
            YamlValue::Map(_) => "a map",
        };
        let suggestion = suggest::nearest(text, known).or_else(|| suggest::of_item(text, known));
        let key_text = text.to_owned();
        self.warnings.push(Warning {
            path: self.path.to_owned(),
            line: key.line,
            key: key_text,
            fault: Fault::Unknown { suggestion },
        });
    }

    /// Warns of a YAML tag: it is not part of the value, although `!name` looks as if it excluded something.
    fn warn_of_tag(&mut self, of: Option<Key>, node: &YamlNode) {
        let Some(tag) = &node.tag else { return };
        let value = match &node.value {
            YamlValue::Scalar(text) => excerpt(text).to_owned(),
            _ => String::new(),
        };
        self.warnings.push(Warning {
            path: self.path.to_owned(),
            line: node.line,
            key: excerpt(tag).to_owned(),
            fault: Fault::Tag { of, value },
        });
    }

    pub(super) fn warn_of_repeated(&mut self, key: Repeated) {
        self.warnings.push(Warning {
            path: self.path.to_owned(),
            line: key.line,
            key: excerpt(&key.key).to_owned(),
            fault: Fault::Repeated {
                first_line: key.first_line,
            },
        });
    }
}

/// What an item without a selector has in its place, as text for the error: "; unknown key ...".
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

/// The first 60 characters of a text: enough to find it in the file.
pub(super) fn excerpt(text: &str) -> &str {
    text.char_indices()
        .nth(60)
        .map_or(text, |(end, _)| &text[..end])
}
