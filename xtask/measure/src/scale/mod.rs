//! `cargo xtask scale [HOST:PORT] [--nodes N] [--interval SECONDS]`: estimates the load that an agent's exposition makes in a
//! fleet.
//!
//! In comes the address of a running agent without TLS and password, 127.0.0.1:9256 by default. Out come its series and bytes by
//! part, and the load of Prometheus with that many such nodes. `deploy/SCALE.md` describes how to reduce it.

mod fleet;
mod parts;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, value_parser};
use fleet::Fleet;

use crate::http;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// HOST:PORT of an agent without TLS and password
    #[arg(default_value = "127.0.0.1:9256", value_parser = address)]
    address: String,
    /// Nodes of the fleet
    #[arg(long, default_value = "10000", value_parser = value_parser!(u64).range(1..))]
    nodes: u64,
    /// Seconds between two scrapes
    #[arg(long, default_value = "30", value_parser = value_parser!(u64).range(1..))]
    interval: u64,
}

fn address(text: &str) -> Result<String> {
    ensure!(text.contains(':'), "expected HOST:PORT");
    Ok(text.to_owned())
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let address = &arguments.address;
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
        nodes: arguments.nodes,
        interval_seconds: arguments.interval,
        series_of_a_node: parts.iter().map(|part| part.series).sum(),
        gzip_bytes_of_a_scrape: gzip_bytes,
    };
    println!("{}", fleet.markdown());
    Ok(())
}
