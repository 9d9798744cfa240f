//! Proportional memory, read off the scrape's path.
//!
//! ```text
//! pass --offer: who ran--> queue --> a reader's thread --> readings --taken by--> next pass
//! ```
//!
//! Reading takes as long as a process has mapped, and waits for whoever holds the lock of its mappings. So nobody waits for
//! a reader: a pass takes what was read and leaves its wishes. Each scrape allows a budget of CPU time; scrapes that come more than
//! once a second share one for five seconds. What a reading used beyond it, since none can be interrupted, later budgets pay.
//! One reader works at a time. One that is held up is replaced, up to eight of them, of which the processes of one user hold up two;
//! further ones of this user are not read, which is counted, and the age of the readings shows it.

mod work;

use super::procfs::Procfs;
use crate::{
    host::{Host, monotonic_ns, thread_cpu_ns},
    process::{Reading, Wanted},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use work::{Outcome, Work};

/// Counts about these readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmapsStatistics {
    /// Processes read.
    pub readings: u64,
    /// Processes that could not be read.
    pub failures: u64,
    /// Processes that ran since their last reading, and wait for the next.
    pub waiting: u64,
    /// Readers that one process has held up for a second or longer.
    pub held_up: u64,
    /// Processes that were left out, because others of their user hold up as many readers as they may.
    pub refused: u64,
    /// Age of the oldest reading of a live process, nanoseconds; `None` before the first.
    pub oldest_age_ns: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Smaps {
    host: Host,
    budget_ns: i64,
    work: Arc<Mutex<Work>>,
}

impl Smaps {
    /// A reader of `host`, with this CPU time a scrape.
    pub fn new(host: Host, budget: Duration) -> Self {
        Self {
            host,
            budget_ns: i64::try_from(budget.as_nanos()).unwrap_or(i64::MAX),
            work: Arc::default(),
        }
    }

    /// A scrape begins: its budget may be used from now on.
    pub fn allow(&self) {
        lock(&self.work).allow(self.budget_ns, monotonic_ns());
    }

    /// What was read since the last call. At most one reading for each process offered.
    pub fn readings(&self) -> Vec<Reading> {
        lock(&self.work).readings()
    }

    /// Who is to be read, the most urgent first, in place of those offered before.
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

    /// Counts so far, all but the age.
    pub fn statistics(&self) -> SmapsStatistics {
        lock(&self.work).statistics(monotonic_ns())
    }
}

/// A reader that panicked has left nothing half done: each change is one call.
fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One reader's thread.
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
