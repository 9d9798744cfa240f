//! Why a question to a target has no answer: a fixed set of reasons.

use std::fmt;

/// The reason, in the words of the label `reason` of `headcount_target_failures_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The target disappeared after it was found.
    Gone,
    /// The agent has no permission, or the files and the process of the target do not belong to one user.
    Denied,
    /// Nothing accepts connections at its socket, or the connection was reset.
    Refused,
    /// No complete answer before the deadline.
    Timeout,
    /// The answer exceeds a limit of its size.
    TooLarge,
    /// An HTTP status other than 200, 401 and 403.
    Status,
    /// The answer, or a file of the target, violates the protocol.
    Malformed,
    /// The previous question to the target has passed its deadline and is still blocked.
    Busy,
    /// Not asked or not kept, because a bound of the agent was reached.
    Limit,
    /// The connection has reached another process than the one to ask.
    NotTheTarget,
    /// An instance of an application redirects to another host.
    Redirected,
    /// The certificate of an instance is not valid, or its TLS handshake fails.
    Insecure,
    /// The template of a parameter of an external exporter fails.
    Template,
    /// The name of a host has no address, or the resolver does not answer.
    Unresolved,
}

impl Failure {
    /// The reasons of kinds of targets, in the order in which they are shown.
    pub(crate) const ALL: [Self; 9] = [
        Self::Gone,
        Self::Denied,
        Self::Refused,
        Self::Timeout,
        Self::TooLarge,
        Self::Status,
        Self::Malformed,
        Self::Busy,
        Self::Limit,
    ];

    /// The reasons of instances of applications, in the order in which they are shown.
    pub(crate) const OF_INSTANCES: [Self; 12] = [
        Self::Denied,
        Self::Unresolved,
        Self::Refused,
        Self::Timeout,
        Self::TooLarge,
        Self::Status,
        Self::Redirected,
        Self::NotTheTarget,
        Self::Insecure,
        Self::Malformed,
        Self::Limit,
        Self::Template,
    ];

    /// The reasons of sources of instances, in the order in which they are shown.
    pub(crate) const OF_SOURCES: [Self; 12] = [
        Self::Gone,
        Self::Denied,
        Self::Unresolved,
        Self::Refused,
        Self::Timeout,
        Self::TooLarge,
        Self::Status,
        Self::Redirected,
        Self::Insecure,
        Self::Malformed,
        Self::Busy,
        Self::Limit,
    ];

    /// The value of the label `reason`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
            Self::Limit => "limit",
            Self::NotTheTarget => "not_the_target",
            Self::Redirected => "redirected",
            Self::Insecure => "tls",
            Self::Template => "template",
            Self::Unresolved => "unresolved",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}
