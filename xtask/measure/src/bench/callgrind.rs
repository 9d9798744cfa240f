//! Counts instructions with callgrind: the number is the same in every run, also on a busy machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// Counts of callgrind below the functions named `steady_...`.
#[derive(Debug, PartialEq)]
pub(super) struct Profile {
    /// Instructions.
    pub(super) all: f64,
    /// Number of rounds, as the program reports it.
    pub(super) rounds: f64,
    /// Instructions of each function itself, largest first.
    pub(super) functions: Vec<(String, f64)>,
}

impl Profile {
    pub(super) fn per_round(&self) -> f64 {
        self.all / self.rounds
    }
}

/// Runs `program`, whose output begins with its number of rounds; callgrind's output is kept in `folder`.
pub(super) fn run(program: &Path, arguments: &[&str], folder: &Path) -> Result<Profile> {
    let file = folder.join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg("--toggle-collect=*steady_*")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(arguments);
    let output = command::read(&mut valgrind)?;
    let rounds = output
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    let listing = command::read(Command::new("callgrind_annotate").arg(&file))?;
    let (all, functions) = parse(&listing)
        .with_context(|| format!("callgrind_annotate gave no totals:\n{listing}"))?;
    Ok(Profile {
        all,
        rounds: rounds.with_context(|| format!("no number of rounds in {output:?}"))?,
        functions,
    })
}

/// Parses lines of `callgrind_annotate`: `1,234 (5.67%)  file:function [object]`, the total first.
fn parse(listing: &str) -> Option<(f64, Vec<(String, f64)>)> {
    let mut all = None;
    let mut functions = Vec::new();
    for line in listing.lines() {
        let Some((count, rest)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let Ok(count) = count.replace(',', "").parse::<f64>() else {
            continue;
        };
        if rest.contains("PROGRAM TOTALS") {
            all = Some(count);
        } else if let Some((_, place)) = rest.split_once(")  ") {
            functions.push((function(place).to_owned(), count));
        }
    }
    Some((all?, functions))
}

/// The function of `file:function [object]`, without the hash after its name.
fn function(place: &str) -> &str {
    let place = place.split_once(" [").map_or(place, |(place, _)| place);
    let name = place.split_once(':').map_or(place, |(_, name)| name);
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_functions_are_read_from_the_listing() {
        let listing = "\
            Events shown:     Ir\n\
            --------------------------------------------------------------------------------\n\
            Ir                   \n\
            1,234,567 (100.0%)  PROGRAM TOTALS\n\
            --------------------------------------------------------------------------------\n\
            Ir                  file:function\n\
            1,000,000 (81.00%)  ???:headcount::process::Table::observe::h0123456789abcdef [/x/replay]\n\
            \u{20} 234,567 (19.00%)  ./malloc/malloc.c:malloc [/lib/libc.so.6]\n";
        let (all, functions) = parse(listing).expect("totals");
        assert_eq!(all, 1_234_567.0);
        assert_eq!(
            functions,
            [
                ("headcount::process::Table::observe".to_owned(), 1e6),
                ("malloc".to_owned(), 234_567.0)
            ]
        );
        assert_eq!(parse("nothing"), None);
    }
}
