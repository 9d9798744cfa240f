//! Looks up the names of users and cgroups by the numbers in kernel records.
//!
//! In: events with user ids and cgroup v2 ids, and facts of live processes to learn from. Out: the same events with user names,
//! cgroup paths and containers.

use std::collections::HashMap;
use std::sync::Arc;

use super::cgroup_tree::CgroupTree;
use super::users::UserNames;
use crate::host::Host;
use crate::process::{Container, Event, Facts, container_path_within};

/// Maximum number of cgroups whose paths are kept. Full: the agent drops all and learns them again.
const CGROUPS: usize = 4096;

/// The names that are known so far.
#[derive(Debug)]
pub struct NamesById {
    users: UserNames,
    /// Whether the file of users may be read again. Each drain may read it once, so that a user without a name who starts many
    /// programs causes no more work than that.
    may_read: bool,
    /// By cgroup v2 id: learnt from a process that was seen alive in the cgroup, or found in the tree.
    cgroups: HashMap<u64, Cgroup>,
    /// `None` if the tree is not visible.
    tree: Option<CgroupTree>,
}

/// The names of a cgroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cgroup {
    /// The paths in `/proc/<pid>/cgroup` of a process in it.
    paths: Vec<String>,
    /// The names that Kubernetes gives to its container; `None` if unknown.
    container: Option<Arc<Container>>,
}

impl NamesById {
    /// Names without any cgroup yet.
    pub fn new(users: UserNames) -> Self {
        Self {
            users,
            may_read: true,
            cgroups: HashMap::new(),
            tree: None,
        }
    }

    /// Begins a drain: the file of users may be read once more.
    pub fn begin_drain(&mut self) {
        self.may_read = true;
    }

    /// Adds the names of user and cgroup to the facts in an event of the kernel programs.
    pub fn complete(&mut self, event: &mut Event) {
        match event {
            Event::Execed { facts, .. } => self.complete_facts(facts),
            Event::Released(released) => self.complete_facts(&mut released.facts),
            Event::Forked { .. } | Event::Exited { .. } => {}
        }
    }

    /// Adds the names of user and cgroup; facts with an unknown cgroup are incomplete.
    pub(super) fn complete_facts(&mut self, facts: &mut Facts) {
        if let Some(id) = facts.cgroup_id {
            match self.cgroup(id, facts.tgid) {
                Some(found) => (facts.cgroups, facts.container) = (found.paths, found.container),
                None => facts.incomplete |= id != 0,
            }
        }
        if let Some(uid) = facts.uid {
            facts.username = self.username(uid);
        }
    }

    /// The name of the user, or the number if the host has no name for it.
    fn username(&mut self, uid: u32) -> String {
        match self.users.known(uid) {
            Some(name) => name.to_owned(),
            None if std::mem::take(&mut self.may_read) => self.users.name(uid),
            None => uid.to_string(),
        }
    }

    /// Also looks in the cgroup tree of this host, if it is visible, for cgroups in which no process was seen alive.
    #[must_use]
    pub fn with_tree_of(mut self, host: &Host) -> Self {
        self.tree = CgroupTree::of(host);
        self
    }

    /// The names of the cgroup with this v2 id, in which process `tgid` executed a program. `None` if no process was seen
    /// alive in it and the tree does not have it.
    fn cgroup(&mut self, id: u64, tgid: u32) -> Option<Cgroup> {
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

    /// Learns the paths and the container of cgroup `id` from the facts of a live process in it. The container counts only if it
    /// follows from the paths that all processes in the cgroup share (`cgroups_by_id`). `node`: if the node itself is a
    /// container, the id of that one.
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
    fn facts_that_other_processes_of_the_cgroup_may_lack_are_not_learnt() {
        let mut names = NamesById::new(UserNames::new("/nowhere".into()));
        let of_version_1 = Facts {
            cgroups_by_id: Vec::new(),
            ..facts("/docker/x", Some("p"))
        };
        names.learn(1, &of_version_1, None);
        assert_eq!(names.cgroup(1, 7), Some(Cgroup::default()));
    }

    /// A host with version 1 beside version 2, on which some program has moved the process to another cgroup of version 1.
    #[test]
    fn container_named_by_the_v2_path_is_learnt_beside_other_paths() {
        let mut names = NamesById::new(UserNames::new("/nowhere".into()));
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
        let mut names = NamesById::new(UserNames::new(passwd.clone()));
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
    fn cgroup_keeps_its_container_until_facts_name_another_one() {
        let mut names = NamesById::new(UserNames::new("/nowhere".into()));
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
