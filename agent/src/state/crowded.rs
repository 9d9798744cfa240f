//! Reports in `/health` that there are more group names than the limits on groups allow.

use std::time::Duration;

use crate::group::GroupStatistics;

/// How long `/health` reports a fold or an overflow.
const REPORTED_FOR: Duration = Duration::from_secs(600);

/// The grouper's counts of folds and overflows, and when they last rose.
#[derive(Debug, Default)]
pub(super) struct Crowded {
    folded: u64,
    overflowed: u64,
    /// When one of the two counts last rose, nanoseconds since boot.
    risen_ns: Option<u64>,
}

impl Crowded {
    /// Takes the counts of the grouper.
    pub(super) fn note(&mut self, now: &GroupStatistics, now_ns: u64) {
        let before = (self.folded, self.overflowed);
        (self.folded, self.overflowed) = (now.folded_groups, now.overflowed);
        if before != (self.folded, self.overflowed) {
            if self.risen_ns.is_none() {
                log::warn!("{}", self.text());
            }
            self.risen_ns = Some(now_ns);
        } else if !self.is_lately(now_ns) {
            self.risen_ns = None;
        }
    }

    fn is_lately(&self, now_ns: u64) -> bool {
        let age_ns = self
            .risen_ns
            .map(|risen_ns| now_ns.saturating_sub(risen_ns));
        age_ns.is_some_and(|age_ns| Duration::from_nanos(age_ns) < REPORTED_FOR)
    }

    /// The reason for a degraded health. `is_full`: there are as many groups as are allowed.
    pub(super) fn reason(&self, now_ns: u64, is_full: bool) -> Option<String> {
        (is_full || self.is_lately(now_ns)).then(|| self.text())
    }

    fn text(&self) -> String {
        format!(
            "there are more group names than the limits on groups allow: since the start, {} empty groups were merged into the \
             group other and {} processes were put there; raise --max-groups or the max_groups of an item, or use fewer names",
            self.folded, self.overflowed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn counts(folded_groups: u64, overflowed: u64) -> GroupStatistics {
        GroupStatistics {
            folded_groups,
            overflowed,
            ..GroupStatistics::default()
        }
    }

    #[test]
    fn fold_or_overflow_degrades_health_for_ten_minutes() {
        let mut crowded = Crowded::default();
        crowded.note(&counts(0, 0), SECOND_NS);
        assert_eq!(crowded.reason(SECOND_NS, false), None);
        crowded.note(&counts(62, 0), 2 * SECOND_NS);
        let reason = crowded.reason(500 * SECOND_NS, false).unwrap();
        assert!(reason.contains("62 empty groups"), "{reason}");
        crowded.note(&counts(62, 1), 500 * SECOND_NS);
        assert!(crowded.reason(1000 * SECOND_NS, false).is_some());
        assert_eq!(crowded.reason(1101 * SECOND_NS, false), None);
    }

    #[test]
    fn full_number_of_groups_degrades_health() {
        assert!(Crowded::default().reason(0, true).is_some());
    }
}
