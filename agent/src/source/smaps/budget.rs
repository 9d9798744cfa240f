//! The CPU time that readings of proportional memory may use. Pure. All times are nanoseconds of one clock.

/// Scrapes are frequent if less than this time is between them; scrapes of every second sometimes come a little early.
const RARE_NS: u64 = 900_000_000;
/// Time for which frequent scrapes share one budget.
const FREQUENT_NS: u64 = 5_000_000_000;

/// The CPU time that each scrape gives, and the rest of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuBudget {
    each_ns: i64,
    /// CPU time that may still be used; negative if a reading took more.
    left_ns: i64,
    /// When the last scrape began.
    scraped_ns: Option<u64>,
    /// When the last budget was given.
    allowed_ns: Option<u64>,
}

impl CpuBudget {
    pub(super) const fn new(each_ns: i64) -> Self {
        Self {
            each_ns,
            left_ns: 0,
            scraped_ns: None,
            allowed_ns: None,
        }
    }

    /// Begins a scrape: gives one more budget, unless scrapes are frequent and share one for [`FREQUENT_NS`]. An unused part of
    /// the last budget is not saved.
    pub(super) fn allow(&mut self, now_ns: u64) {
        let since = |then: Option<u64>| then.map_or(u64::MAX, |then| now_ns.saturating_sub(then));
        let is_frequent = since(self.scraped_ns.replace(now_ns)) < RARE_NS;
        if is_frequent && since(self.allowed_ns) < FREQUENT_NS {
            return;
        }
        self.allowed_ns = Some(now_ns);
        self.left_ns = self.left_ns.saturating_add(self.each_ns).min(self.each_ns);
    }

    /// Subtracts the time that a reading has used.
    pub(super) fn spend(&mut self, used_ns: u64) {
        let used_ns = i64::try_from(used_ns).unwrap_or(i64::MAX);
        self.left_ns = self.left_ns.saturating_sub(used_ns);
    }

    /// Whether another reading may begin.
    pub(super) const fn is_left(&self) -> bool {
        self.left_ns > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1000 * MS;
    const EACH: i64 = 50_000_000;

    /// How many readings of this length the budget allows.
    fn readings(budget: &mut CpuBudget, used_ns: u64) -> usize {
        let mut count = 0;
        while budget.is_left() {
            budget.spend(used_ns);
            count += 1;
        }
        count
    }

    #[test]
    fn readings_end_with_the_budget_and_the_next_one_pays_for_the_excess() {
        let mut budget = CpuBudget::new(EACH);
        assert!(!budget.is_left(), "nothing is allowed yet");
        budget.allow(0);
        assert_eq!(readings(&mut budget, 20 * MS), 3, "the third goes beyond");
        budget.allow(SECOND);
        assert_eq!(budget.left_ns, 40_000_000);
        budget.allow(2 * SECOND);
        assert_eq!(budget.left_ns, EACH, "nothing is saved up");
    }

    #[test]
    fn frequent_scrapes_share_a_budget_and_rare_ones_have_their_own() {
        let used = |interval_ms: u64| {
            let (mut budget, mut budgets) = (CpuBudget::new(EACH), 0);
            for n in 0..100 {
                budget.left_ns = 0;
                budget.allow(n * interval_ms * MS);
                budgets += i64::from(budget.left_ns == EACH);
            }
            budgets
        };
        assert_eq!((used(950), used(1000), used(15_000)), (100, 100, 100));
        assert_eq!(used(100), 2, "one in five seconds");
        assert_eq!(used(800), 15, "each seventh");
    }

    #[test]
    fn a_huge_mapping_is_paid_for_by_the_scrapes_after_it() {
        let mut budget = CpuBudget::new(EACH);
        budget.allow(0);
        assert_eq!(readings(&mut budget, 120 * MS), 1);
        budget.allow(SECOND);
        assert!(!budget.is_left());
        budget.allow(2 * SECOND);
        assert!(budget.is_left());
    }
}
