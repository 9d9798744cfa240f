//! Reads proportional memory on threads of its own, so that no scrape waits for it.
//!
//! ```text
//! pass --offer: processes that ran--> queue --> a reader thread --> readings --taken by--> next pass
//! ```
//!
//! A reading takes the longer the more memory a process has mapped, and waits if another task holds the lock of its mappings. So
//! no thread waits for a reader: a pass takes the readings made so far and leaves a list of wanted processes.
//!
//! Each scrape allows a budget of CPU time; scrapes that come more than once a second share one budget for five seconds. A
//! reading cannot be interrupted; the time that it uses beyond its budget is taken from later budgets. One reader works at a
//! time. A reader that is blocked is replaced, up to eight of them, of which the processes of one user may block two. Further
//! processes of this user are not read; each is counted, and the age of the readings shows it.

mod work;

use super::{procfs::Procfs, statistics::SmapsStatistics};
use crate::{
    host::{Host, monotonic_ns, thread_cpu_ns},
    process::{Reading, Wanted},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use work::{Outcome, Work};

/// Queue and readers of proportional memory.
#[derive(Debug)]
pub struct Smaps {
    host: Host,
    budget_ns: i64,
    work: Arc<Mutex<Work>>,
}

impl Smaps {
    /// Makes a reader of `host` that may use this much CPU time per scrape.
    pub fn new(host: Host, budget: Duration) -> Self {
        Self {
            host,
            budget_ns: i64::try_from(budget.as_nanos()).unwrap_or(i64::MAX),
            work: Arc::default(),
        }
    }

    /// Begins a scrape: its budget may be used from now on.
    pub fn allow(&self) {
        lock(&self.work).allow(self.budget_ns, monotonic_ns());
    }

    /// Takes the readings since the last call; at most one for each process offered.
    pub fn readings(&self) -> Vec<Reading> {
        lock(&self.work).readings()
    }

    /// Sets the processes to read, the most urgent first, in place of those offered before.
    pub fn offer(&self, wanted: Vec<Wanted>) {
        let Some(first) = lock(&self.work).offer(wanted, monotonic_ns()) else {
            return;
        };
        let (host, work) = (self.host.clone(), Arc::clone(&self.work));
        let reader = std::thread::Builder::new().name("headcount-smaps".to_owned());
        if let Err(error) = reader.spawn(move || read(&mut Procfs::new(host), &work, first)) {
            lock(&self.work).abandon(first);
            log::warn!("no thread to read proportional memory: {error}");
        }
    }

    /// Counts so far, without the age.
    pub fn statistics(&self) -> SmapsStatistics {
        lock(&self.work).statistics(monotonic_ns())
    }
}

/// A reader that panicked has left no change half done: each change is one call.
fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The work of one reader thread.
fn read(procfs: &mut Procfs, work: &Mutex<Work>, first: Wanted) {
    let mut next = Some(first);
    while let Some(wanted) = next {
        let user = procfs.user(wanted.id.tgid);
        if !lock(work).admit(wanted, user, monotonic_ns()) {
            next = lock(work).skip(wanted, monotonic_ns());
            continue;
        }
        let before_ns = thread_cpu_ns();
        let result = procfs.proportional(wanted.id);
        let outcome = match result {
            Ok(memory) => Outcome::Read(memory),
            Err(error) if error.is_gone() => Outcome::Gone,
            Err(_) => Outcome::Failed,
        };
        let used_ns = thread_cpu_ns().saturating_sub(before_ns);
        next = lock(work).finish(wanted, outcome, used_ns, monotonic_ns());
    }
}
