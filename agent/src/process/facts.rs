//! The facts of a process that selectors and name templates use.

use std::sync::Arc;

use super::{Arguments, Container};

/// Name, arguments, owner, start and cgroups of a process. They are read from `/proc` while it lives, or come from the exec
/// record if it ended before it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Process id.
    pub tgid: u32,
    /// Start, nanoseconds since boot.
    pub start_ns: u64,
    /// Process id of the parent; 0 for none.
    pub parent: u32,
    /// Task name: field 2 of `/proc/<pid>/stat` without its parentheses, raw bytes.
    pub comm: Vec<u8>,
    /// Argument vector, trailing empty arguments dropped. Empty for kernel threads and zombies.
    pub argv: Arguments,
    /// Effective uid; `None` for a sum over several processes.
    pub uid: Option<u32>,
    /// The effective user or group id differs from the real one: another user may have started the process.
    pub has_borrowed_ids: bool,
    /// User name of the effective uid, or the uid in decimal where the host's passwd has none.
    pub username: String,
    /// Path part of each line of `/proc/<pid>/cgroup`, in file order; empty where unreadable.
    pub cgroups: Vec<String>,
    /// Those of `cgroups` that all processes in the same cgroup v2 share: the paths of cgroup version 1 hierarchies are left
    /// out.
    pub cgroups_by_id: Vec<String>,
    /// The cgroup v2 id from its exec record; `None` where only `/proc` was read.
    pub cgroup_id: Option<u64>,
    /// Working directory, raw bytes. Empty where the configuration does not use it, where it may not be read, and where the
    /// process was gone.
    pub cwd: Vec<u8>,
    /// The cluster's names for its container; `None` where the configuration does not use them, and where they are unknown.
    pub container: Option<Arc<Container>>,
    /// Its container started so recently that the cluster's names for it may still come: the agent looks at it again.
    pub provisional: bool,
    /// Some of the facts are missing or cut: the process was gone, and its record could not hold all.
    pub incomplete: bool,
}
