//! Errors and warnings about values of the configuration file, each with its file, its line and the value found.

use std::path::Path;

use super::yaml::{Repeated, YamlNode, YamlValue};
use super::{ConfigError, Fault, Key, Warning, suggest};

/// The form that a template must have.
pub(super) const TEMPLATE: &str = "a string (a template that starts with {{ needs quotes)";

/// Makes the errors about one file and keeps the warnings about it.
pub(super) struct Problems<'a> {
    pub(super) path: &'a Path,
    pub(super) warnings: Vec<Warning>,
}

impl Problems<'_> {
    /// An error about a value of the wrong kind.
    pub(super) fn wrong(&self, node: &YamlNode, key: &str, expected: &'static str) -> ConfigError {
        let found = match &node.value {
            YamlValue::Null => "nothing".to_owned(),
            YamlValue::Scalar(text) => format!("a string {:?}", excerpt(text)),
            YamlValue::List(_) => "a list".to_owned(),
            YamlValue::Map(_) => "a map".to_owned(),
        };
        self.unfit(node, key, found, expected)
    }

    /// An error about a value that is not as `expected`; `found` describes the value.
    pub(super) fn unfit(
        &self,
        node: &YamlNode,
        key: &str,
        found: String,
        expected: &'static str,
    ) -> ConfigError {
        ConfigError::Type {
            path: self.path.to_owned(),
            line: node.line,
            key: key.to_owned(),
            found,
            expected,
        }
    }

    /// An error about a value that cannot be used, with the `cause`.
    pub(super) fn unusable(&self, node: &YamlNode, key: &str, cause: String) -> ConfigError {
        ConfigError::Unusable {
            path: self.path.to_owned(),
            line: node.line,
            key: key.to_owned(),
            cause,
        }
    }

    /// Warns of a key that is none of `known`.
    pub(super) fn warn_unknown(&mut self, key: &YamlNode, known: &[&'static str]) {
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

    /// Warns of a key of promfetcher, with the text to `write` instead.
    pub(super) fn warn_elsewhere(&mut self, key: &YamlNode, name: &str, write: String) {
        self.warnings.push(Warning {
            path: self.path.to_owned(),
            line: key.line,
            key: name.to_owned(),
            fault: Fault::Elsewhere { write },
        });
    }

    /// Warns of a YAML tag: it is not part of the value, although `!name` looks as if it excluded something.
    pub(super) fn warn_of_tag(&mut self, of: Option<Key>, node: &YamlNode) {
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

    /// Warns of a key that occurs again.
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

/// The first 60 characters of a text: enough to find it in the file. Not those of a text that may have a password.
pub(crate) fn excerpt(text: &str) -> &str {
    excerpt_of(text, 60)
}

/// The first `most` characters of a text, unless it may have a password: the agent logs errors, and `/health` shows them.
pub(crate) fn excerpt_of(text: &str, most: usize) -> &str {
    // `user:password@host`, `https://user:password@host`, `https://token@host`.
    if text
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
    {
        return "(not shown: it may have a password)";
    }
    text.char_indices()
        .nth(most)
        .map_or(text, |(end, _)| &text[..end])
}
