//! Which process groups the workers of a pool are in.
//!
//! In: the pools, and the processes that the state knows by the ids of workers or by their starts. Out: the group of each worker,
//! and the processes that are wanted for the next round. Passenger says when it began and ended to spawn a worker; the process
//! must have started in between, so another process that has the id by now is not taken for it.
//!
//! ```text
//! instance in the agent's pid namespace: the worker's pid is the process id
//! instance in another one: processes that started with a worker --NamespacedPid of each, looked up once--> the process id
//! ```

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::instance::InstanceIdentity;
use super::pool::{AppPool, Worker};
use crate::host::Host;
use crate::process::ProcessId;
use crate::targets::board::{
    GroupIdentity, MOST_PIDS, Spans, TargetCandidate, WantedBy, WantedProcesses,
};

/// By how much a start may lie outside of the time of spawning: the node's boot time is known to the second, and follows the wall
/// clock.
const TOLERANCE_US: u64 = 2_000_000;

/// A process as its own pid namespace calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NamespacedPid {
    /// Inode of the namespace.
    pub(super) namespace: u64,
    pub(super) pid: u32,
}

/// The pid namespaces of the agent and of the candidates.
#[derive(Debug)]
pub(super) struct Neighbourhood {
    /// The inode of the agent's pid namespace; `None` if it cannot be read.
    own: Option<u64>,
    /// The candidates that were looked up; `None` if that failed.
    known: HashMap<ProcessId, Option<NamespacedPid>>,
}

impl Neighbourhood {
    pub(super) fn of(host: &Host) -> Self {
        let namespace = fs::metadata(host.procfs.join("self/ns/pid"));
        Self {
            own: namespace.ok().map(|namespace| namespace.ino()),
            known: HashMap::new(),
        }
    }

    /// The candidates that must be looked up. Forgets those that are no candidates any more.
    pub(super) fn unknown(&mut self, candidates: &[TargetCandidate]) -> Vec<ProcessId> {
        if !self.known.is_empty() {
            let present: HashSet<ProcessId> = candidates.iter().map(|one| one.id).collect();
            self.known.retain(|id, _| present.contains(id));
        }
        let started = candidates.iter();
        let started = started.filter(|one| one.wanted_by == WantedBy::Start);
        let ids = started.map(|one| one.id);
        ids.filter(|id| !self.known.contains_key(id)).collect()
    }

    /// Notes candidates that were looked up.
    pub(super) fn learn(
        &mut self,
        found: impl IntoIterator<Item = (ProcessId, Option<NamespacedPid>)>,
    ) {
        self.known.extend(found);
    }

    /// The process of each worker of an instance, by the worker's pid.
    pub(super) fn processes<'c>(
        &self,
        identity: &InstanceIdentity,
        pool: &AppPool,
        candidates: &'c [TargetCandidate],
    ) -> HashMap<u32, &'c TargetCandidate> {
        let elsewhere = self.elsewhere(identity);
        let named = candidates.iter().filter_map(|candidate| {
            let Some(namespace) = elsewhere else {
                return Some((candidate.id.tgid, candidate));
            };
            let known = self.known.get(&candidate.id)?.as_ref()?;
            (known.namespace == namespace).then_some((known.pid, candidate))
        });
        let named: HashMap<u32, &TargetCandidate> = named.collect();
        let process = |worker: &Worker| {
            let candidate = *named.get(&worker.pid)?;
            let is_same = spawning(worker).contains(&candidate.started_us);
            is_same.then_some((worker.pid, candidate))
        };
        workers(pool).filter_map(process).collect()
    }

    /// The processes to ask the state for, for the next round. The first pools come first if there are more than [`MOST_PIDS`].
    pub(super) fn wanted<'i>(
        &self,
        pools: impl Iterator<Item = (&'i InstanceIdentity, &'i AppPool)>,
        candidates: &[TargetCandidate],
    ) -> WantedProcesses {
        let mut pids = HashSet::new();
        let mut add = |some: &mut dyn Iterator<Item = u32>| {
            let room = MOST_PIDS - pids.len();
            pids.extend(some.take(room));
        };
        let mut starts: HashMap<u32, Vec<RangeInclusive<u64>>> = HashMap::new();
        for (identity, pool) in pools {
            if self.elsewhere(identity).is_none() {
                add(&mut workers(pool).map(|worker| worker.pid));
                continue;
            }
            let found = self.processes(identity, pool, candidates);
            add(&mut found.values().map(|candidate| candidate.id.tgid));
            let missing = workers(pool).filter(|worker| !found.contains_key(&worker.pid));
            let missing: Vec<_> = missing.map(spawning).collect();
            if !missing.is_empty() {
                starts.entry(identity.uid).or_default().extend(missing);
            }
        }
        let starts = starts.into_iter();
        WantedProcesses {
            pids,
            starts: starts
                .map(|(uid, spans)| (uid, Spans::covering(spans.into_iter())))
                .collect(),
        }
    }

    /// The pid namespace of the instance if it is not the agent's. An instance that was found in a registry directory of the host
    /// is taken to be in the agent's: the start times are compared in any case.
    fn elsewhere(&self, identity: &InstanceIdentity) -> Option<u64> {
        identity
            .pid_namespace
            .filter(|namespace| Some(*namespace) != self.own)
    }
}

