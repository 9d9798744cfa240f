//! Whose something is that the kernel counts by itself, without a record that could be booked later.

/// To what a process, or every process that runs a program of a certain name, is to be attributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// The group with this number.
    Group(u64),
    /// To none: it is in no group.
    Nowhere,
    /// Whatever its parent is attributed to.
    Parent,
    /// Nobody knows yet.
    Unknown,
}

/// Groups that are no more because their counters were added to another group's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folds {
    /// The number of the group that took them over; `None` while there is no such group.
    pub heir: Option<u64>,
    /// Their numbers.
    pub groups: Vec<u64>,
}
