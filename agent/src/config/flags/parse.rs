//! Parses the words of a command line by the flags that a type declares: those of a run and those of each command.
//!
//! In: the words, and a type that derives clap's `Parser`. Out: a value of the type, or a [`FlagError`]. [`crate::go::flag`]
//! rewrites Go's spellings for clap.

use std::ffi::OsString;

use clap::Parser;

use crate::go::flag::{self, FlagKind, StrayWord};

/// The command line does not ask for a run: print `text` and exit with `code`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FlagError {
    /// 0 for help and version, which go to standard output; 2 for a mistake, which goes to standard error.
    pub code: u8,
    /// The text to print, without a line break at its end.
    pub text: String,
}

impl FlagError {
    /// An error that names the mistake `what` and mentions `--help`.
    pub(in crate::config) fn mistake(what: &str) -> Self {
        Self {
            code: 2,
            text: format!("error: {what}\n\nFor more information, try '--help'."),
        }
    }
}

/// Parses the words after the program's or the command's name; messages call it `name`. Words that are not UTF-8 are
/// an error: the agent needs no such path.
pub(in crate::config) fn parse<P: Parser>(
    name: &str,
    words: impl Iterator<Item = OsString>,
) -> Result<P, FlagError> {
    let mut command = P::command();
    command.build();
    let kind = |name: &str| {
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(name))?;
        // A boolean flag takes its value after an equals sign only.
        let takes_word = argument.get_action().takes_values() && !argument.is_require_equals_set();
        Some(if takes_word {
            FlagKind::TakesValue
        } else {
            FlagKind::Switch
        })
    };
    let words: Vec<String> = words
        .map(|word| {
            word.into_string()
                .map_err(|word| FlagError::mistake(&format!("flag {word:?} is not utf-8")))
        })
        .collect::<Result<_, _>>()?;
    let words = flag::rewrite(words, kind).map_err(|stray| FlagError::mistake(&explain(&stray)))?;
    let named = std::iter::once(name.to_owned()).chain(words);
    command
        .try_get_matches_from_mut(named)
        .and_then(|matches| P::from_arg_matches(&matches))
        .map_err(|error| FlagError {
            code: u8::try_from(error.exit_code()).unwrap_or(2),
            text: error.to_string().trim_end().to_owned(),
        })
}

fn explain(stray: &StrayWord) -> String {
    let word = &stray.word;
    match &stray.after {
        Some(flag) if flag.ends_with(',') || word.starts_with(',') => format!(
            "found the word {word:?} after {flag}; a list is one argument, without spaces: {flag}{word}"
        ),
        Some(flag) if !flag.contains('=') => format!(
            "found the word {word:?} after {flag}, which takes its value behind an equals sign: {flag}={word}"
        ),
        _ => format!("found the word {word:?}, expected a flag"),
    }
}
