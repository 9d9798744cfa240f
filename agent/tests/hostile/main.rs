//! Hostile clients against the real binary: while each attack goes on, scrapes are answered whole; after it, nothing of it is
//! left. And files that change, and a stop, while many clients scrape.
//!
//! No test measures time. The number of scrapes during the attack shows that a scraper gets its share, and the agent's own
//! counters show that the attack is in place.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod arguments;
mod attack;
mod configuration;
mod connections;
mod requests;
mod rotation;
mod secured;
mod siege;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod unread;

use support::site;
