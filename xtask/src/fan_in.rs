//! `cargo xtask fan-in [--seconds N] [--seed N]`: kills the sources and instances of the fan-in with -9 while it is scraped.
//!
//! In come the seconds, 60 by default, and the seed that chooses the victims and the moments. Out come the victims and the
//! findings: the line of a test of the binary `fan_in`, which receives both numbers in `HEADCOUNT_SECONDS` and `HEADCOUNT_SEED`,
//! and the path of Debian's nats-server in `HEADCOUNT_NATS`. `cargo test` runs its short form, without nats-server.

use anyhow::Result;
use clap::Args;

use crate::{command, parity, setup, workspace};

/// The tests that kill.
const TESTS: &str = "kills::";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Scrape for so many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Choose victims and moments by this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn main(Arguments { seconds, seed }: &Arguments) -> Result<()> {
    setup::ensure(setup::KERNEL_PROGRAMS)?;
    let mut cargo = workspace::cargo_test("fan_in");
    cargo
        .env("HEADCOUNT_SECONDS", seconds.to_string())
        .env("HEADCOUNT_SEED", seed.to_string())
        .env("HEADCOUNT_NATS", parity::nats_server()?)
        .args(["--", "--nocapture", TESTS]);
    command::run(&mut cargo)
}
