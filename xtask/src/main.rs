//! `cargo xtask <verb>`: all tasks of a contributor.
//!
//! In come a verb and its arguments; out come the output and the exit code of the verb. A new verb is one file and one row in
//! [`VERBS`].
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask talks to a person at a terminal"
)]

mod background;
mod browser;
mod check;
mod compose;
mod dist;
mod fan_in;
mod fuzz;
mod image;
mod manifests;
mod measure;
mod network;
mod parity;
mod passenger;
mod requests;
mod run;
mod scale;
mod service;
mod side_by_side;
mod test;
mod vm;

use std::process::ExitCode;

use xtask_base::{command, debian, http, peer, python, setup, workspace};

struct Verb {
    name: &'static str,
    summary: &'static str,
    main: fn(&[String]) -> anyhow::Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "run",
        summary: "set up, build and start the agent; arguments go to it",
        main: run::main,
    },
    Verb {
        name: "test",
        summary: "set up and run every test; --without-kernel leaves out what needs root and BPF",
        main: test::main,
    },
    Verb {
        name: "check",
        summary: "what to run before a commit: format, lints, imports, names, sizes, links, docs",
        main: check::main,
    },
    Verb {
        name: "bench",
        summary: "what the agent costs beside process-exporter and node_exporter, as docs/dev/benchmarks.md; arguments are sections",
        main: measure::bench,
    },
    Verb {
        name: "soak",
        summary: "programs start and end for --minutes N: CPU, counts and memory checked each minute; -- and arguments go to the agent",
        main: measure::soak,
    },
    Verb {
        name: "fuzz",
        summary: "inputs that nobody thought of, to every parser; arguments are targets, --seconds",
        main: fuzz::main,
    },
    Verb {
        name: "parity",
        summary: "the same histories to process-exporter and to the agent, every value compared",
        main: parity::main,
    },
    Verb {
        name: "browser",
        summary: "the page for people in a headless Chromium: clicks, keys, narrow windows, hostile names",
        main: browser::main,
    },
    Verb {
        name: "passenger",
        summary: "the real Passenger of Debian on loopback, in every state that it has: each value compared with its own document",
        main: passenger::main,
    },
    Verb {
        name: "network",
        summary: "network accounting beside curl, nginx, ab, iperf3, pgbench and PostgreSQL of Debian: bytes compared with their own reports",
        main: network::main,
    },
    Verb {
        name: "http",
        summary: "requests to Gunicorn, Uvicorn, Granian, Puma and nginx, counted as their clients and logs count them; --short: each shape once",
        main: requests::main,
    },
    Verb {
        name: "fan-in",
        summary: "kill -9 of instances and routers during a minute of scrapes: answers complete for the living; --seconds, --seed",
        main: fan_in::main,
    },
    Verb {
        name: "image",
        summary: "the image for containers; --run tries it out as the DaemonSet would; --target for other machines",
        main: image::main,
    },
    Verb {
        name: "manifests",
        summary: "what deploy/kubernetes renders to, against the schemas of Kubernetes",
        main: manifests::main,
    },
    Verb {
        name: "scale",
        summary: "what the exposition of a running agent means for a fleet; arguments are HOST:PORT, --nodes, --interval",
        main: scale::main,
    },
    Verb {
        name: "vm",
        summary: "the live tests on other kernels, emulated; arguments are machines, or all; -- WORD... picks tests; --build: no boot; --table: into docs/requirements.md",
        main: vm::main,
    },
    Verb {
        name: "dist",
        summary: "static binaries as tarball, .deb and .rpm; --target TRIPLE for another machine",
        main: dist::main,
    },
    Verb {
        name: "service",
        summary: "the Debian package on an emulated machine with systemd; arguments are kernels, as of vm",
        main: service::main,
    },
    Verb {
        name: "setup",
        summary: "install what the others need, or print the commands that would",
        main: setup::main,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let verb = arguments
        .first()
        .and_then(|name| VERBS.iter().find(|verb| verb.name == name));
    let Some(verb) = verb else {
        eprintln!("usage: cargo xtask <verb> [argument]...");
        for Verb { name, summary, .. } in VERBS {
            eprintln!("  {name:10} {summary}");
        }
        return ExitCode::from(2);
    };
    match (verb.main)(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {}: {error:#}", verb.name);
            ExitCode::FAILURE
        }
    }
}
