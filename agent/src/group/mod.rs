//! Groups: which process belongs to which, and what each has used.

mod account;
mod classifier;
mod gauges;
mod go_class;
mod go_regexp;
mod grouper;
#[cfg(test)]
mod lineage_tests;
mod name;
mod name_map;
mod pattern;
mod policy;
mod selector;
mod start_time;
mod template;
mod template_kinds;
mod text;
mod threads;
mod time_layout;

pub use classifier::{Classifier, Placement, TemplateFailure};
pub use gauges::Gauges;
pub use grouper::{Grouper, Placer, Statistics};
pub use name::MAX_NAME;
pub use policy::Policy;
pub use start_time::BootTime;
pub use threads::{ThreadNames, ThreadUse};

/// One group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Its name: the label `groupname`. Valid UTF-8, else anything a template makes.
    pub name: String,
    /// All that was ever booked to it. Never falls.
    pub total: crate::process::Tally,
    /// What its members hold now.
    pub gauges: Gauges,
    /// Threads of its members, where they are shown by name.
    pub threads: ThreadNames,
}
