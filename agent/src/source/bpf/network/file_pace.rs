//! How often the agent looks at the files of all processes: so seldom that it takes at most a hundredth of the time, and each five
//! minutes at least.

/// A look may begin when this many times its length has passed since the last one began.
const REST: u64 = 100;

/// A look begins after this time even if no program has noted a need: for processes that share a table of files
/// without being threads, and the gauges of an idle socket whose owner was not the only one to hold it.
const MOST_NS: u64 = 300_000_000_000;

/// The last look at files.
#[derive(Debug, Default)]
pub(super) struct FilePace {
    began_ns: u64,
    took_ns: u64,
}

impl FilePace {
    /// Whether another look may begin at `now_ns`.
    pub(super) const fn is_due(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.began_ns) >= self.took_ns.saturating_mul(REST)
    }

    /// Whether the last look is so old that another one must begin at `now_ns`.
    pub(super) const fn is_overdue(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.began_ns) >= MOST_NS
    }

    /// Notes a look that began at `began_ns`.
    pub(super) const fn note(&mut self, began_ns: u64, took_ns: u64) {
        self.began_ns = began_ns;
        self.took_ns = took_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_of_two_milliseconds_is_due_again_after_two_hundred() {
        let mut pace = FilePace::default();
        assert!(pace.is_due(0));
        pace.note(1_000_000, 2_000_000);
        assert!(!pace.is_due(200_999_999));
        assert!(pace.is_due(201_000_000));
        assert!(!pace.is_due(0), "a clock that went back");
        assert!(!pace.is_overdue(300_000_999_999));
        assert!(pace.is_overdue(300_001_000_000));
    }
}
