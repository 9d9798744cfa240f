//! Errors and warnings about configuration files, written so that a user can fix the file without a manual.

use std::fmt;
use std::path::PathBuf;

use super::Key;

/// Why a configuration file is refused. Printed as `file:line: message`, with the value found and the value expected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("{}: cannot read the configuration file: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The path is a directory, a device or the like.
    #[error("{}: found {found}, expected a configuration file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// The kind of file found.
        found: &'static str,
    },
    /// The file is too large for a configuration.
    #[error("{}: the file is larger than {limit} bytes, the most a configuration may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The size limit in bytes.
        limit: u64,
    },
    /// The file is not YAML.
    #[error("{}:{line}: not valid yaml: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The mistake.
        cause: String,
    },
    /// A value has the wrong type.
    #[error("{}:{line}: {key}: found {found}, expected {expected}", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key of the value.
        key: String,
        /// The value found.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// A value, or the file that it names, cannot be used.
    #[error("{}:{line}: {key}: {cause}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key of the value.
        key: String,
        /// Why it cannot be used.
        cause: String,
    },
    /// An item has no selector; process-exporter's "no matchers provided".
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
        /// Its unknown keys and its keys without a value, as the end of the message.
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
        /// The key of the value.
        key: Key,
        /// The type that the text was parsed as, in process-exporter's words.
        what: &'static str,
        /// The text as typed.
        text: String,
        /// Why it cannot be compiled.
        cause: String,
    },
}

impl ConfigError {
    /// Line, from 1; 0 if the error concerns the whole file.
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

/// A key that is unknown or repeated: accepted, as in process-exporter, but reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// The key as typed.
    pub key: String,
    /// The mistake in it.
    pub fault: Fault,
}

/// The mistake in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The key is unknown and ignored.
    Unknown {
        /// The known key it resembles.
        suggestion: Option<&'static str>,
    },
    /// The key is ignored here; promfetcher has it.
    Elsewhere {
        /// The text to write instead.
        write: String,
    },
    /// Not a key but a YAML tag (`!text`), which is ignored.
    Tag {
        /// The selector whose list it is in.
        of: Option<Key>,
        /// The text after the tag.
        value: String,
    },
    /// The key is in the same map already; the last one counts.
    Repeated {
        /// The line of its first occurrence.
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
            Fault::Elsewhere { write } => write!(
                f,
                "{path}:{line}: unknown key {key:?} is ignored; write {write}"
            ),
            Fault::Repeated { first_line } => write!(
                f,
                "{path}:{line}: key {key:?} is already in line {first_line}; the last one counts"
            ),
        }
    }
}
