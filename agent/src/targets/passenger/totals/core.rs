//! Totals of an instance's web server part that never fall, over restarts of its core.

use crate::targets::passenger::server::ServerCounts;

/// The counters of [`ServerCounts`].
type CoreCounters = [u64; 5];

/// The totals of one instance.
#[derive(Debug, Default)]
pub(super) struct CoreTotals {
    /// The process id of the core that counted `last`, where the agent knows it.
    core: Option<u32>,
    last: CoreCounters,
    /// The counts of earlier cores when they were asked last.
    earlier: CoreCounters,
}

impl CoreTotals {
    /// Adds the counts of the core; `core` is its process id. Returns the totals, with the open clients as they are.
    ///
    /// Another process id, or a count of clients or requests that falls, shows that the core was started again. The counts of the
    /// turbocache prove nothing: each thread of the core sets them to 0 every 2 s, and leaves them out while there are few. So
    /// their totals are lower bounds.
    pub(super) fn add(&mut self, counts: &ServerCounts, core: Option<u32>) -> ServerCounts {
        let now = [
            counts.clients_accepted,
            counts.requests_begun,
            counts.turbocache_fetches,
            counts.turbocache_hits,
            counts.turbocache_stores,
        ];
        let is_another = matches!((self.core, core), (Some(before), Some(core)) if before != core);
        let falls = |n: usize| now[n] < self.last[n];
        let is_another = is_another || falls(0) || falls(1);
        for n in (0..now.len()).filter(|n| is_another || falls(*n)) {
            self.earlier[n] = self.earlier[n].saturating_add(self.last[n]);
        }
        self.last = now;
        self.core = core.or(self.core);
        let [
            clients_accepted,
            requests_begun,
            turbocache_fetches,
            turbocache_hits,
            turbocache_stores,
        ] = sum(&self.earlier, &now);
        ServerCounts {
            clients_accepted,
            requests_begun,
            clients_active: counts.clients_active,
            turbocache_fetches,
            turbocache_hits,
            turbocache_stores,
        }
    }
}

fn sum(a: &CoreCounters, b: &CoreCounters) -> CoreCounters {
    std::array::from_fn(|n| a[n].saturating_add(b[n]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(clients_accepted: u64, requests_begun: u64) -> ServerCounts {
        ServerCounts {
            clients_accepted,
            requests_begun,
            clients_active: clients_accepted / 2,
            ..ServerCounts::default()
        }
    }

    #[test]
    fn turbocache_that_begins_anew_is_no_new_core() {
        let mut totals = CoreTotals::default();
        let with = |fetches| ServerCounts {
            turbocache_fetches: fetches,
            ..counts(4, 3)
        };
        let shown = [9, 2, 5, 0, 1].map(|fetches| totals.add(&with(fetches), Some(7)));
        assert_eq!(shown.map(|one| one.turbocache_fetches), [9, 11, 14, 14, 15]);
        assert!(
            shown
                .iter()
                .all(|one| one.clients_accepted == 4 && one.requests_begun == 3)
        );
    }

    #[test]
    fn counts_of_one_core_are_shown_as_they_are() {
        let mut totals = CoreTotals::default();
        for (accepted, begun) in [(4, 3), (4, 3), (9, 8)] {
            assert_eq!(
                totals.add(&counts(accepted, begun), Some(7)),
                counts(accepted, begun)
            );
        }
    }

    #[test]
    fn restart_of_the_core_is_known_by_its_pid_or_by_a_count_that_falls() {
        for (pids, after) in [
            ([Some(7), Some(8)], (20, 9)),
            ([Some(7), Some(8)], (1, 0)),
            ([Some(7), Some(7)], (20, 2)),
            ([None, None], (20, 2)),
        ] {
            let mut totals = CoreTotals::default();
            totals.add(&counts(10, 3), pids[0]);
            let shown = totals.add(&counts(after.0, after.1), pids[1]);
            assert_eq!(
                (shown.clients_accepted, shown.requests_begun),
                (10 + after.0, 3 + after.1)
            );
            assert_eq!(shown.clients_active, after.0 / 2);
        }
    }

    #[test]
    fn pid_that_is_not_known_once_is_no_restart() {
        let mut totals = CoreTotals::default();
        for pid in [None, Some(7), None, Some(7)] {
            assert_eq!(totals.add(&counts(10, 3), pid).clients_accepted, 10);
        }
        assert_eq!(totals.add(&counts(11, 4), Some(8)).clients_accepted, 21);
    }

    #[test]
    fn absurd_counts_do_not_overflow() {
        let mut totals = CoreTotals::default();
        for accepted in [u64::MAX, 5, u64::MAX] {
            let shown = totals.add(&counts(accepted, 0), None);
            assert_eq!(shown.clients_accepted, u64::MAX);
        }
    }
}
