//! State that the readers of proportional memory share: the queue, the budget, the processes being read, and the readings made.
//! It does no IO.

use crate::blocking::Bound;
use crate::process::{Proportional, Reading, Wanted};
use crate::source::SmapsStatistics;
use std::collections::VecDeque;

/// Readers that may be blocked.
const HELD_UP: Bound = Bound {
    root: 2,
    each: 2,
    others: 6,
};
/// Largest number of readers: one works while all others are blocked.
const READERS: usize = HELD_UP.all() + 1;
/// A reading that takes this long, nanoseconds, counts its reader as blocked.
const HELD_UP_NS: u64 = 1_000_000_000;

/// Scrapes are frequent if less than this time, nanoseconds, is between them; scrapes of every second sometimes come a little
/// early.
const RARE_NS: u64 = 900_000_000;
/// Time for which frequent scrapes share one budget, nanoseconds.
const FREQUENT_NS: u64 = 5_000_000_000;

/// Outcome of one reading.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Read(Proportional),
    /// The process ended.
    Gone,
    Failed,
}

/// Queue, budget and results. All times are nanoseconds of one clock.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// At most the live processes, because each offer replaces the one before.
    queue: VecDeque<Wanted>,
    /// The process that each reader reads.
    under_way: Vec<UnderWay>,
    /// CPU time that may still be used, nanoseconds; negative if a reading took more.
    left_ns: i64,
    /// When the last scrape began.
    scraped_ns: Option<u64>,
    /// When the last budget was given.
    allowed_ns: Option<u64>,
    /// At most as many as one offer had, and as there are readers.
    readings: Vec<Reading>,
    read: u64,
    failed: u64,
    refused: u64,
}

/// A process that a reader reads.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    wanted: Wanted,
    began_ns: u64,
    /// The user to whom the process is charged; `None` until that is known.
    user: Option<u32>,
}

impl UnderWay {
    const fn is_held_up(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.began_ns) >= HELD_UP_NS
    }
}

impl Work {
    /// Begins a scrape: gives one more budget, unless scrapes are frequent and share one for [`FREQUENT_NS`]. An unused part of
    /// the last budget is not saved.
    pub(super) fn allow(&mut self, budget_ns: i64, now_ns: u64) {
        let since = |then: Option<u64>| then.map_or(u64::MAX, |then| now_ns.saturating_sub(then));
        let is_frequent = since(self.scraped_ns.replace(now_ns)) < RARE_NS;
        if is_frequent && since(self.allowed_ns) < FREQUENT_NS {
            return;
        }
        self.allowed_ns = Some(now_ns);
        self.left_ns = self.left_ns.saturating_add(budget_ns).min(budget_ns);
    }

    /// Takes the readings since the last call.
    pub(super) fn readings(&mut self) -> Vec<Reading> {
        std::mem::take(&mut self.readings)
    }

    /// Replaces the queue. If no reader is at work, returns the first process for a new reader.
    pub(super) fn offer(&mut self, wanted: Vec<Wanted>, now_ns: u64) -> Option<Wanted> {
        self.queue = wanted.into();
        let at_work = self.under_way.len() - self.held_up(now_ns);
        if at_work > 0 || self.under_way.len() >= READERS {
            return None;
        }
        self.next(now_ns)
    }

    /// Whether a reader may begin with `wanted`, a process of `user`: no, if other processes of this user already block as many
    /// readers as they may. Then the reader has to [skip](Self::skip) it.
    pub(super) fn admit(&mut self, wanted: Wanted, user: u32, now_ns: u64) -> bool {
        let held_up = self.under_way.iter().filter(|one| one.is_held_up(now_ns));
        let users: Vec<u32> = held_up.filter_map(|one| one.user).collect();
        let has_room = HELD_UP.has_room(users.into_iter(), || user);
        for one in &mut self.under_way {
            if one.wanted == wanted {
                one.user = Some(user);
            }
        }
        has_room
    }

    /// Leaves `wanted` unread until it is offered again. Returns the next process for the reader, if any.
    pub(super) fn skip(&mut self, wanted: Wanted, now_ns: u64) -> Option<Wanted> {
        self.refused += 1;
        self.abandon(wanted);
        self.next(now_ns)
    }

