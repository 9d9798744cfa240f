//! `cargo xtask fan-in [--seconds N] [--seed N]`: kills the sources and instances of the fan-in with -9 while it is scraped.
//!
//! In come how long, a minute without it, and the seed that chooses what is killed and when. Out comes what was killed and found:
//! the line of a test of the binary `fan_in`, which receives both in `HEADCOUNT_SECONDS` and `HEADCOUNT_SEED`, and the path of Debian's
//! nats-server in `HEADCOUNT_NATS`. `cargo test` runs the short form of it, without that.

use anyhow::{Context as _, Result, bail};

use crate::{command, parity, setup, workspace};

/// The tests that kill.
const TESTS: &str = "kills::";

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (seconds, seed) = parse(arguments)?;
    setup::ensure(setup::KERNEL_PROGRAMS)?;
    let mut cargo = workspace::cargo_test("fan_in");
    cargo
        .env("HEADCOUNT_SECONDS", seconds.to_string())
        .env("HEADCOUNT_SEED", seed.to_string())
        .env("HEADCOUNT_NATS", parity::nats_server()?)
        .args(["--", "--nocapture", TESTS]);
    command::run(&mut cargo)
}

/// Seconds and seed.
fn parse(arguments: &[String]) -> Result<(u64, u64)> {
    let (mut seconds, mut seed) = (60, 1);
    for pair in arguments.chunks(2) {
        let (name, value) = (pair.first().map_or("", String::as_str), pair.get(1));
        let place = match name {
            "--seconds" => &mut seconds,
            "--seed" => &mut seed,
            word => bail!("unknown argument {word:?}: expected --seconds N or --seed N"),
        };
        let value = value.and_then(|value| value.parse().ok());
        *place = value.with_context(|| format!("{name} needs a number"))?;
    }
    Ok((seconds, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_with_the_first_seed_is_run_unless_others_are_named() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            parse(&words)
        };
        assert_eq!(parse("").expect("nothing"), (60, 1));
        assert_eq!(parse("--seed 7 --seconds 5").expect("both"), (5, 7));
        for wrong in ["--seed", "--seed x", "7", "--minutes 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
