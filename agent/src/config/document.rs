//! The tree of a configuration file to typed items: which keys there are and what may stand in them.
//!
//! Follows process-exporter 0.8.7 in the keys that it has: what it accepts is accepted, an unknown key only earns a warning.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use super::item::expected_label;
use super::yaml::{self, Node, Repeated, Value};
use super::{Config, Error, Fault, Item, Key, Label, MAX_LABELS, Text, Warning, suggest};

const TOP: &str = "process_names";
const LIST: &str = "a list of strings";
const TEMPLATE: &str = "a string (a template that starts with {{ needs quotes)";

/// Parses `text`, which stands in the file `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Config, Error> {
    let document = yaml::parse(text).map_err(|error| Error::Syntax {
        path: path.to_owned(),
        line: error.line,
        cause: error.cause,
    })?;
    let mut reader = Reader {
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

struct Reader<'a> {
    path: &'a Path,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    fn root(&mut self, root: &Node) -> Result<Vec<Item>, Error> {
        let pairs = match &root.value {
            Value::Null => return Ok(Vec::new()),
            Value::Map(pairs) => pairs,
            _ => {
                return Err(self.wrong(root, "top level", "a map with the key process_names"));
            }
        };
        let mut names = None;
        for (key, value) in pairs {
            match &key.value {
                Value::Scalar(text) if text == TOP => names = Some(value),
                _ => self.warn(key, &[TOP]),
            }
        }
        match names.map(|names| (names, &names.value)) {
            None | Some((_, Value::Null)) => Ok(Vec::new()),
            Some((_, Value::List(items))) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.item(index, item))
                .collect(),
            Some((names, _)) => Err(self.wrong(names, TOP, "a list of items")),
        }
    }

    fn item(&mut self, index: usize, node: &Node) -> Result<Item, Error> {
        let label = format!("item {} of process_names", index + 1);
        let pairs = match &node.value {
            Value::Null => &[][..],
            Value::Map(pairs) => pairs,
            _ => {
                return Err(self.wrong(
                    node,
                    &label,
                    "a map with comm, exe, cmdline, user or cgroup",
                ));
            }
        };
        let mut item = Item {
            line: node.line,
            ..Item::default()
        };
        for (key, value) in pairs {
            let known = match &key.value {
                Value::Scalar(text) => Key::ALL.into_iter().find(|key| key.as_str() == text),
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
            });
        }
        Ok(item)
    }

    fn name(&self, value: &Node) -> Result<Option<Text>, Error> {
        let expected = match &value.value {
            Value::Null => return Ok(None),
            Value::Scalar(text) => {
                return Ok(Some(Text {
                    text: text.clone(),
                    line: value.line,
                }));
            }
            Value::Map(_) => TEMPLATE,
            Value::List(_) => "a string",
        };
        Err(self.wrong(value, Key::Name.as_str(), expected))
    }

    fn truth(&self, key: Key, value: &Node) -> Result<bool, Error> {
        match &value.value {
            Value::Null => Ok(false),
            Value::Scalar(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::Scalar(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.wrong(value, key.as_str(), "true or false")),
        }
    }

    fn count(&self, key: Key, value: &Node) -> Result<Option<u32>, Error> {
        match &value.value {
            Value::Null => Ok(None),
            Value::Scalar(text) if text.parse::<u32>().is_ok_and(|count| count > 0) => {
                Ok(text.parse().ok())
            }
            _ => Err(self.wrong(value, key.as_str(), "a whole number from 1")),
        }
    }

    fn labels(&self, value: &Node) -> Result<Vec<Label>, Error> {
        let pairs = match &value.value {
            Value::Null => &[][..],
            Value::Map(pairs) => pairs,
            _ => return Err(self.wrong(value, "labels", "a map of label names to templates")),
        };
        let labels = pairs.iter().map(|(name, value)| self.label(name, value));
        // Of one name the last counts, as of keys.
        let labels: BTreeMap<String, Text> = labels.collect::<Result<_, _>>()?;
        if labels.len() > MAX_LABELS {
            let found = format!("{} labels", labels.len());
            return Err(self.unfit(value, "labels", found, "at most 16"));
        }
        let label = |(name, template)| Label { name, template };
        Ok(labels.into_iter().map(label).collect())
    }

    fn label(&self, name: &Node, value: &Node) -> Result<(String, Text), Error> {
        let Value::Scalar(label) = &name.value else {
            return Err(self.wrong(name, "labels", "a label name"));
        };
        if let Some(expected) = expected_label(label) {
            let found = format!("the name {:?}", excerpt(label));
            return Err(self.unfit(name, "labels", found, expected));
        }
        let key = format!("labels: {label}");
        match &value.value {
            Value::Scalar(text) => Ok((
                label.clone(),
                Text {
                    text: text.clone(),
                    line: value.line,
                },
            )),
            Value::Map(_) => Err(self.wrong(value, &key, TEMPLATE)),
            _ => Err(self.wrong(value, &key, "a string")),
        }
    }

    fn list(&self, key: Key, value: &Node) -> Result<Option<Vec<Text>>, Error> {
        match &value.value {
            Value::Null => Ok(None),
            Value::List(elements) => elements
                .iter()
                .map(|element| self.element(key, element))
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(self.wrong(value, key.as_str(), LIST)),
        }
    }

    fn element(&self, key: Key, element: &Rc<Node>) -> Result<Text, Error> {
        let text = match &element.value {
            Value::Null => String::new(),
            Value::Scalar(text) => text.clone(),
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

    fn wrong(&self, node: &Node, key: &str, expected: &'static str) -> Error {
        let found = match &node.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(text) => format!("a string {:?}", excerpt(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        };
        self.unfit(node, key, found, expected)
    }

    fn unfit(&self, node: &Node, key: &str, found: String, expected: &'static str) -> Error {
        Error::Type {
            path: self.path.to_owned(),
            line: node.line,
            key: key.to_owned(),
            found,
            expected,
        }
    }

    fn warn(&mut self, key: &Node, known: &[&'static str]) {
        let text = match &key.value {
            Value::Scalar(text) => excerpt(text),
            Value::Null => "null",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        };
        let suggestion = suggest::nearest(text, known);
        let key_text = text.to_owned();
        self.warnings.push(Warning {
            path: self.path.to_owned(),
            line: key.line,
            key: key_text,
            fault: Fault::Unknown { suggestion },
        });
    }

    fn warn_of_repeated(&mut self, key: Repeated) {
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

/// The first 60 characters: enough to find it.
fn excerpt(text: &str) -> &str {
    text.char_indices()
        .nth(60)
        .map_or(text, |(end, _)| &text[..end])
}
