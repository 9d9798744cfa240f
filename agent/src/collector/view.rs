//! The input of all collectors: one immutable look at the state, made by the thread that owns the state.

use crate::group::{self, Group};
use crate::gunicorn::GunicornView;
use crate::source::Fact;
use crate::{process, source};

/// One look at the state, for one exposition.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// All groups, empty ones included; each pair of name and labels occurs once.
    pub groups: &'a [Group],
    /// Counts about the process table.
    pub processes: &'a process::TableStatistics,
    /// Counts about the sources.
    pub source: &'a source::SourceStatistics,
    /// Counts about the grouper.
    pub group_statistics: &'a group::GroupStatistics,
    /// Applications of Gunicorn; `None` if the agent does not look for them.
    pub gunicorn: Option<&'a GunicornView>,
    /// Counts about the HTTP side; only the server's part has them.
    pub serving: &'a ServingStatistics,
    /// Reloads of the configuration.
    pub reloads: &'a ReloadStatistics,
    /// Steps of the sandbox: the side (the threads of HTTP, of the state or of targets), the step, and whether it is in effect.
    pub sandbox: &'a [(&'static str, &'static str, bool)],
    /// Version and origin of this build.
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
    /// Connections closed on arrival, because the limit was reached and no open connection had to give way.
    pub rejected: u64,
    /// Open connections closed to make room for new ones.
    pub evicted: u64,
    /// Incoming connections that the kernel failed to accept.
    pub accept_errors: u64,
    /// Connections that failed in the TLS handshake; handshakes that were too slow count as timeouts.
    pub handshake_failures: u64,
    /// Changes of the web configuration that could not be used.
    pub reload_failures: u64,
    /// Responses that clients have not read yet.
    pub unsent: UnsentStatistics,
    /// Requests by status code of the response.
    pub requests: Vec<(&'static str, u64)>,
    /// Timed-out requests by phase.
    pub timeouts: Vec<(&'static str, u64)>,
    /// The limits in effect.
    pub limits: ServingLimits,
}

/// Responses that clients have not read yet, and passes that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnsentStatistics {
    /// Size of these responses, bytes; responses of one pass share their memory and count once.
    pub bytes: u64,
    /// Limit of `bytes`; a new response is made only while half of it is free.
    pub max_bytes: u64,
    /// Connections closed because the client did not read a response for 1 s while there was no room for further responses.
    pub unread: u64,
    /// Passes postponed because requests came more than once a second and passes would have used too much of a core.
    pub delayed_passes: u64,
}

/// Limits of the HTTP side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServingLimits {
    /// Open connections.
    pub connections: u64,
    /// Size of a request's header, bytes.
    pub header_bytes: u64,
    /// Lines in a request's header.
    pub header_lines: u64,
    /// Time limits by phase, seconds.
    pub seconds: Vec<(&'static str, f64)>,
}

/// Reloads of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReloadStatistics {
    /// Whether the last one succeeded; true before there was any.
    pub is_successful: bool,
    /// When the configuration was last loaded, at the start or by a reload, seconds since the epoch.
    pub success_unix_seconds: f64,
    /// Reloads that failed.
    pub failures: u64,
}

/// Version and origin of this build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Build {
    /// Version of the package.
    pub version: &'static str,
    /// Commit that it was built from.
    pub revision: &'static str,
    /// Version of the compiler.
    pub rustversion: &'static str,
    /// Target triple.
    pub target: &'static str,
}

impl View<'_> {
    /// Whether `fact` has a source on this node; families made of a fact without one are left out.
    pub fn has(&self, fact: Fact) -> bool {
        self.source.has(fact)
    }
}