/// The groups of processes, by the same key.
pub(super) fn groups_of(
    processes: HashMap<u32, &TargetCandidate>,
) -> HashMap<u32, Arc<GroupIdentity>> {
    let group = |(pid, candidate): (u32, &TargetCandidate)| {
        Some((pid, Arc::clone(candidate.group.as_ref()?)))
    };
    processes.into_iter().filter_map(group).collect()
}

fn workers(pool: &AppPool) -> impl Iterator<Item = &Worker> {
    pool.applications.iter().flat_map(|one| &one.workers)
}

/// When the process of a worker may have started.
fn spawning(worker: &Worker) -> RangeInclusive<u64> {
    let first = worker.spawn_began_us.saturating_sub(TOLERANCE_US);
    let last = worker.spawned_us.saturating_add(TOLERANCE_US);
    first..=last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::passenger::examples::{application, identity, pool};

    const OWN: u64 = 1;
    const ELSEWHERE: u64 = 2;

    /// A worker whose spawning takes a second.
    fn worker(pid: u32, began_s: u64) -> Worker {
        Worker {
            spawned_us: (began_s + 1) * 1_000_000,
            spawn_began_us: began_s * 1_000_000,
            ..crate::targets::passenger::examples::worker(pid, 0)
        }
    }

    fn one_pool(workers: Vec<Worker>) -> AppPool {
        pool(vec![application("/srv/blog", workers)])
    }

    fn candidate(tgid: u32, started_s: u64, group: &str) -> TargetCandidate {
        let group = Some(group).filter(|name| !name.is_empty());
        TargetCandidate {
            id: ProcessId {
                tgid,
                start_ns: started_s,
            },
            started_us: started_s * 1_000_000,
            wanted_by: WantedBy::Start,
            group: group.map(|name| {
                Arc::new(GroupIdentity {
                    name: name.to_owned(),
                    labels: Vec::new(),
                })
            }),
        }
    }

    fn neighbourhood() -> Neighbourhood {
        Neighbourhood {
            own: Some(OWN),
            known: HashMap::new(),
        }
    }

    fn inside(pid_namespace: Option<u64>) -> InstanceIdentity {
        InstanceIdentity {
            pid_namespace,
            ..identity(7, 1)
        }
    }

    /// Names of the groups, by pid.
    fn groups(
        neighbourhood: &Neighbourhood,
        identity: &InstanceIdentity,
        pool: &AppPool,
        candidates: &[TargetCandidate],
    ) -> Vec<(u32, String)> {
        let groups = groups_of(neighbourhood.processes(identity, pool, candidates));
        let mut groups: Vec<_> = groups
            .into_iter()
            .map(|(pid, group)| (pid, group.name.clone()))
            .collect();
        groups.sort();
        groups
    }

    #[test]
    fn only_the_process_that_started_while_its_worker_was_spawned_counts() {
        let workers: Vec<Worker> = (5..=10).map(|pid| worker(pid, 1100)).collect();
        let candidates = [
            candidate(5, 1100, "a"),
            candidate(6, 1104, "later"),
            candidate(7, 1097, "earlier"),
            candidate(8, 1101, ""),
            candidate(9, 1098, "b"),
            candidate(10, 1103, "c"),
            candidate(11, 1100, "no worker"),
        ];
        for namespace in [None, Some(OWN)] {
            let pool = one_pool(workers.clone());
            let groups = groups(&neighbourhood(), &inside(namespace), &pool, &candidates);
            let expected = [(5, "a"), (9, "b"), (10, "c")];
            assert_eq!(groups, expected.map(|(pid, name)| (pid, name.to_owned())));
        }
    }

    #[test]
    fn worker_elsewhere_is_the_process_with_its_pid_in_its_namespace() {
        let pool = one_pool(vec![worker(5, 1100), worker(6, 1100)]);
        let candidates = [
            candidate(5, 1100, "of the agent's namespace"),
            candidate(105, 1100, "a"),
            candidate(205, 1100, "of a third namespace"),
            candidate(305, 1100, "not to be looked up"),
            candidate(106, 1500, "later"),
        ];
        let mut neighbourhood = neighbourhood();
        let all: Vec<ProcessId> = candidates.iter().map(|one| one.id).collect();
        assert_eq!(neighbourhood.unknown(&candidates), all);
        let seen = |namespace, pid| Some(NamespacedPid { namespace, pid });
        let found = [
            seen(OWN, 5),
            seen(ELSEWHERE, 5),
            seen(3, 5),
            None,
            seen(ELSEWHERE, 6),
        ];
        neighbourhood.learn(all.iter().copied().zip(found));
        assert!(neighbourhood.unknown(&candidates).is_empty());
        let there = inside(Some(ELSEWHERE));
        let found = groups(&neighbourhood, &there, &pool, &candidates);
        assert_eq!(found, [(5, "a".to_owned())]);

        // Processes that are found are wanted by their id, the rest still by their start.
        let wanted = neighbourhood.wanted([(&there, &pool)].into_iter(), &candidates);
        assert_eq!(wanted.pids, HashSet::from([105]));
        let spans = Spans::covering([spawning(&worker(6, 1100))].into_iter());
        assert_eq!(wanted.starts, [(7, spans)].into());
        let wanted = neighbourhood.wanted([(&inside(None), &pool)].into_iter(), &candidates);
        assert_eq!(wanted.pids, HashSet::from([5, 6]));
        assert!(wanted.starts.is_empty());

        // Another process with this id is not known.
        let again = [candidate(105, 1101, "b")];
        assert_eq!(neighbourhood.unknown(&again), [again[0].id]);
        assert_eq!(neighbourhood.known.len(), 0);
    }
}
