//! Attribution of values that the kernel counts itself, and for which no record comes that could be booked later.

/// The group that values of a process, or of all processes with a certain comm, belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// The group with this number.
    Group(u64),
    /// No group: the process is in none.
    Nowhere,
    /// The group that its parent's values belong to.
    Parent,
    /// Not known yet.
    Unknown,
}

/// Groups that were removed; their counters were added to another group's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folds {
    /// The number of the group that took over their counters; `None` while there is no such group.
    pub heir: Option<u64>,
    /// The numbers of the removed groups.
    pub groups: Vec<u64>,
}
