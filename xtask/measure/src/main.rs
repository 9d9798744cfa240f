//! The verbs `bench`, `soak` and `scale`, which `cargo xtask` starts. Neither the tests nor a fresh clone build this package.
//!
//! In come a verb and its arguments; out come the output and the exit code of the verb, 2 if the arguments are wrong.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask talks to a person at a terminal"
)]

mod bench;
mod scale;
mod soak;

use std::process::ExitCode;

use clap::Parser;
use xtask_base::{command, http, peer, python, setup, workspace};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
enum Measurement {
    /// Measure the cost of the agent, process-exporter and node_exporter, as in docs/dev/benchmarks.md
    Bench(bench::Arguments),
    /// Run the agent while programs start and end, and check CPU, counts and memory each minute
    Soak(soak::Arguments),
    /// Estimate the load that the exposition of a running agent makes in a fleet
    Scale(scale::Arguments),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        // `bench` and `soak` start this program again, for their loads: those need no help, and must be quick.
        Some((word, load)) if word == bench::LOAD => bench::load(load),
        Some((word, load)) if word == soak::LOAD => soak::load(load),
        _ => match Measurement::parse() {
            Measurement::Bench(arguments) => bench::main(&arguments),
            Measurement::Soak(arguments) => soak::main(&arguments),
            Measurement::Scale(arguments) => scale::main(&arguments),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let verb = words.first().map_or("", String::as_str);
            eprintln!("xtask {verb}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Measurement, clap::Error> {
        Measurement::try_parse_from(std::iter::once("xtask").chain(line.split_whitespace()))
    }

    #[test]
    fn known_arguments_are_parsed() {
        let bench = parse("bench idle --output x.md").expect("a section and a file");
        let fields = r#"Bench(Arguments { sections: ["idle"], output: Some("x.md") })"#;
        assert_eq!(format!("{bench:?}"), fields);
        let soak = parse("soak --minutes 3 -- --accounting=switch")
            .expect("minutes and a flag of the agent");
        let fields = r#"Soak(Arguments { minutes: 3, agent: ["--accounting=switch"] })"#;
        assert_eq!(format!("{soak:?}"), fields);
        parse("scale --nodes 5 n1:9256 --interval 60").expect("a fleet and an agent");
    }

    #[test]
    fn unknown_arguments_are_refused_with_exit_code_2() {
        for line in [
            "bench speed",
            "bench --output",
            "soak",
            "soak --minutes",
            "soak --minutes 0",
            "soak --minutes 3 switch",
            "soak --hours 1",
            "scale --nodes",
            "scale --nodes 0",
            "scale --interval x",
            "scale --speed 1",
            "scale n1",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
        let error = parse("bench speed").expect_err("no section").to_string();
        assert!(error.contains("slow-down"), "{error}");
    }
}
