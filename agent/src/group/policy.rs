//! The settings of the command line about groups.

/// The settings of the command line about groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Number of groups allowed; processes of further names share one more.
    pub max_groups: usize,
    /// Whether a process that matches nothing joins its nearest ancestor that is in a group.
    pub children: bool,
    /// Whether a group without members is forgotten, with everything it has used.
    pub remove_empty: bool,
}
