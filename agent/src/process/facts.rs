//! What selectors and name templates see of a process.

use std::sync::Arc;

use super::{Arguments, Container};

/// What a process is called, owned by and started as: read from `/proc` while it lives, or taken from the exec event
/// of one that was gone before anybody looked.
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
    /// User name of the effective uid, or the uid in decimal where the host's passwd has none.
    pub username: String,
    /// Path part of each line of `/proc/<pid>/cgroup`, in file order; empty where unreadable.
    pub cgroups: Vec<String>,
    /// Those of `cgroups` that whoever is in the same cgroup v2 has, too: not what version 1 has of its own.
    pub cgroups_by_id: Vec<String>,
    /// The cgroup v2 id that its exec told; `None` where only `/proc` was read.
    pub cgroup_id: Option<u64>,
    /// Working directory, raw bytes; empty where nobody asks for it, where it may not be read, and where the process was gone.
    pub cwd: Vec<u8>,
    /// What its cluster calls its container; `None` where nobody asks for it, and where that is not known.
    pub container: Option<Arc<Container>>,
    /// Its container was started so lately that its cluster's names for it may still come: it is worth another look.
    pub provisional: bool,
    /// Something of the names had to be left out or cut: the process was gone, and its event could not carry all.
    pub incomplete: bool,
}
