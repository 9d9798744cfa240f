//! The threads of one process between two passes.
//!
//! After a thread has died, the kernel no longer shows how long it waited for a CPU, and `/proc` no longer shows its context
//! switches. The last values seen of each thread are retained here, so that the process's sum never falls.
//!
//! The use of single threads is reported as differences, by a rule like that for processes: a thread older than the agent brings
//! no history, and a thread born since counts from its birth. The main thread is as old as its process, so its reported use is
//! remembered even while it is the only thread.

use std::sync::Arc;

use super::booked::Booked;
use super::id::tick_of;
use super::{Counters, Delta, State, Switches, TaskName, ThreadSample};

/// One live thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) sample: ThreadSample,
    /// The use that was reported. `None`: none yet. For the main thread, [`Threads::main`] is used instead.
    reported: Option<Booked>,
    /// Value of `ran_marker` when the wait channel was read; `None`: never.
    pub(super) probed: Option<u64>,
    pub(super) wchan: Option<Arc<str>>,
}

/// The threads of one process that the last pass saw, and sums over those that are gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Threads {
    pub(super) live: Vec<Thread>,
    retained: RetainedSums,
    /// The main thread's use that was reported. Boxed: most processes have one thread.
    main: Option<Box<Booked>>,
    /// When threads of this process were last reported, nanoseconds since boot: a thread older than that is not new.
    reported_ns: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct RetainedSums {
    wait_ns: u64,
    switches: Switches,
}

impl RetainedSums {
    /// Adds a thread. The main thread's values are left out: the process's totals hold them already.
    fn add(&mut self, sample: &ThreadSample) {
        if sample.is_main() {
            return;
        }
        let wait_ns = sample.counters.run_queue_wait_ns.unwrap_or(0);
        self.wait_ns = self.wait_ns.saturating_add(wait_ns);
        self.switches
            .add(sample.counters.switches.unwrap_or_default());
    }
}

impl Threads {
    /// Takes the threads that a pass saw; `samples` are sorted by tid. Threads that are still there keep their values.
    pub(super) fn update(&mut self, samples: &[ThreadSample]) {
        if samples.is_empty() && self.live.is_empty() {
            return;
        }
        let mut old = std::mem::take(&mut self.live).into_iter().peekable();
        self.live.reserve_exact(samples.len());
        for sample in samples {
            while let Some(gone) = old.next_if(|thread| thread.sample.tid < sample.tid) {
                self.retained.add(&gone.sample);
            }
            let known = old.next_if(|thread| thread.sample.tid == sample.tid);
            let same = known.filter(|thread| {
                let is_same = thread.sample.start_ns == sample.start_ns;
                if !is_same {
                    self.retained.add(&thread.sample);
                }
                is_same
            });
            let thread = same.unwrap_or(Thread {
                sample: *sample,
                reported: None,
                probed: None,
                wchan: None,
            });
            self.live.push(Thread {
                sample: *sample,
                ..thread
            });
        }
        for gone in old {
            self.retained.add(&gone.sample);
        }
    }

    /// Adds to `counters` of the process the values that only its threads have: how long they waited for a CPU and, if
    /// `switches_by_thread`, their context switches.
    pub(super) fn complete(&self, mut counters: Counters, switches_by_thread: bool) -> Counters {
        let mut sums = self.retained;
        for thread in &self.live {
            sums.add(&thread.sample);
        }
        if let Some(wait_ns) = &mut counters.run_queue_wait_ns {
            *wait_ns = wait_ns.saturating_add(sums.wait_ns);
        }
        if let (true, Some(switches)) = (switches_by_thread, &mut counters.switches) {
            switches.add(sums.switches);
        }
        counters
    }

    /// Threads beside the main one.
    pub(super) fn others(&self) -> impl Iterator<Item = &Thread> {
        self.live.iter().filter(|thread| !thread.sample.is_main())
    }

    /// As [`Self::others`], mutable.
    pub(super) fn others_mut(&mut self) -> impl Iterator<Item = &mut Thread> {
        let live = self.live.iter_mut();
        live.filter(|thread| !thread.sample.is_main())
    }

    /// States of the threads beside the main one.
    pub(super) fn states(&self) -> impl Iterator<Item = State> + '_ {
        self.others().map(|thread| thread.sample.state)
    }

    /// Calls `report` with the name of each thread and its use since its last report. A process of one thread reports nothing.
    /// `since_ns`: when the agent began to watch; `now_ns`: when the pass began.
    pub(super) fn report(
        &mut self,
        since_ns: u64,
        now_ns: u64,
        mut report: impl FnMut(&TaskName, &Delta),
    ) {
        if self.live.len() < 2 {
            return;
        }
        for Thread {
            sample, reported, ..
        } in &mut self.live
        {
            let is_older = sample.start_ns < since_ns
                || !sample.is_main() && tick_of(sample.start_ns) < tick_of(self.reported_ns);
            let delta = if sample.is_main() {
                advance(&mut self.main, is_older, &sample.counters)
            } else {
                advance(reported, is_older, &sample.counters)
            };
            report(&sample.name, &delta);
        }
        self.reported_ns = now_ns;
    }

    /// Excludes the main thread's use up to `counters` from reports: another image used it. Exact for an image of one thread;
    /// if there were more, their use is missing from the main thread's reports.
    pub(super) fn begin_image(&mut self, counters: &Counters) {
        self.main.get_or_insert_default().raise_by_pass(counters);
    }

    /// Threads of a process that was closed when `booked` was booked, and shows up again: their earlier use is not reported.
    pub(super) fn of_reappeared(booked: Booked) -> Self {
        Self {
            main: Some(Box::new(booked)),
            reported_ns: u64::MAX,
            ..Self::default()
        }
    }
}