    /// Notes that a reader is done with `wanted`. Returns the next process for the reader, if any.
    pub(super) fn finish(
        &mut self,
        wanted: Wanted,
        outcome: Outcome,
        used_ns: u64,
        now_ns: u64,
    ) -> Option<Wanted> {
        self.abandon(wanted);
        let used_ns = i64::try_from(used_ns).unwrap_or(i64::MAX);
        self.left_ns = self.left_ns.saturating_sub(used_ns);
        let memory = match outcome {
            Outcome::Read(memory) => Some(memory),
            Outcome::Gone | Outcome::Failed => None,
        };
        self.read += u64::from(memory.is_some());
        self.failed += u64::from(matches!(outcome, Outcome::Failed));
        if !matches!(outcome, Outcome::Gone) {
            self.readings.push(Reading {
                wanted,
                read_ns: now_ns,
                memory,
            });
        }
        // Another reader took its place while it was blocked.
        let is_replaced = self.under_way.len() > self.held_up(now_ns);
        if is_replaced { None } else { self.next(now_ns) }
    }

    /// Removes `wanted` from the processes being read.
    pub(super) fn abandon(&mut self, wanted: Wanted) {
        self.under_way.retain(|one| one.wanted != wanted);
    }

    fn next(&mut self, now_ns: u64) -> Option<Wanted> {
        while self.left_ns > 0 {
            let wanted = self.queue.pop_front()?;
            let mut under_way = self.under_way.iter();
            if !under_way.any(|one| one.wanted.id == wanted.id) {
                self.under_way.push(UnderWay {
                    wanted,
                    began_ns: now_ns,
                    user: None,
                });
                return Some(wanted);
            }
        }
        None
    }

    /// Number of blocked readers.
    fn held_up(&self, now_ns: u64) -> usize {
        let held_up = self.under_way.iter().filter(|one| one.is_held_up(now_ns));
        held_up.count()
    }

