//! An upper bound of the CPU time that was lost with final records: the use of the processes since a pass credited them.
//!
//! The programs know only the use of such a process in its whole life. Earlier passes booked most of that, or it is older than
//! the agent. The part that was not booked was used since the last pass began, and in that time all processes together cannot
//! have used more than all CPUs had.
//!
//! In: the programs' sum of these lifetimes at the end of each pass. Out: the bound, which never falls.

/// The state of the bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    /// The programs' sum of lifetimes at the end of the last pass.
    lifetimes_ns: u64,
    /// Start of the last pass. It credited every process that was alive at its end with its use up to its start, or later.
    since_ns: u64,
    bound_ns: u64,
}

impl Lost {
    /// For programs that were attached at `attached_ns`: use before that is in no account.
    pub(super) const fn new(attached_ns: u64) -> Self {
        Self {
            lifetimes_ns: 0,
            since_ns: attached_ns,
            bound_ns: 0,
        }
    }

    /// Whether `lifetimes_ns` shows losses since the last pass.
    pub(super) const fn is_news(&self, lifetimes_ns: u64) -> bool {
        lifetimes_ns > self.lifetimes_ns
    }

    /// Notes that a pass that began at `started_ns` and credited all live processes has ended at `ended_ns`. `cpus`: the number
    /// of online CPUs; with `None` the bound grows by the whole lifetimes.
    pub(super) fn end_pass(
        &mut self,
        lifetimes_ns: u64,
        (started_ns, ended_ns): (u64, u64),
        cpus: Option<u64>,
    ) {
        let lived_ns = lifetimes_ns.saturating_sub(self.lifetimes_ns);
        let elapsed_ns = ended_ns.saturating_sub(self.since_ns);
        let possible_ns = cpus.map_or(u64::MAX, |cpus| elapsed_ns.saturating_mul(cpus));
        self.bound_ns = self.bound_ns.saturating_add(lived_ns.min(possible_ns));
        self.lifetimes_ns = lifetimes_ns;
        self.since_ns = started_ns;
    }

    pub(super) const fn bound_ns(&self) -> u64 {
        self.bound_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    #[test]
    fn loss_of_a_long_life_counts_no_more_than_the_cpus_had_since_the_last_pass() {
        let mut lost = Lost::new(100);
        lost.end_pass(0, (1000, 1010), Some(2));
        assert_eq!(lost.bound_ns(), 0);
        // 20 ns from the start of one pass to the end of the next, on two CPUs.
        lost.end_pass(HOUR, (1015, 1020), Some(2));
        assert_eq!(lost.bound_ns(), 40);
        // The hour counts only once.
        assert!(!lost.is_news(HOUR));
        lost.end_pass(HOUR, (2000, 2010), Some(2));
        assert_eq!(lost.bound_ns(), 40);
    }

    #[test]
    fn loss_of_short_lives_counts_as_they_were() {
        let mut lost = Lost::new(0);
        lost.end_pass(0, (1000, 1010), Some(1));
        assert!(lost.is_news(7));
        lost.end_pass(7, (2000, 2010), Some(1));
        assert_eq!(lost.bound_ns(), 7);
    }

    #[test]
    fn loss_before_the_first_pass_counts_from_the_attachment_on() {
        let mut lost = Lost::new(900);
        lost.end_pass(HOUR, (1000, 1010), Some(1));
        assert_eq!(lost.bound_ns(), 110);
    }

    #[test]
    fn loss_without_a_number_of_cpus_counts_lifetimes() {
        let mut lost = Lost::new(900);
        lost.end_pass(HOUR, (1000, 1010), None);
        assert_eq!(lost.bound_ns(), HOUR);
    }
}
