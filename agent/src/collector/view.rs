//! What collectors see: one immutable look at the state, filled by whoever owns it.

use crate::group::{self, Group};
use crate::source::{Fact, Origin};
use crate::{process, source};

/// One look at the state.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// All groups, each name with its labels once, empty ones included.
    pub groups: &'a [Group],
    /// Counts about the process table.
    pub processes: &'a process::Statistics,
    /// What the source tells about itself.
    pub source: &'a source::Statistics,
    /// Counts about the grouper.
    pub group_statistics: &'a group::Statistics,
    /// Counts about the HTTP side.
    pub serving: &'a ServingStatistics,
    /// Reloads of the configuration.
    pub reloads: &'a ReloadStatistics,
    /// What the agent was to take from itself: side, step, and whether it did.
    pub sandbox: &'a [(&'static str, &'static str, bool)],
    /// What was built.
    pub build: &'a Build,
    /// When the node booted, seconds since the epoch (`btime` of `/proc/stat`).
    pub boot_time_seconds: f64,
    /// Log lines held back by the rate limit.
    pub log_lines_suppressed: u64,
}

/// Counts about the HTTP side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServingStatistics {
    /// Open connections.
    pub connections: u64,
    /// Connections closed at once, because none of the others had to give way.
    pub rejected: u64,
    /// Connections closed to make room for new ones.
    pub evicted: u64,
    /// Connections that the system could not accept.
    pub accept_errors: u64,
    /// Connections that ended in their TLS handshake.
    pub handshake_failures: u64,
    /// Changes of the web configuration that could not be used.
    pub reload_failures: u64,
    /// Answers that clients have not taken yet.
    pub unsent: UnsentStatistics,
    /// Requests by status code.
    pub requests: Vec<(&'static str, u64)>,
    /// Times up by phase.
    pub timeouts: Vec<(&'static str, u64)>,
    /// How much and how long.
    pub limits: ServingLimits,
}

/// Answers that clients have not taken yet, and passes that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnsentStatistics {
    /// Their size.
    pub bytes: u64,
    /// Their size at most.
    pub max_bytes: u64,
    /// Connections closed because they held answers for which there was no room.
    pub unread: u64,
    /// Passes put off because requests came too often.
    pub delayed_passes: u64,
}

/// Bounds of the HTTP side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServingLimits {
    /// Open connections.
    pub connections: u64,
    /// Size of a request's header.
    pub header_bytes: u64,
    /// Lines in a request's header.
    pub header_lines: u64,
    /// Times by what they are for.
    pub seconds: Vec<(&'static str, f64)>,
}

/// Reloads of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReloadStatistics {
    /// Whether the last one succeeded; true before there was any.
    pub is_successful: bool,
    /// When the configuration was last loaded, at the start or by a reload, seconds since the epoch.
    pub success_unix_seconds: f64,
    /// Those that failed.
    pub failures: u64,
}

/// What was built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Build {
    /// Version of the package.
    pub version: &'static str,
    /// Commit it was built from.
    pub revision: &'static str,
    /// Version of the compiler.
    pub rustversion: &'static str,
    /// Target triple.
    pub target: &'static str,
}

impl View<'_> {
    /// Whether `fact` comes from anywhere; families made of an absent fact are left out.
    pub fn has(&self, fact: Fact) -> bool {
        self.source
            .facts
            .iter()
            .any(|(known, origin)| *known == fact && *origin != Origin::Absent)
    }
}
