//! Reads proportional memory on threads of its own, so that no scrape waits for it.
//!
//! ```text
//! pass --offer: processes that ran--> a reader (crate::blocking) --replies--> readings --taken by--> next pass
//! ```
//!
//! A reading takes the longer the more memory a process has mapped, and waits if another task holds the lock of its mappings. So
//! no thread waits for a reader: a pass takes the readings made so far and leaves a list of wanted processes.
//!
//! Each scrape allows a budget of CPU time ([`CpuBudget`]); scrapes that come more than once a second share one budget for five
//! seconds. A reading cannot be interrupted; the time that it uses beyond its budget is taken from later budgets. One reader
//! works at a time. A reader that is held up is replaced, up to eight of them, of which the processes of one user may hold up
//! two. Further processes of this user are not read; each is counted, and the age of the readings shows it.

mod budget;

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use budget::CpuBudget;

use super::procfs::Procfs;
use super::statistics::SmapsStatistics;
use crate::blocking::{Bound, Pool, Reader, Replies};
use crate::host::{Host, monotonic_ns, thread_cpu_ns};
use crate::process::{ProcessId, ProportionalReading, Wanted};

/// Readers that may be held up at a time.
const HELD_UP: Bound = Bound {
    root: 2,
    each: 2,
    others: 6,
};
/// A reader counts as held up if it sleeps at a look, and was asked this long ago, nanoseconds.
///
/// The time does not depend on load, because a reader that waits for a CPU does not sleep. Two looks in the same sleep would not
/// do here: nothing waits between two looks, and two passes may follow each other at once. Nor would they find a process that
/// takes and frees its lock again and again, which would keep the only reader for hours.
const HELD_UP_NS: u64 = 1_000_000_000;

/// Readers of proportional memory, and their results.
#[derive(Debug)]
pub struct Smaps {
    host: Host,
    budget: CpuBudget,
    pool: Pool<ProcessId, SmapsRequest, SmapsReply>,
    /// The reader that works off its request, and the time at which it was asked.
    at_work: Option<(Reader<SmapsRequest, SmapsReply>, u64)>,
    /// The processes offered to the last reader, the most urgent first. At most the live processes.
    offered: Arc<Vec<Wanted>>,
    /// How many of them it has read or left out.
    done: usize,
    results: Results,
}

/// The readings since they were last taken, and counts since the start.
#[derive(Debug, Default)]
struct Results {
    /// At most one for each process offered, and for each reader.
    readings: Vec<ProportionalReading>,
    counts: SmapsStatistics,
}

#[derive(Debug)]
struct SmapsRequest {
    wanted: Arc<Vec<Wanted>>,
    budget: CpuBudget,
    /// For each reader that is held up, the user of the process that holds it.
    held_by: Vec<u32>,
}

/// The result for one process.
#[derive(Debug)]
enum SmapsReply {
    /// Read, with the CPU time used, nanoseconds; `None` if the process has ended.
    Read(Option<ProportionalReading>, u64),
    /// Not read, because processes of its user hold up as many readers as they may.
    Refused,
}

impl Smaps {
    /// Makes a reader of `host` that may use this much CPU time per scrape.
    pub fn new(host: Host, budget: Duration) -> Self {
        Self {
            host,
            budget: CpuBudget::new(i64::try_from(budget.as_nanos()).unwrap_or(i64::MAX)),
            pool: Pool::new("headcount-smaps", HELD_UP),
            at_work: None,
            offered: Arc::default(),
            done: 0,
            results: Results::default(),
        }
    }

    /// Begins a scrape: its budget may be used from now on.
    pub fn allow(&mut self) {
        self.budget.allow(monotonic_ns());
    }

    /// Takes the readings since the last call; at most one for each process offered.
    pub fn readings(&mut self) -> Vec<ProportionalReading> {
        self.look(monotonic_ns());
        std::mem::take(&mut self.results.readings)
    }

    /// Sets the processes to read, the most urgent first, in place of those offered before. A reader that is at work goes on
    /// with those.
    pub fn offer(&mut self, wanted: Vec<Wanted>) {
        self.offer_at(wanted, monotonic_ns());
    }

    /// Counts so far, without the age.
    pub fn statistics(&mut self) -> SmapsStatistics {
        self.look(monotonic_ns());
        let under_way = usize::from(self.at_work.is_some());
        let waiting = self.offered.len().saturating_sub(self.done + under_way);
        SmapsStatistics {
            waiting: waiting as u64,
            held_up: self.pool.held_up.len() as u64,
            ..self.results.counts
        }
    }

    fn offer_at(&mut self, mut wanted: Vec<Wanted>, now_ns: u64) {
        self.look(now_ns);
        if self.at_work.is_some() {
            return;
        }
        wanted.retain(|one| self.pool.held_up.keys().all(|held| *held != one.id));
        self.offered = Arc::new(wanted);
        self.done = 0;
        if self.offered.is_empty() || !self.budget.is_left() {
            return;
        }
        let request = SmapsRequest {
            wanted: Arc::clone(&self.offered),
            budget: self.budget,
            held_by: self.pool.held_up.users().collect(),
        };
        let reader = self.pool.reader(|_| {
            let mut procfs = Procfs::new(self.host.clone());
            move |request: SmapsRequest, replies: &Replies<_>| {
                request.work_off(&mut procfs, replies)
            }
        });
        match reader {
            Ok(reader) => {
                reader.ask(request);
                self.at_work = Some((reader, now_ns));
            }
            Err(error) => log::warn!("cannot start a thread to read proportional memory: {error}"),
        }
    }

