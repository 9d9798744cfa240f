//! `cargo xtask scale [HOST:PORT] [--nodes N] [--interval SECONDS]`: estimates the load that an agent's exposition makes in a
//! fleet.
//!
//! In comes the address of a running agent without TLS and password, 127.0.0.1:9256 by default. Out come its series and bytes by
//! part, and the load of Prometheus with that many such nodes. `deploy/SCALE.md` describes how to reduce it.

mod fleet;
mod parts;

use anyhow::{Context as _, Result, bail, ensure};
use fleet::Fleet;

use crate::http;

/// The arguments.
#[derive(Debug, PartialEq)]
struct Request {
    address: String,
    nodes: u64,
    interval_seconds: u64,
}

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let request = Request::parse(arguments)?;
    let Request {
        address,
        nodes,
        interval_seconds,
    } = &request;
    let ask = |headers| {
        http::get(address.as_str(), "/metrics", headers)
            .with_context(|| format!("scrape {address}: is an agent running there?"))
    };
    let plain = String::from_utf8(ask("")?).context("the exposition is no text")?;
    let gzip_bytes = ask("Accept-Encoding: gzip\r\n")?.len() as u64;
    let parts = parts::of(&plain);
    println!(
        "{}",
        parts::markdown(&parts, plain.len() as u64, gzip_bytes)
    );
    let fleet = Fleet {
        nodes: *nodes,
        interval_seconds: *interval_seconds,
        series_of_a_node: parts.iter().map(|part| part.series).sum(),
        gzip_bytes_of_a_scrape: gzip_bytes,
    };
    println!("{}", fleet.markdown());
    Ok(())
}

impl Request {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut request = Self {
            address: "127.0.0.1:9256".to_owned(),
            nodes: 10_000,
            interval_seconds: 30,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().and_then(|word| word.parse::<u64>().ok());
                let value = value.filter(|value| *value > 0);
                value.with_context(|| format!("{word} needs a number above 0"))
            };
            match word.as_str() {
                "--nodes" => request.nodes = number()?,
                "--interval" => request.interval_seconds = number()?,
                _ if word.starts_with('-') => {
                    bail!("unknown flag {word}: expected --nodes or --interval")
                }
                address => address.clone_into(&mut request.address),
            }
        }
        ensure!(
            request.address.contains(':'),
            "{}: expected HOST:PORT",
            request.address
        );
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_names_node_count_and_interval() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Request::parse(&words)
        };
        let expected = Request {
            address: "n1:9256".to_owned(),
            nodes: 5,
            interval_seconds: 60,
        };
        let found = parse("--nodes 5 n1:9256 --interval 60").expect("all are known");
        assert_eq!(found, expected);
        for wrong in ["--nodes", "--nodes 0", "--interval x", "--speed 1", "n1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
