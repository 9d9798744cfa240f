//! Clients that mean harm, against the real binary: while each attack goes on, scrapes are answered whole; after it, nothing of it is
//! left. And files that change, and a stop, while many scrape.
//!
//! No test measures time. That a scraper gets its share is shown by the number of its scrapes while the attack is in place, and that the
//! attack is in place by what the agent counts of it.

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