    /// Takes the replies of all readers, and leaves the one at work if it is held up.
    fn look(&mut self, now_ns: u64) {
        let (budget, results) = (&mut self.budget, &mut self.results);
        self.pool.release(|reply| results.note(reply, budget));
        let Some((reader, asked_ns)) = self.at_work.take() else {
            return;
        };
        let is_late = now_ns.saturating_sub(asked_ns) >= HELD_UP_NS;
        // If it sleeps because it has finished, this is seen below.
        let is_held_up = is_late && reader.is_asleep();
        let end = reader.try_wait();
        for reply in reader.replies() {
            self.done += 1;
            results.note(reply, budget);
        }
        match (end, self.offered.get(self.done)) {
            (Ok(()), _) => self.pool.keep(reader),
            (Err(TryRecvError::Disconnected), _) => {}
            (Err(TryRecvError::Empty), Some(wanted)) if is_held_up => {
                let user = Procfs::new(self.host.clone()).user(wanted.id.tgid);
                self.pool.leave(wanted.id, user, reader);
                self.done += 1;
            }
            (Err(TryRecvError::Empty), _) => self.at_work = Some((reader, asked_ns)),
        }
    }
}

impl Results {
    fn note(&mut self, reply: SmapsReply, budget: &mut CpuBudget) {
        match reply {
            SmapsReply::Read(reading, used_ns) => {
                budget.spend(used_ns);
                let is_read = reading.map(|reading| reading.memory.is_some());
                self.counts.readings += u64::from(is_read == Some(true));
                self.counts.failures += u64::from(is_read == Some(false));
                self.readings.extend(reading);
            }
            SmapsReply::Refused => self.counts.refused += 1,
        }
    }
}

impl SmapsRequest {
    /// The work of a reader.
    fn work_off(mut self, procfs: &mut Procfs, replies: &Replies<SmapsReply>) {
        procfs.begin_pass();
        for &wanted in self.wanted.iter() {
            if !self.budget.is_left() {
                return;
            }
            let held_by = self.held_by.iter().copied();
            let mut reply = SmapsReply::Refused;
            if HELD_UP.has_room(held_by, || procfs.user(wanted.id.tgid)) {
                let (reading, used_ns) = read(procfs, wanted);
                self.budget.spend(used_ns);
                reply = SmapsReply::Read(reading, used_ns);
            }
            if !replies.send(reply) {
                return;
            }
        }
    }
}

