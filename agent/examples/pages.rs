//! The documents about the command line in the packages: the manual page and the completions of three shells.
//!
//! In: a folder and a date. Out: `headcount.1`, `headcount.bash`, `_headcount` and `headcount.fish` in it, made of the flags as
//! the agent itself parses them and of the text of `-man`. An example and no command, so that the agent carries nothing of it.
#![allow(clippy::print_stderr, reason = "for a person at a terminal")]

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory as _, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use headcount::config::{Flags, ListFlags, TargetsFlags};

const MANUAL: &str = include_str!("../src/config/manual.txt");

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, date] = words.as_slice() else {
        eprintln!("usage: pages FOLDER DATE");
        return ExitCode::from(2);
    };
    match write(Path::new(folder), date) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, date: &str) -> io::Result<()> {
    let mut page = Vec::new();
    manual_page(date, &mut page)?;
    std::fs::write(folder.join("headcount.1"), page)?;
    let mut commands = with_commands();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut commands, "headcount", folder)?;
    }
    Ok(())
}

fn flags() -> Command {
    // Without the text that follows the flags in the help: the manual page describes `check`, `list` and `targets` itself.
    Flags::command()
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .after_help("")
}

/// For the shells, `check`, `list` and `targets` are commands like any other's; the agent looks for them itself.
fn with_commands() -> Command {
    let file = Arg::new("FILE")
        .required(true)
        .value_hint(ValueHint::FilePath);
    let check = Command::new("check").about("Look for mistakes in a configuration file");
    flags().subcommands([
        check.arg(file),
        ListFlags::command()
            .name("list")
            .about("Print the group of each process"),
        TargetsFlags::command()
            .name("targets")
            .about("Print the instances that fan-in would ask"),
    ])
}

fn manual_page(date: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let (usage, chapters) = chapters(MANUAL);
    let man = Man::new(flags())
        .title("HEADCOUNT")
        .date(date)
        .source(concat!("headcount ", env!("CARGO_PKG_VERSION")))
        .manual("System administration");
    man.render_title(page)?;
    man.render_name_section(page)?;
    section("SYNOPSIS", usage, page)?;
    man.render_options_section(page)?;
    commands(page)?;
    for (title, text) in chapters {
        section(title, text, page)?;
    }
    files(page)
}

/// The lines between the usage and the first title, and the text below each title: a line in capitals.
fn chapters(manual: &str) -> (&str, Vec<(&str, &str)>) {
    let is_title =
        |line: &str| !line.is_empty() && line.chars().all(|c| c.is_ascii_uppercase() || c == ' ');
    let (_, body) = manual.split_once("Usage:\n").unwrap_or(("", manual));
    let mut starts = Vec::new();
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        if is_title(line.trim_end_matches('\n')) {
            starts.push((at, at + line.len()));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(start, _)| *start);
    let ends = ends.chain([body.len()]);
    let chapters = starts
        .iter()
        .zip(ends)
        .map(|(&(title, text), end)| (body[title..text].trim_end(), &body[text..end]));
    let usage = starts.first().map_or(body, |(start, _)| &body[..*start]);
    (usage, chapters.collect())
}

/// As it stands, because examples are set in columns.
fn section(title: &str, text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]).control("nf", []);
    for line in text.trim_matches('\n').split('\n') {
        roff.text([roman(line)]);
    }
    roff.control("fi", []).to_writer(page)
}

fn commands(page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    let entries = [
        (
            "headcount check FILE",
            "Looks for mistakes in a configuration file, and for entries that are probably not meant. Prints one line for \
             each, with file, line and remedy. The exit status is 1 if there is any.",
        ),
        (
            "headcount targets --config.path FILE",
            "Prints the instances that fan-in would ask now: by what a request finds them, for how long, and the file that \
             shows them. Problems of these files go to standard error.",
        ),
        (
            "headcount list",
            "Prints the group of each process of this machine, and the configuration item that decides it. Its flags:",
        ),
    ];
    for (command, text) in entries {
        roff.control("TP", []);
        roff.text([bold(command)]).text([roman(text)]);
    }
    roff.control("RS", []).to_writer(page)?;
    let mut options = Vec::new();
    Man::new(ListFlags::command()).render_options_section(&mut options)?;
    let heading = b".SH OPTIONS\n";
    let body = options
        .windows(heading.len())
        .position(|bytes| bytes == heading)
        .map_or(0, |at| at + heading.len());
    page.extend_from_slice(&options[body..]);
    Roff::new().control("RE", []).to_writer(page)
}

fn files(page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    let sections: [(&str, &[(&str, &str)]); 2] = [
        (
            "FILES",
            &[
                (
                    "/etc/headcount/headcount.yml",
                    "the configuration that headcount.service names",
                ),
                (
                    "/etc/default/headcount",
                    "further flags of headcount.service, in ARGS",
                ),
            ],
        ),
        (
            "EXIT STATUS",
            &[
                (
                    "0",
                    "stopped by SIGTERM or SIGINT, or printed the requested text",
                ),
                ("1", "could not run, or a command found something"),
                ("2", "the flags are not valid"),
            ],
        ),
    ];
    for (title, entries) in sections {
        roff.control("SH", [title]);
        for (term, text) in entries {
            roff.control("TP", []);
            roff.text([bold(*term)]).text([roman(*text)]);
        }
    }
    roff.to_writer(page)
}
