//! Which process groups the workers of a pool are in.
//!
//! In: a pool, and the processes that the state knows by the ids of the workers. Out: the group of each worker. Passenger says when
//! it began and ended to spawn a worker; the process must have started in between, so another process that has the id by now is
//! not taken for it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::instance::InstanceIdentity;
use super::pool::{AppPool, Worker};
use crate::host::Host;
use crate::targets::board::TargetCandidate;

/// By how much a start may lie outside of the time of spawning: the node's boot time is known to the second, and follows the wall
/// clock.
const TOLERANCE_US: u64 = 2_000_000;

/// Where the pids of an instance mean the same as those of the agent.
#[derive(Debug)]
pub(super) struct Neighbourhood {
    /// The inode of the agent's pid namespace; `None` if it cannot be read.
    pid_namespace: Option<u64>,
}

impl Neighbourhood {
    pub(super) fn of(host: &Host) -> Self {
        let namespace = fs::metadata(host.procfs.join("self/ns/pid"));
        Self {
            pid_namespace: namespace.ok().map(|namespace| namespace.ino()),
        }
    }

    /// Whether the instance is in the agent's pid namespace. One that was found in a registry directory of the host is taken to
    /// be: the start times are compared in any case.
    pub(super) fn is_home_of(&self, identity: &InstanceIdentity) -> bool {
        identity
            .pid_namespace
            .is_none_or(|namespace| Some(namespace) == self.pid_namespace)
    }
}

/// The group of each worker of `pool` whose process is among `candidates`.
pub(super) fn groups_of(pool: &AppPool, candidates: &[TargetCandidate]) -> HashMap<u32, Arc<str>> {
    let candidates = candidates.iter().map(|one| (one.id.tgid, one));
    let candidates: HashMap<u32, &TargetCandidate> = candidates.collect();
    let workers = pool.applications.iter().flat_map(|one| &one.workers);
    let group = |worker: &Worker| {
        let candidate = candidates.get(&worker.pid)?;
        let first = worker.spawn_began_us.saturating_sub(TOLERANCE_US);
        let last = worker.spawned_us.saturating_add(TOLERANCE_US);
        let is_same = (first..=last).contains(&candidate.started_us);
        is_same.then(|| Some((worker.pid, Arc::clone(candidate.group.as_ref()?))))?
    };
    workers.filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessId;
    use crate::targets::passenger::pool::{Application, WorkerMemory, WorkerState};

    fn worker(pid: u32, began_s: u64) -> Worker {
        Worker {
            pid,
            gupid: format!("{pid}-x"),
            sessions: 0,
            processed: 0,
            spawned_us: (began_s + 1) * 1_000_000,
            spawn_began_us: began_s * 1_000_000,
            last_used_us: 0,
            state: WorkerState::Enabled,
            memory: WorkerMemory::default(),
        }
    }

    fn candidate(tgid: u32, start_s: u64, group: Option<&str>) -> TargetCandidate {
        TargetCandidate {
            id: ProcessId {
                tgid,
                start_ns: start_s,
            },
            started_us: (1000 + start_s) * 1_000_000,
            comm: None,
            uid: None,
            group: group.map(Arc::from),
        }
    }

    #[test]
    fn only_the_process_that_started_while_its_worker_was_spawned_counts() {
        let pool = AppPool {
            applications: vec![Application {
                workers: vec![
                    worker(5, 1100),
                    worker(6, 1100),
                    worker(7, 1100),
                    worker(8, 1100),
                ],
                ..Application::default()
            }],
            ..AppPool::default()
        };
        let candidates = [
            candidate(5, 100, Some("a")),
            candidate(6, 104, Some("later")),
            candidate(7, 90, Some("earlier")),
            candidate(8, 101, None),
            candidate(9, 100, Some("no worker")),
        ];
        let groups = groups_of(&pool, &candidates);
        assert_eq!(groups, HashMap::from([(5, Arc::from("a"))]));
    }
}
