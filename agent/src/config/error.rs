//! What can be wrong with a configuration file, said so that it can be mended without a manual.

use std::fmt;
use std::path::PathBuf;

use super::Key;

/// Why a configuration file is refused. Printed as `file:line: what`, with what was found and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("{}: cannot read the configuration file: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is a directory, a device or the like.
    #[error("{}: found {found}, expected a configuration file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It is too large to be meant.
    #[error("{}: the file is larger than {limit} bytes, the most a configuration may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, bytes.
        limit: u64,
    },
    /// It is no YAML.
    #[error("{}:{line}: not valid yaml: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// A value has the wrong shape.
    #[error("{}:{line}: {key}: found {found}, expected {expected}", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Whose value it is.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A value, or what it names, is of no use.
    #[error("{}:{line}: {key}: {cause}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Whose value it is.
        key: String,
        /// Why it cannot be used.
        cause: String,
    },
    /// An item selects nothing: upstream's "no matchers provided".
    #[error(
        "{}:{line}: item {item} of process_names: no matchers provided: found none of comm, exe, cmdline, user \
         and cgroup, expected at least one{instead}",
        path.display()
    )]
    NoSelector {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Number of the item, from 1.
        item: usize,
        /// Its unknown keys, and those without a value: text that follows.
        instead: String,
    },
    /// A regular expression or a template cannot be compiled.
    #[error("{}:{line}: item {item} of process_names: {key}: bad {what} {text:?}: {cause}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Number of the item, from 1.
        item: usize,
        /// Whose value it is.
        key: Key,
        /// What it was taken for, as upstream calls it.
        what: &'static str,
        /// As typed.
        text: String,
        /// Why it cannot be compiled.
        cause: String,
    },
}

impl Error {
    /// Line, from 1; 0 where the whole file is meant.
    pub const fn line(&self) -> usize {
        match self {
            Self::Read { .. } | Self::NotAFile { .. } | Self::TooLarge { .. } => 0,
            Self::Syntax { line, .. }
            | Self::Type { line, .. }
            | Self::Unusable { line, .. }
            | Self::NoSelector { line, .. }
            | Self::Invalid { line, .. } => *line,
        }
    }
}

/// A key that nothing reads or that stands there twice: accepted, as process-exporter does, but said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// The key as typed.
    pub key: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing reads it.
    Unknown {
        /// The known key it resembles.
        suggestion: Option<&'static str>,
    },
    /// It is no key, but a YAML tag (`!text`): nothing reads it.
    Tag {
        /// The selector whose list it is in.
        of: Option<Key>,
        /// The text behind it.
        value: String,
    },
    /// It is in its map already; the last counts.
    Repeated {
        /// Where it stands first.
        first_line: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, line, key) = (self.path.display(), self.line, &self.key);
        match &self.fault {
            Fault::Tag { of, value } => {
                write!(f, "{path}:{line}: ")?;
                if let Some(of) = of {
                    write!(f, "{of}: ")?;
                }
                write!(
                    f,
                    "{key:?} is a YAML tag, which is ignored: the value is the text {value:?}; "
                )?;
                let meant = format!("{}{value}", key.trim_start_matches('!'));
                match of {
                    Some(of) => write!(
                        f,
                        "to leave such processes out, put the item - {{{of}: ['{meant}'], exclude: true}} before this one, else quote it"
                    ),
                    None => write!(f, "quote it, or remove it"),
                }
            }
            Fault::Unknown { suggestion } => {
                write!(f, "{path}:{line}: unknown key {key:?} is ignored")?;
                match suggestion {
                    Some(known) => write!(f, ", did you mean {known:?}?"),
                    None => Ok(()),
                }
            }
            Fault::Repeated { first_line } => write!(
                f,
                "{path}:{line}: key {key:?} stands in line {first_line} already; the last one counts"
            ),
        }
    }
}
