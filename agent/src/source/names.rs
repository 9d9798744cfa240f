//! Names for numbers that events carry: users and cgroups.

use super::users::Users;
use std::collections::HashMap;

/// Cgroups whose paths are remembered. Full: all are forgotten and learnt again.
const CGROUPS: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Names {
    users: Users,
    /// Path lines of `/proc/<pid>/cgroup`, by the cgroup v2 id of a process that was seen alive in it.
    cgroups: HashMap<u64, Vec<String>>,
}

impl Names {
    /// Nothing learnt yet.
    pub fn new(users: Users) -> Self {
        Self {
            users,
            cgroups: HashMap::new(),
        }
    }

    /// The user's name, or the number where the host has none.
    pub fn username(&mut self, uid: u32) -> String {
        self.users.name(uid)
    }

    /// The cgroup paths of processes in the cgroup with this v2 id; empty while no process in it was seen alive.
    pub fn cgroups(&self, id: u64) -> Vec<String> {
        self.cgroups.get(&id).cloned().unwrap_or_default()
    }

    /// A living process in the cgroup `id` has these paths.
    pub fn learn(&mut self, id: u64, paths: &[String]) {
        if self.cgroups.len() >= CGROUPS && !self.cgroups.contains_key(&id) {
            self.cgroups.clear();
        }
        if self.cgroups.get(&id).is_none_or(|known| known != paths) {
            self.cgroups.insert(id, paths.to_vec());
        }
    }
}
