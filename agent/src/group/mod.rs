//! Groups: which process belongs to which, and what each has used.

mod account;
mod cgroup;
mod classifier;
#[cfg(test)]
mod extension_tests;
mod go_class;
mod go_regexp;
mod grouper;
mod name;
mod pattern;
mod review;
mod selector;
mod start_time;
mod template;
mod template_kinds;
mod text;
mod time_layout;

pub use classifier::{Classifier, Placement, TemplateFailure, Verdict};
pub use grouper::{Grouper, Placer, Statistics};
pub use name::MAX_NAME;
pub use review::{Doubt, Review, finds_nothing, review};
pub use selector::Miss;
pub use start_time::BootTime;

/// What a group's live processes hold at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Live processes, zombies included.
    pub processes: u64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Virtual memory, bytes.
    pub virtual_bytes: u64,
    /// Swapped-out memory, bytes.
    pub swapped_bytes: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Largest share of its soft limit of open files that one process uses.
    pub worst_fd_ratio: f64,
    /// Start of the oldest process, nanoseconds since boot; `None` for an empty group.
    pub oldest_start_ns: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// Threads by state, in the order of [`crate::process::State::ALL`]; each thread once.
    pub states: [u64; 5],
    /// Threads by the kernel function they wait in.
    pub wchans: std::collections::BTreeMap<String, u64>,
}

/// Labels beside `groupname`: names and values, by name; none is empty.
pub type Labels = Vec<(std::sync::Arc<str>, String)>;

/// One group. No other has the same name and labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Its name: the label `groupname`. Valid UTF-8, else anything a template makes.
    pub name: String,
    /// Its labels beside the name.
    pub labels: Labels,
    /// All that was ever booked to it. Never falls.
    pub total: crate::process::Tally,
    /// What its members hold now.
    pub gauges: Gauges,
}
