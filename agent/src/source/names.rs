//! Names for numbers that events carry: users and cgroups.

use super::bpf::Pieces;
use super::cgroup_tree::CgroupTree;
use super::users::Users;
use crate::host::Host;
use crate::process::{Container, Facts, container_path_within};
use std::{collections::HashMap, sync::Arc};

/// Cgroups whose paths are remembered. Full: all are forgotten and learnt again.
const CGROUPS: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Names {
    users: Users,
    /// Whether the users may be read again. Each drain may once: who starts programs as a user without a name causes no
    /// more work than that.
    may_read: bool,
    /// By the cgroup v2 id of a process that was seen alive in it, or found in the tree.
    cgroups: HashMap<u64, Cgroup>,
    /// `None` where it is not visible.
    tree: Option<CgroupTree>,
    /// Arguments whose exec is still to come.
    pub(super) pieces: Pieces,
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
            may_read: true,
            cgroups: HashMap::new(),
            tree: None,
            pieces: Pieces::default(),
        }
    }

    /// From here on the users may be read once more.
    pub fn begin_drain(&mut self) {
        self.may_read = true;
    }

    /// The user's name, or the number where the host has none.
    pub fn username(&mut self, uid: u32) -> String {
        match self.users.known(uid) {
            Some(name) => name.to_owned(),
            None if std::mem::take(&mut self.may_read) => self.users.name(uid),
            None => uid.to_string(),
        }
    }

    /// Looks for cgroups in which nobody was seen alive in the tree of this host, where it is visible.
    #[must_use]
    pub fn with_tree_of(mut self, host: &Host) -> Self {
        self.tree = CgroupTree::of(host);
        self
    }

    /// What is known of the cgroup with this v2 id, in which the process `tgid` runs a program; `None` while no process was
    /// seen alive in it, and it is not found in the tree.
    pub(super) fn cgroup(&mut self, id: u64, tgid: u32) -> Option<Cgroup> {
        if let Some(known) = self.cgroups.get(&id) {
            return Some(known.clone());
        }
        let paths = self.tree.as_mut()?.find(id, tgid)?;
        let found = Cgroup {
            paths,
            container: None,
        };
        self.keep(id, found.clone());
        Some(found)
    }

    fn keep(&mut self, id: u64, found: Cgroup) {
        if self.cgroups.len() >= CGROUPS && !self.cgroups.contains_key(&id) {
            self.cgroups.clear();
        }
        self.cgroups.insert(id, found);
    }

    /// Whether nothing is known of the cgroup with this v2 id.
    pub(super) fn is_unknown(&self, id: u64) -> bool {
        !self.cgroups.contains_key(&id)
    }

    /// These are the facts of a living process in the cgroup `id`. Its container counts only where the paths name it that are
    /// those of whoever is in it. `node`: the id of the container that the node is, if it is one.
    pub fn learn(&mut self, id: u64, facts: &Facts, node: Option<&str>) {
        let paths = &facts.cgroups_by_id;
        let container = facts.container.as_ref();
        let of_paths = |paths| container_path_within(paths, node);
        let is_named = !paths.is_empty() && of_paths(paths) == of_paths(&facts.cgroups);
        let container = container.filter(|_| is_named);
        let is_known = |known: &Cgroup| {
            known.paths == *paths && (container.is_none() || known.container.as_ref() == container)
        };
        if !self.cgroups.get(&id).is_some_and(is_known) {
            let found = Cgroup {
                paths: paths.clone(),
                container: container.cloned(),
            };
            self.keep(id, found);
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
            cgroups_by_id: vec![path.to_owned()],
            container: pod.map(container),
            ..Facts::default()
        }
    }

    #[test]
    fn what_others_in_the_cgroup_may_not_have_is_not_learnt() {
        let mut names = Names::new(Users::new("/nowhere".into()));
        let of_version_1 = Facts {
            cgroups_by_id: Vec::new(),
            ..facts("/docker/x", Some("p"))
        };
        names.learn(1, &of_version_1, None);
        assert_eq!(names.cgroup(1, 7), Some(Cgroup::default()));
    }

    /// As on a host with version 1 beside version 2, where something else has put the process into a cgroup of version 1.
    #[test]
    fn a_container_that_the_v2_path_names_is_learnt_beside_other_paths() {
        let mut names = Names::new(Users::new("/nowhere".into()));
        let path = format!("/kubepods/pod1/{}", "0bad".repeat(16));
        let hybrid = Facts {
            cgroups: vec!["/elsewhere".to_owned(), path.clone()],
            ..facts(&path, Some("p"))
        };
        names.learn(1, &hybrid, None);
        assert_eq!(names.cgroup(1, 7).unwrap().container, hybrid.container);
    }

    #[test]
    fn users_are_read_again_once_for_each_drain() {
        let folder = tempfile::tempdir().unwrap();
        let passwd = folder.path().join("passwd");
        std::fs::write(&passwd, "a:x:1:\n").unwrap();
        let mut names = Names::new(Users::new(passwd.clone()));
        assert_eq!(
            (names.username(1), names.username(2)),
            ("a".into(), "2".into())
        );
        std::fs::write(&passwd, "a:x:1:\nbob:x:2:\n").unwrap();
        assert_eq!(names.username(2), "2", "the drain had its reading");
        names.begin_drain();
        assert_eq!(
            (names.username(3), names.username(2)),
            ("3".into(), "bob".into())
        );
    }

    #[test]
    fn a_cgroup_keeps_its_container_until_it_is_another_one() {
        let mut names = Names::new(Users::new("/nowhere".into()));
        assert_eq!(names.cgroup(1, 7), None);
        for (path, pod, expected) in [
            ("/a", None, None),
            ("/a", Some("p"), Some("p")),
            ("/a", None, Some("p")),
            ("/a", Some("q"), Some("q")),
            ("/b", None, None),
        ] {
            names.learn(1, &facts(path, pod), None);
            let found = names.cgroup(1, 7).unwrap();
            assert_eq!(found.paths, [path]);
            let pod = found.container.as_ref().map(|found| found.pod.as_str());
            assert_eq!(pod, expected, "{path}");
        }
    }
}