/// Raises `booked`, the totals of a thread at its last reading, to `now`, and returns the difference. At the first reading of a
/// thread that is older than the readings (`is_older`), the difference is zero: its earlier use is not counted.
fn advance<B: Default + std::borrow::BorrowMut<Booked>>(
    booked: &mut Option<B>,
    is_older: bool,
    now: &Counters,
) -> Delta {
    let is_new = booked.is_none();
    let delta = booked
        .get_or_insert_default()
        .borrow_mut()
        .raise_by_pass(now);
    if is_new && is_older {
        delta.without_use()
    } else {
        delta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32, start_ns: u64, voluntary: u64) -> ThreadSample {
        ThreadSample {
            tgid: 1,
            tid,
            start_ns,
            state: State::Sleeping,
            ran_marker: 0,
            name: [0; 16],
            counters: Counters {
                switches: Some(Switches {
                    voluntary,
                    nonvoluntary: 0,
                }),
                ..Counters::default()
            },
        }
    }

    fn total(threads: &Threads, main: u64) -> u64 {
        let switches = Some(Switches {
            voluntary: main,
            nonvoluntary: 0,
        });
        let counters = Counters {
            switches,
            ..Counters::default()
        };
        let total = threads.complete(counters, true);
        total.switches.unwrap().voluntary
    }

    /// Reported voluntary switches, in the order of thread ids.
    fn reports(threads: &mut Threads, now_ns: u64, samples: &[ThreadSample]) -> Vec<u64> {
        let mut found = Vec::new();
        threads.update(samples);
        threads.report(100_000_000, now_ns, |_, delta| {
            found.push(delta.voluntary_switches);
        });
        found
    }

    #[test]
    fn use_of_a_dead_thread_stays_in_the_total() {
        // H17 of docs/dev/compatibility.md: 10+10, then 20+30, then the second replaced by a new one with 5.
        let mut threads = Threads::default();
        threads.update(&[thread(2, 1, 10)]);
        assert_eq!(total(&threads, 10), 20);
        threads.update(&[thread(2, 1, 30)]);
        assert_eq!(total(&threads, 20), 50);
        threads.update(&[thread(3, 2, 5)]);
        assert_eq!(total(&threads, 25), 60);
        threads.update(&[]);
        assert_eq!(total(&threads, 25), 60);
    }

    #[test]
    fn a_reused_thread_id_is_another_thread() {
        let mut threads = Threads::default();
        threads.update(&[thread(2, 1, 10)]);
        threads.update(&[thread(2, 9, 1)]);
        assert_eq!(total(&threads, 0), 11);
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn threads_born_under_the_agent_count_from_birth_and_older_ones_from_first_sight() {
        let mut threads = Threads::default();
        let first = [thread(1, 50 * MS, 7), thread(2, 60 * MS, 10)];
        assert_eq!(reports(&mut threads, 200 * MS, &first), [0, 0]);
        let then = [
            thread(1, 50 * MS, 8),
            thread(2, 60 * MS, 30),
            thread(3, 250 * MS, 5),
        ];
        assert_eq!(reports(&mut threads, 300 * MS, &then), [1, 20, 5]);
    }

    #[test]
    fn a_thread_missed_for_one_pass_is_not_reported_twice() {
        let mut threads = Threads::default();
        let both = [thread(1, 150 * MS, 1), thread(2, 160 * MS, 10)];
        let three = [both[0], both[1], thread(3, 170 * MS, 3)];
        assert_eq!(reports(&mut threads, 200 * MS, &three), [1, 10, 3]);
        assert_eq!(reports(&mut threads, 300 * MS, &both), [0, 0]);
        assert_eq!(reports(&mut threads, 400 * MS, &three), [0, 0, 0]);
        // Nor is the main thread, if it was the only thread in between.
        assert_eq!(reports(&mut threads, 500 * MS, &[]), [0; 0]);
        let again = [thread(1, 150 * MS, 4), thread(4, 550 * MS, 2)];
        assert_eq!(reports(&mut threads, 600 * MS, &again), [3, 2]);
    }

    #[test]
    fn use_of_a_former_image_or_earlier_appearance_is_not_reported() {
        let samples = [thread(1, 150 * MS, 9), thread(2, 160 * MS, 10)];
        let mut threads = Threads::default();
        threads.begin_image(&thread(1, 0, 6).counters);
        assert_eq!(reports(&mut threads, 200 * MS, &samples), [3, 10]);
        let mut booked = Booked::default();
        booked.raise(&thread(1, 0, 20).counters);
        let mut threads = Threads::of_reappeared(booked);
        assert_eq!(reports(&mut threads, 200 * MS, &samples), [0, 0]);
    }
}