    pub(super) fn statistics(&self, now_ns: u64) -> SmapsStatistics {
        SmapsStatistics {
            readings: self.read,
            failures: self.failed,
            waiting: self.queue.len() as u64,
            held_up: self.held_up(now_ns) as u64,
            refused: self.refused,
            oldest_age_ns: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{AccountId, ProcessId};

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1000 * MS;
    const BUDGET: i64 = 50_000_000;

    fn wanted(tgid: u32) -> Wanted {
        let id = ProcessId { tgid, start_ns: 1 };
        Wanted {
            id,
            ran_marker: 7,
            account: AccountId(0),
        }
    }

    fn all(tgids: impl IntoIterator<Item = u32>) -> Vec<Wanted> {
        tgids.into_iter().map(wanted).collect()
    }

    const READ: Outcome = Outcome::Read(Proportional {
        resident_bytes: 1,
        swapped_bytes: 2,
    });

    #[test]
    fn one_reader_reads_all_within_the_budget_and_the_rest_waits() {
        let mut work = Work::default();
        assert_eq!(work.offer(all(1..9), 0), None, "nothing is allowed yet");
        work.allow(BUDGET, 0);
        let mut next = work.offer(all(1..9), 0);
        let mut read = Vec::new();
        while let Some(one) = next {
            read.push(one.id.tgid);
            assert_eq!(
                work.offer(all(one.id.tgid + 1..9), 0),
                None,
                "one is at work"
            );
            next = work.finish(one, READ, 20 * MS, 0);
        }
        assert_eq!(read, [1, 2, 3], "the third went beyond the budget");
        assert_eq!((work.readings().len(), work.readings().len()), (3, 0));
        assert_eq!(
            (work.statistics(0).readings, work.statistics(0).waiting),
            (3, 5)
        );
        // The next budget pays for the 10 ms that the reading used beyond its own.
        work.allow(BUDGET, SECOND);
        assert_eq!(work.left_ns, 40_000_000);
        work.allow(BUDGET, 2 * SECOND);
        assert_eq!(work.left_ns, BUDGET, "nothing is saved up");
    }

    #[test]
    fn frequent_scrapes_share_a_budget_and_rare_ones_have_their_own() {
        let used = |interval_ms: u64| {
            let (mut work, mut budgets) = (Work::default(), 0);
            for n in 0..100 {
                work.left_ns = 0;
                work.allow(BUDGET, n * interval_ms * MS);
                budgets += i64::from(work.left_ns == BUDGET);
            }
            budgets
        };
        assert_eq!((used(950), used(1000), used(15_000)), (100, 100, 100));
        assert_eq!(used(100), 2, "one in five seconds");
        assert_eq!(used(800), 15, "each seventh");
    }

    #[test]
    fn a_huge_mapping_is_paid_for_by_the_scrapes_after_it() {
        let mut work = Work::default();
        work.allow(BUDGET, 0);
        let huge = work.offer(all([1, 2]), 0).unwrap();
        assert_eq!(work.finish(huge, READ, 120 * MS, 120 * MS), None);
        work.allow(BUDGET, SECOND);
        assert_eq!(work.offer(all([2]), SECOND), None);
        work.allow(BUDGET, 2 * SECOND);
        assert!(work.offer(all([2]), 2 * SECOND).is_some());
    }

    #[test]
    fn readers_that_are_held_up_are_replaced_and_bounded() {
        let mut work = Work::default();
        let mut now_ns = 0;
        for tgid in 1..=8 {
            work.allow(BUDGET, now_ns);
            // A process that is being read is not begun again.
            assert_eq!(work.offer(all(1..20), now_ns), Some(wanted(tgid)));
            // Two of root, and two of each of three other users.
            assert!(work.admit(wanted(tgid), tgid / 2 % 4, now_ns));
            assert_eq!(work.offer(all(1..20), now_ns + HELD_UP_NS - 1), None);
            now_ns += HELD_UP_NS;
        }
        assert_eq!(work.statistics(now_ns).held_up, 8);
        work.allow(BUDGET, 0);
        let next = work.offer(all(1..20), now_ns).unwrap();
        for user in [0, 1, 4] {
            assert!(!work.admit(next, user, now_ns), "no more than eight");
        }
        work.abandon(next);
        // One reader returns and works on; when the next one returns, there is a reader already.
        let next = work.finish(wanted(2), READ, MS, now_ns);
        assert_eq!(next, Some(wanted(10)));
        assert_eq!(work.finish(wanted(3), READ, MS, now_ns), None);
        assert_eq!(work.statistics(now_ns).held_up, 6);
    }

    #[test]
    fn user_whose_processes_hold_up_readers_takes_none_from_others() {
        let mut work = Work::default();
        work.allow(BUDGET, 0);
        for n in 1..=5 {
            let now_ns = u64::from(n) * HELD_UP_NS;
            let next = work.offer(all([n]), now_ns).unwrap();
            let has_room = work.admit(next, 1000, now_ns);
            assert_eq!(has_room, n <= 2, "process {n}");
            if !has_room {
                assert_eq!(work.skip(next, now_ns), None);
            }
        }
        let now_ns = 9 * HELD_UP_NS;
        let other = work.offer(all([6]), now_ns).unwrap();
        assert!(work.admit(other, 1001, now_ns));
        assert_eq!(work.finish(other, READ, MS, now_ns), None);
        assert_eq!(work.readings().len(), 1);
        assert_eq!(work.statistics(now_ns).refused, 3);
    }

    #[test]
    fn failures_are_counted_and_ends_are_not() {
        let mut work = Work::default();
        work.allow(BUDGET, 0);
        let first = work.offer(all([1, 2]), 0).unwrap();
        let second = work.finish(first, Outcome::Failed, 0, 0).unwrap();
        assert_eq!(work.finish(second, Outcome::Gone, 0, 0), None);
        let SmapsStatistics {
            readings, failures, ..
        } = work.statistics(0);
        assert_eq!((readings, failures), (0, 1));
        let readings = work.readings();
        assert_eq!((readings.len(), readings[0].memory), (1, None));
    }
}
