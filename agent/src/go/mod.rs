//! The parts of Go that the users of process-exporter rely on.
//!
//! Configurations and command lines for process-exporter hold regular expressions, templates, time layouts, durations and flags
//! in Go's syntax. This module gives them Go's meaning, and Go's words for errors. It knows nothing of processes, groups and the
//! agent's flags: `config` and `group` use it. It does no I/O.

pub(crate) mod civil;
pub(crate) mod duration;
pub(crate) mod flag;
pub(crate) mod regexp;
pub(crate) mod template;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod time_layout;
