//! Code that integration tests share. Each test binary uses a part of it.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests
#![allow(unreachable_pub)] // nothing in a test binary is reachable from outside
#![allow(dead_code)] // a test that needs one half of this does not need the other

pub mod agent;
pub mod client;
pub mod fake_proc;
pub mod log;
pub mod passenger;
pub mod place;
pub mod scrape;
pub mod site;
