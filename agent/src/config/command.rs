//! The command line: a run, or a command that prints its result and ends.
//!
//! The first word decides: the first word of a run is always a flag. The flags of commands are spelt as those of a
//! run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::flags::{FlagError, Flags, parse, path_or_none};

/// The command on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve metrics.
    Run(Box<Flags>),
    /// Check this configuration file for mistakes.
    Check(PathBuf),
    /// Print the group of each process.
    List(ListFlags),
    /// Print the instances that fan-in would ask.
    Targets(TargetsFlags),
}

/// The flags of `headcount targets`.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "headcount targets",
    about = "Print the instances that fan-in would ask now, by what a request finds them, and the file, router or item that names them. Asks \
             the routers, for a second each, but no instance",
    disable_version_flag = true,
    args_override_self = true,
    after_help = "Every flag may be written with one dash or two."
)]
pub struct TargetsFlags {
    /// Configuration file, with a section fan_in or an item with scrape
    #[arg(long = "config.path", value_name = "FILE")]
    pub config_path: PathBuf,
    /// Where procfs is mounted
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,
    /// Root of the host's file system, for user names
    #[arg(long = "path.rootfs", value_name = "DIR", default_value = "/")]
    pub rootfs: PathBuf,
}

/// The flags of `headcount list`.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "headcount list",
    about = "Print the group of each process of this machine, and the configuration item that decides it",
    disable_version_flag = true,
    args_override_self = true,
    after_help = "Every flag may be written with one dash or two."
)]
pub struct ListFlags {
    /// Configuration file; without one, the built-in configuration
    #[arg(long = "config.path", value_name = "FILE", value_parser = path_or_none)]
    pub config_path: Option<PathBuf>,
    /// Where procfs is mounted
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,
    /// Root of the host's file system, for user names
    #[arg(long = "path.rootfs", value_name = "DIR", default_value = "/")]
    pub rootfs: PathBuf,
    /// Explain for this process, item by item, why it matches or not
    #[arg(long, value_name = "PID")]
    pub explain: Option<u32>,
}

const CHECK_HELP: &str =
    "Looks for mistakes in a configuration file, and for entries that are probably not meant

Usage: headcount check FILE

Prints one line for each, with file, line and remedy. The exit status is 1 if there is any.";

impl Command {
    /// Parses the words of the command line, of which the first is the program's name.
    ///
    /// # Errors
    /// The words ask for help or the version, or are not valid.
    pub fn parse_from(words: impl IntoIterator<Item = OsString>) -> Result<Self, FlagError> {
        let words: Vec<OsString> = words.into_iter().skip(1).collect();
        match words.split_first() {
            Some((first, rest)) if first == "check" => check(rest),
            Some((first, rest)) if first == "list" => {
                parse("headcount list", rest.iter().cloned()).map(Self::List)
            }
            Some((first, rest)) if first == "targets" => {
                parse("headcount targets", rest.iter().cloned()).map(Self::Targets)
            }
            _ => Flags::parse(words).map(|flags| Self::Run(Box::new(flags))),
        }
    }
}

fn check(words: &[OsString]) -> Result<Command, FlagError> {
    let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    match words {
        [word] if word == "-h" || word == "-help" || word == "--help" => Err(FlagError {
            code: 0,
            text: CHECK_HELP.to_owned(),
        }),
        [file] if !file.is_empty() && !is_flag(file) => Ok(Command::Check(file.into())),
        _ => Err(FlagError::mistake(
            "check takes one configuration file: headcount check FILE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, FlagError> {
        Command::parse_from(
            std::iter::once("headcount")
                .chain(words.iter().copied())
                .map(Into::into),
        )
    }

    fn mistaken(words: &[&str]) -> String {
        let error = parsed(words).unwrap_err();
        assert_eq!(error.code, 2, "{words:?}");
        error.text
    }

    #[test]
    fn the_first_word_decides() {
        assert!(matches!(parsed(&[]), Ok(Command::Run(_))));
        assert!(matches!(parsed(&["-max-groups=3"]), Ok(Command::Run(_))));
        assert_eq!(
            parsed(&["check", "a.yml"]),
            Ok(Command::Check("a.yml".into()))
        );
        for words in [&["-max-groups=3", "check"][..], &["checks"]] {
            assert!(mistaken(words).contains("expected a flag"), "{words:?}");
        }
    }

    #[test]
    fn check_takes_one_file() {
        for words in [
            &["check"][..],
            &["check", ""],
            &["check", "a", "b"],
            &["check", "-config.path=a"],
        ] {
            assert!(
                mistaken(words).contains("headcount check FILE"),
                "{words:?}"
            );
        }
        for help in ["-h", "-help", "--help"] {
            assert_eq!(parsed(&["check", help]).unwrap_err().code, 0);
        }
    }

    #[test]
    fn list_takes_flags_of_both_spellings() {
        let Ok(Command::List(flags)) =
            parsed(&["list", "-explain", "7", "--config.path=x", "-procfs=/p"])
        else {
            panic!("not a list");
        };
        assert_eq!(
            (flags.explain, flags.config_path),
            (Some(7), Some("x".into()))
        );
        assert_eq!((flags.procfs, flags.rootfs), ("/p".into(), "/".into()));
        assert!(mistaken(&["list", "-explain=x"]).contains("--explain <PID>"));
        assert!(mistaken(&["list", "-max-groups=7"]).contains("'--max-groups'"));
        assert!(mistaken(&["list", "7"]).contains("expected a flag"));
        let help = parsed(&["list", "--help"]).unwrap_err();
        assert!(
            help.code == 0 && help.text.contains("Usage: headcount list"),
            "{}",
            help.text
        );
    }

    #[test]
    fn targets_needs_a_configuration_file() {
        let Ok(Command::Targets(flags)) = parsed(&["targets", "-config.path=x"]) else {
            panic!("not targets");
        };
        assert_eq!(flags.config_path, PathBuf::from("x"));
        assert!(mistaken(&["targets"]).contains("--config.path"));
        assert!(mistaken(&["targets", "x"]).contains("expected a flag"));
    }
}
