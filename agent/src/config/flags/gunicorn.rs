//! The flags of the collector `gunicorn`.

use clap::Args;

use crate::go::flag::parse_bool;

/// Whether the agent shows the applications of Gunicorn.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct GunicornFlags {
    /// Show the applications and workers of Gunicorn in groups whose HTTP requests are counted
    #[arg(id = "gunicorn_is_on", long = "collector.gunicorn", value_name = "BOOL", action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true",
        value_parser = parse_bool, overrides_with = "gunicorn_is_off")]
    pub(super) is_on: bool,
    /// Do not look for Gunicorn; the same as --collector.gunicorn=false
    #[arg(
        id = "gunicorn_is_off",
        long = "no-collector.gunicorn",
        overrides_with = "gunicorn_is_on"
    )]
    pub(super) is_off: bool,
}

impl GunicornFlags {
    /// Whether it is shown.
    pub const fn is_enabled(&self) -> bool {
        self.is_on && !self.is_off
    }
}
