//! `cargo xtask <verb>`: all tasks of a contributor.
//!
//! In come a verb and its arguments; out come the output and the exit code of the verb, 2 if the arguments are wrong. A new verb
//! is one file or a function of [`real`], one variant of [`Verb`] and one arm of `main`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask talks to a person at a terminal"
)]

mod background;
mod check;
mod compose;
mod dist;
mod fuzz;
mod image;
mod manifests;
mod measure;
mod real;
mod run;
mod service;
mod side_by_side;
mod target;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Args, Parser};
use xtask_base::{command, debian, http, peer, python, setup, workspace};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
enum Verb {
    /// Set up, build and start the agent; arguments go to it
    #[command(disable_help_flag = true)]
    Run(Passed),
    /// Set up and run every test
    Test(test::Arguments),
    /// Everything to run before a commit: format, lints, imports, names, sizes, links, dashboards, docs
    Check,
    /// Measure the cost of the agent, process-exporter and node_exporter, as in docs/dev/benchmarks.md
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Run the agent while programs start and end, and check CPU, counts and memory each minute
    #[command(disable_help_flag = true)]
    Soak(Passed),
    /// Fuzz every parser
    Fuzz(fuzz::Arguments),
    /// Play the same histories to process-exporter and to the agent, and compare every value
    Parity(Words),
    /// Test the page for people in a headless Chromium: clicks, keys, narrow windows, hostile names
    Browser,
    /// Test the agent beside the real Passenger of Debian, in every state that it has
    Passenger(Words),
    /// Compare network accounting with curl, nginx, ab, iperf3, pgbench and PostgreSQL of Debian
    Network(Words),
    /// Send requests to Gunicorn, Uvicorn, Granian, Puma and nginx, and compare the counts
    Http {
        /// Send each shape of requests once, as in CI
        #[arg(long)]
        short: bool,
        #[command(flatten)]
        words: Words,
    },
    /// Kill instances and sources of fan-in with -9 during a minute of scrapes; answers must be complete for the living
    FanIn {
        /// Scrape for so many seconds
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Choose victims and moments by this number
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Build the image for containers
    Image {
        /// Run the image as the DaemonSet would, and check its counts
        #[arg(long)]
        run: bool,
        #[command(flatten)]
        targets: target::Targets,
    },
    /// Check the rendered manifests of deploy/kubernetes against the schemas of Kubernetes
    Manifests,
    /// Estimate the load that the exposition of a running agent makes in a fleet
    #[command(disable_help_flag = true)]
    Scale(Passed),
    /// Run the live tests on other kernels, in emulated machines
    Vm(vm::Arguments),
    /// Build static binaries as tarball, .deb and .rpm
    Dist(target::Targets),
    /// Test the Debian package on an emulated machine with systemd
    Service(service::Arguments),
    /// Install the programs that the other verbs need, or print the commands
    Setup,
}

/// Arguments that another program parses.
#[derive(Debug, Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Args)]
struct Words {
    /// Run only tests whose names contain one of these words
    words: Vec<String>,
}

fn main() -> ExitCode {
    let result = match Verb::parse() {
        Verb::Run(Passed { arguments }) => run::main(&arguments),
        Verb::Test(arguments) => test::main(&arguments),
        Verb::Check => check::main(),
        Verb::Bench(Passed { arguments }) => measure::main("bench", &arguments),
        Verb::Soak(Passed { arguments }) => measure::main("soak", &arguments),
        Verb::Fuzz(arguments) => fuzz::main(&arguments),
        Verb::Parity(Words { words }) => real::parity(&words),
        Verb::Browser => real::browser(),
        Verb::Passenger(Words { words }) => real::passenger(&words),
        Verb::Network(Words { words }) => real::network(&words),
        Verb::Http { short, words } => real::http(short, &words.words),
        Verb::FanIn { seconds, seed } => real::fan_in(seconds, seed),
        Verb::Image { run, targets } => image::main(run, &targets.targets),
        Verb::Manifests => manifests::main(),
        Verb::Scale(Passed { arguments }) => measure::main("scale", &arguments),
        Verb::Vm(arguments) => vm::main(&arguments),
        Verb::Dist(arguments) => dist::main(&arguments),
        Verb::Service(arguments) => service::main(&arguments),
        Verb::Setup => setup::main(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let verb = std::env::args().nth(1).unwrap_or_default();
            eprintln!("xtask {verb}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Verb, clap::Error> {
        Verb::try_parse_from(std::iter::once("xtask").chain(line.split_whitespace()))
    }

    #[test]
    fn unknown_arguments_are_refused_with_exit_code_2() {
        for line in [
            "nothing",
            "test --without-root",
            "check all",
            "fuzz no-such-target",
            "fuzz --seconds",
            "fuzz --seconds x",
            "fuzz --seconds -1",
            "fan-in 7",
            "fan-in --seed x",
            "image --target",
            "image --target x",
            "image run",
            "vm 2.4",
            "vm --table all",
            "vm --build --table",
            "dist --target",
            "dist --target vax",
            "dist x86_64",
            "service 2.4",
            "service 6.1-arm64",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
        let error = parse("vm 2.4").expect_err("an unknown machine").to_string();
        assert!(error.contains("2.4") && error.contains("6.12"), "{error}");
    }

    #[test]
    fn known_arguments_are_taken_in_any_order() {
        for line in [
            "test --without-kernel",
            "fuzz regexp --seconds 7",
            "fuzz --seconds 7 regexp http",
            "http --short puma",
            "parity fan_in",
            "fan-in --seed 7 --seconds 5",
            "passenger -- --nocapture",
            "image --run",
            "vm nohz 7.2 -- runqueue:: start::",
            "vm all",
            "vm --table",
            "service 5.10 newest",
        ] {
            parse(line).expect(line);
        }
    }

    #[test]
    fn target_is_a_triple_and_amd64_by_default() {
        let (amd64, arm64) = ("x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl");
        for (line, expected) in [
            ("dist".to_owned(), "amd64"),
            (format!("dist --target {arm64}"), "arm64"),
            (
                format!("dist --target {amd64} --target {arm64}"),
                "amd64 arm64",
            ),
        ] {
            let Verb::Dist(found) = parse(&line).expect(&line) else {
                panic!("{line}: another verb");
            };
            let targets = found.targets.iter();
            let names: Vec<&str> = targets.map(|target| target.debian_arch).collect();
            assert_eq!(names.join(" "), expected, "{line}");
        }
    }

    #[test]
    fn arguments_of_other_programs_pass_unchanged() {
        for (line, expected) in [
            ("run -threads=false --help", "-threads=false --help"),
            ("run -- -threads=false --", "-threads=false --"),
            ("bench --help", "--help"),
            (
                "soak --minutes 3 -- --accounting=switch",
                "--minutes 3 -- --accounting=switch",
            ),
        ] {
            let (Verb::Run(passed) | Verb::Bench(passed) | Verb::Soak(passed)) =
                parse(line).expect(line)
            else {
                panic!("{line}: another verb");
            };
            assert_eq!(passed.arguments.join(" "), expected);
        }
    }
}
