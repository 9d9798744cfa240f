//! The flags of the collector `http`.

use clap::Args;

use crate::go::flag::parse_bool;

/// Whether the agent counts the HTTP requests that each group serves.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HttpFlags {
    /// Count the HTTP/1 requests that each group serves, not only groups of items with http: true; needs the kernel programs
    #[arg(id = "http_is_on", long = "collector.http", value_name = "BOOL", action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool, overrides_with = "http_is_off")]
    pub(super) is_on: bool,
    /// Count requests only of groups of items with http: true; the same as --collector.http=false
    #[arg(
        id = "http_is_off",
        long = "no-collector.http",
        overrides_with = "http_is_on"
    )]
    pub(super) is_off: bool,
}

impl HttpFlags {
    /// Whether they are counted for all groups.
    pub const fn is_enabled(&self) -> bool {
        self.is_on && !self.is_off
    }
}
