//! What the command line says of groups.

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Groups there may be; processes of further names share one more.
    pub max_groups: usize,
    /// Whether what matches nothing joins its nearest ancestor that is in a group.
    pub children: bool,
    /// Whether a group without members is forgotten, and what it used with it.
    pub remove_empty: bool,
}