/// Reads one process. Returns the reading, or `None` if the process has ended; and the CPU time used, nanoseconds.
fn read(procfs: &mut Procfs, wanted: Wanted) -> (Option<ProportionalReading>, u64) {
    let before_ns = thread_cpu_ns();
    let result = procfs.proportional(wanted.id);
    let used_ns = thread_cpu_ns().saturating_sub(before_ns);
    let is_gone = result.as_ref().is_err_and(|error| error.is_gone());
    let reading = ProportionalReading {
        wanted,
        read_ns: monotonic_ns(),
        memory: result.ok(),
    };
    ((!is_gone).then_some(reading), used_ns)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::PathBuf;
    use std::{fs, thread};

    use tempfile::TempDir;

    use super::*;
    use crate::process::AccountId;

    const BUDGET: Duration = Duration::from_secs(1);

    fn wanted(tgid: u32) -> Wanted {
        Wanted {
            id: ProcessId { tgid, start_ns: 0 },
            ran_marker: 7,
            account: AccountId(0),
        }
    }

    fn all(tgids: impl IntoIterator<Item = u32>) -> Vec<Wanted> {
        tgids.into_iter().map(wanted).collect()
    }

    /// A tree of files in place of `/proc`.
    fn tree() -> (TempDir, Host) {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("stat"), "btime 1\n").unwrap();
        let host = Host::detect(tree.path(), tree.path()).unwrap();
        (tree, host)
    }

    /// Adds a process of `user`; returns the path of its `smaps_rollup`, which does not exist yet.
    fn process(tree: &TempDir, tgid: u32, user: u32) -> PathBuf {
        let folder = tree.path().join(tgid.to_string());
        fs::create_dir(&folder).unwrap();
        let zeros = " 0".repeat(48);
        fs::write(folder.join("stat"), format!("{tgid} (a) S{zeros}\n")).unwrap();
        let status = format!("Name:\ta\nPPid:\t1\nUid:\t{user}\t0\t0\t0\n");
        fs::write(folder.join("status"), status).unwrap();
        folder.join("smaps_rollup")
    }

    fn readable(tree: &TempDir, tgid: u32, user: u32) {
        fs::write(process(tree, tgid, user), "Pss: 1 kB\nSwapPss: 2 kB\n").unwrap();
    }

    /// Adds a process whose file holds up its reader until a test writes to it.
    fn stuck(tree: &TempDir, tgid: u32, user: u32) -> PathBuf {
        let path = process(tree, tgid, user);
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: `name` is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        path
    }

    /// Looks until it is so.
    fn await_that(smaps: &mut Smaps, is_so: impl Fn(&Smaps) -> bool) {
        while !is_so(smaps) {
            thread::yield_now();
            smaps.look(monotonic_ns());
        }
    }

    fn await_idle(smaps: &mut Smaps) {
        await_that(smaps, |smaps| smaps.at_work.is_none());
    }

    /// Offers these processes as if `HELD_UP_NS` had passed, until one more reader is held up.
    fn await_held_up(smaps: &mut Smaps, tgids: std::ops::Range<u32>) {
        let held_up = smaps.pool.held_up.len();
        smaps.offer(all(tgids.clone()));
        while smaps.pool.held_up.len() == held_up {
            assert!(smaps.at_work.is_some(), "nothing holds it up");
            thread::yield_now();
            smaps.look(monotonic_ns() + HELD_UP_NS);
        }
    }

    #[test]
    fn one_reader_reads_within_the_budget_and_the_rest_waits() {
        let (tree, host) = tree();
        (1..9).for_each(|tgid| readable(&tree, tgid, 0));
        let mut smaps = Smaps::new(host, Duration::from_nanos(1));
        smaps.offer(all(1..9));
        assert!(smaps.at_work.is_none(), "nothing is allowed yet");
        assert_eq!(smaps.statistics().waiting, 8);
        smaps.allow();
        smaps.offer(all(1..9));
        await_idle(&mut smaps);
        let SmapsStatistics {
            readings, waiting, ..
        } = smaps.statistics();
        assert_eq!((readings, waiting), (1, 7));
        let taken = smaps.readings();
        assert_eq!((taken.len(), taken[0].wanted), (1, wanted(1)));
        assert!(smaps.readings().is_empty());
        smaps.offer(all(2..9));
        assert!(smaps.at_work.is_none(), "the budget is used up");
    }

    #[test]
    fn failures_are_counted_and_ends_are_not() {
        let (tree, host) = tree();
        process(&tree, 1, 0);
        readable(&tree, 3, 0);
        let mut smaps = Smaps::new(host, BUDGET);
        smaps.allow();
        smaps.offer(all(1..4));
        await_idle(&mut smaps);
        let SmapsStatistics {
            readings, failures, ..
        } = smaps.statistics();
        assert_eq!((readings, failures), (1, 1));
        let taken = smaps.readings();
        assert_eq!((taken.len(), taken[0].memory), (2, None));
    }

    #[test]
    fn readers_that_are_held_up_are_replaced_and_bounded() {
        let (tree, host) = tree();
        // Two of root, and two of each of three other users.
        let stuck: Vec<PathBuf> = (1..9).map(|n| stuck(&tree, n, n / 2 % 4)).collect();
        for (tgid, user) in [(9, 0), (10, 1), (11, 4)] {
            readable(&tree, tgid, user);
        }
        let mut smaps = Smaps::new(host, BUDGET);
        smaps.allow();
        smaps.offer(all(1..12));
        smaps.offer(all(2..12));
        assert_eq!(smaps.offered.len(), 11, "one is at work");
        assert_eq!(smaps.statistics().held_up, 0, "not for a second");
        for held_up in 1..=8 {
            // A process that is being read is not begun again.
            await_held_up(&mut smaps, 1..12);
            assert_eq!(smaps.statistics().held_up, held_up);
        }
        smaps.offer(all(1..12));
        await_idle(&mut smaps);
        let SmapsStatistics {
            readings, refused, ..
        } = smaps.statistics();
        assert_eq!((readings, refused), (0, 3), "no more than eight");
        // Readers come back, each with its late reading, and there is room again.
        for path in &stuck[..2] {
            fs::write(path, "Pss: 1 kB\n").unwrap();
        }
        await_that(&mut smaps, |smaps| smaps.pool.held_up.len() == 6);
        assert_eq!(smaps.readings().len(), 2);
        smaps.offer(all(9..12));
        await_idle(&mut smaps);
        assert_eq!(smaps.readings().len(), 3);
    }

    #[test]
    fn user_whose_processes_hold_up_readers_takes_none_from_others() {
        let (tree, host) = tree();
        (1..6).for_each(|tgid| drop(stuck(&tree, tgid, 1000)));
        readable(&tree, 6, 1001);
        let mut smaps = Smaps::new(host, BUDGET);
        smaps.allow();
        for _ in 0..2 {
            await_held_up(&mut smaps, 1..6);
        }
        smaps.offer(all(1..7));
        await_idle(&mut smaps);
        let read = smaps.readings();
        assert_eq!((read.len(), read[0].wanted), (1, wanted(6)));
        let SmapsStatistics {
            held_up, refused, ..
        } = smaps.statistics();
        assert_eq!((held_up, refused), (2, 3));
    }
}
