//! Names for numbers that events carry: users and cgroups.

use super::users::Users;
use crate::process::{Container, Facts};
use std::{collections::HashMap, sync::Arc};

/// Cgroups whose paths are remembered. Full: all are forgotten and learnt again.
const CGROUPS: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Names {
    users: Users,
    /// By the cgroup v2 id of a process that was seen alive in it.
    cgroups: HashMap<u64, Cgroup>,
}

/// What a process tells of the cgroup it is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cgroup {
    /// Path lines of `/proc/<pid>/cgroup`.
    pub(super) paths: Vec<String>,
    /// What its cluster calls its container.
    pub(super) container: Option<Arc<Container>>,
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

    /// What is known of the cgroup with this v2 id; nothing while no process in it was seen alive.
    pub(super) fn cgroup(&self, id: u64) -> Cgroup {
        self.cgroups.get(&id).cloned().unwrap_or_default()
    }

    /// These are the facts of a living process in the cgroup `id`. They are of no use where another one in it may have other
    /// paths.
    pub fn learn(&mut self, id: u64, facts: &Facts) {
        if !facts.cgroups_by_id {
            return;
        }
        if self.cgroups.len() >= CGROUPS && !self.cgroups.contains_key(&id) {
            self.cgroups.clear();
        }
        let is_known = |known: &Cgroup| {
            known.paths == facts.cgroups
                && (facts.container.is_none() || known.container == facts.container)
        };
        if !self.cgroups.get(&id).is_some_and(is_known) {
            let found = Cgroup {
                paths: facts.cgroups.clone(),
                container: facts.container.clone(),
            };
            self.cgroups.insert(id, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(path: &str, pod: Option<&str>) -> Facts {
        let container = |pod: &str| {
            Arc::new(Container {
                namespace: "ns".to_owned(),
                pod: pod.to_owned(),
                name: "c".to_owned(),
            })
        };
        Facts {
            cgroups: vec![path.to_owned()],
            cgroups_by_id: true,
            container: pod.map(container),
            ..Facts::default()
        }
    }

    #[test]
    fn nothing_is_learnt_where_others_in_the_cgroup_may_have_other_paths() {
        let mut names = Names::new(Users::new("/nowhere".into()));
        let of_version_1 = Facts {
            cgroups_by_id: false,
            ..facts("/docker/x", None)
        };
        names.learn(1, &of_version_1);
        assert_eq!(names.cgroup(1), Cgroup::default());
    }

    #[test]
    fn a_cgroup_keeps_its_container_until_it_is_another_one() {
        let mut names = Names::new(Users::new("/nowhere".into()));
        assert_eq!(names.cgroup(1), Cgroup::default());
        for (path, pod, expected) in [
            ("/a", None, None),
            ("/a", Some("p"), Some("p")),
            ("/a", None, Some("p")),
            ("/a", Some("q"), Some("q")),
            ("/b", None, None),
        ] {
            names.learn(1, &facts(path, pod));
            let found = names.cgroup(1);
            assert_eq!(found.paths, [path]);
            let pod = found.container.as_ref().map(|found| found.pod.as_str());
            assert_eq!(pod, expected, "{path}");
        }
    }
}
