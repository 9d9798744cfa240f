//! For tests: the pools of the recorded documents (T3 of the contract), and parts to build others of.

use super::instance::InstanceIdentity;
use super::pool::{AppPool, Application, Worker, WorkerMemory, WorkerState};
use super::server::ServerCounts;

/// An instance of `uid`. Its name and place follow from `number`, and it is `number` seconds younger than the first.
pub(super) fn identity(uid: u32, number: u64) -> InstanceIdentity {
    InstanceIdentity {
        place: (1, number),
        uid,
        name: format!("name{number:04}"),
        version: "6.0.17".to_owned(),
        integration_mode: "apache".to_owned(),
        since_ns: 1_795_235_000 + number,
        pid_namespace: None,
    }
}

pub(super) fn pool(applications: Vec<Application>) -> AppPool {
    let processes: usize = applications.iter().map(|one| one.workers.len()).sum();
    AppPool {
        version: "6.0.17".to_owned(),
        max: 3,
        capacity_used: processes as u64,
        waiting: 0,
        applications,
    }
}

pub(super) fn application(name: &str, workers: Vec<Worker>) -> Application {
    Application {
        name: name.to_owned(),
        workers,
        ..Application::default()
    }
}

/// A worker that is not measured yet; its times follow from its pid.
pub(super) fn worker(pid: u32, processed: u64) -> Worker {
    let spawned_us = 1_795_235_000_000_000 + u64::from(pid);
    Worker {
        pid,
        gupid: format!("1c88d4f-{pid}"),
        sessions: 0,
        processed,
        spawned_us,
        spawn_began_us: spawned_us - 20_000,
        last_used_us: spawned_us,
        state: WorkerState::Enabled,
        memory: WorkerMemory::default(),
    }
}

/// In kB: rss, pss, private_dirty; without swap.
fn measured([rss, pss, private_dirty]: [u64; 3]) -> WorkerMemory {
    WorkerMemory {
        real: Some(private_dirty * 1024),
        resident: Some(rss * 1024),
        proportional: Some(pss * 1024),
        private_dirty: Some(private_dirty * 1024),
        swap: Some(0),
    }
}

/// The Apache module before its first request.
pub(super) fn empty() -> AppPool {
    pool(Vec::new())
}

/// Ruby, Python and Node in one instance.
pub(super) fn three_applications() -> AppPool {
    let worker = |pid, processed, last_used_us, kilobytes| Worker {
        last_used_us,
        memory: measured(kilobytes),
        ..worker(pid, processed)
    };
    let chat = worker(31156, 2, 1_795_235_674_823_733, [52208, 48564, 10456]);
    let api = worker(31087, 1, 1_795_235_674_604_634, [13416, 11341, 6924]);
    let blog = worker(31069, 2, 1_795_235_674_817_982, [15524, 8405, 2732]);
    pool(vec![
        application("/srv/apps/chat (production)", vec![chat]),
        application("/srv/apps/api (staging)", vec![api]),
        application("/srv/apps/blog (production)", vec![blog]),
    ])
}

/// A full pool with a request that waits for any capacity and one that waits for its application; processes without
/// measurements.
pub(super) fn full_with_waiters() -> AppPool {
    let busy = |pid, processed, last_used_us| Worker {
        sessions: 1,
        last_used_us,
        ..worker(pid, processed)
    };
    let chat = busy(31688, 1, 1_795_235_716_169_668);
    let blog = busy(31670, 1, 1_795_235_716_175_515);
    AppPool {
        max: 2,
        waiting: 1,
        ..pool(vec![
            application("/srv/apps/chat (production)", vec![chat]),
            Application {
                waiting: 1,
                ..application("/srv/apps/blog (production)", vec![blog])
            },
        ])
    }
}

/// The built-in engine: a name without environment, three requests that wait, one of two processes measured.
pub(super) fn standalone_queue() -> AppPool {
    let first = Worker {
        sessions: 1,
        last_used_us: 1_795_235_472_529_021,
        memory: measured([15560, 7913, 2592]),
        ..worker(28856, 1)
    };
    let second = Worker {
        sessions: 1,
        last_used_us: 1_795_235_472_590_499,
        ..worker(28899, 0)
    };
    AppPool {
        max: 2,
        ..pool(vec![Application {
            waiting: 3,
            ..application("/srv/apps/blog", vec![first, second])
        }])
    }
}

/// Both threads of the recorded `/server.json`.
pub(super) fn server() -> ServerCounts {
    ServerCounts {
        clients_accepted: 7,
        requests_begun: 7,
        clients_active: 0,
        turbocache_fetches: 0,
        turbocache_hits: 0,
        turbocache_stores: 0,
    }
}
