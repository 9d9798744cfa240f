//! Rate limit for passes: decides when the next pass may begin, so that frequent requests do not use a whole core.
//! Pure: times are passed in.
//!
//! A request that arrives after a quiet period never waits, so a scraper with an interval of one second or longer
//! never waits. All other passes together use at most 1/[`SHARE`] of a core in the long run. Each pass moves the
//! instant at which all passes are *paid* into the future, and the next pass may begin up to [`Pace::allowance`]
//! before it: occasional bursts do not wait. Once requests have come at most once a second on average, the debt is
//! forgiven.

use std::time::Duration;

use tokio::time::Instant;

/// Frequent passes, and the compression of their answers, together use at most one `SHARE`th of a core. Proportional memory has a
/// budget of its own.
const SHARE: u32 = 6;
/// A request is rare if no other came for this long. Less than a second, because scrapes of a one-second interval
/// sometimes arrive a little early.
const RARE_AFTER: Duration = Duration::from_millis(900);
/// A request this soon after the end of a pass comes from a client that asks again as soon as it gets an answer.
const AT_ONCE: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
/// Longest time for which a flood is remembered after its end.
const MAX_FLOOD_MEMORY: Duration = Duration::from_secs(5);
/// CPU time that passes may use in advance; the cost of the last pass if that is more.
const BURST: Duration = Duration::from_millis(200);

/// The debt of the passes so far. One per agent, shared by scrapes and the page.
#[derive(Debug, Default)]
pub(in crate::http) struct Pace {
    /// When the last request arrived or the last pass began.
    last_event: Option<Instant>,
    /// The instant until which the requests so far count as too frequent: each request moves it by one second.
    calm: Option<Instant>,
    /// When the last pass ended.
    ended: Option<Instant>,
    /// When all passes so far are paid; `None` if nothing is owed.
    paid: Option<Instant>,
    /// CPU time of the last pass.
    cost: Duration,
}

impl Pace {
    /// Notes that a request arrives at `now`. Returns whether it is rare, so that its pass may begin at once.
    pub(in crate::http) fn arrived(&mut self, now: Instant) -> bool {
        let since = |then: Option<Instant>| {
            then.map_or(Duration::MAX, |then| now.saturating_duration_since(then))
        };
        let is_rare = since(self.last_event) >= RARE_AFTER && since(self.ended) >= AT_ONCE;
        self.last_event = Some(now);
        let is_calm = self.calm.is_none_or(|calm| calm <= now);
        if is_rare && is_calm {
            // Requests have not been frequent, so the debt is forgiven.
            self.paid = None;
        }
        let from = self.calm.map_or(now, |calm| calm.max(now));
        self.calm = Some((from + SECOND).min(now + MAX_FLOOD_MEMORY));
        is_rare
    }

    /// The earliest time at which a pass may begin: `now` or later.
    pub(in crate::http) fn begin_at(&self, now: Instant, is_rare: bool) -> Instant {
        let turn = self
            .paid
            .and_then(|paid| paid.checked_sub(self.allowance()));
        match turn {
            Some(turn) if !is_rare => turn.max(now),
            _ => now,
        }
    }

    /// Notes that a pass begins.
    pub(in crate::http) fn begun(&mut self, now: Instant) {
        self.last_event = Some(now);
    }

    /// Notes that the pass that started at `began` has ended at `now` and used `cost` of CPU time.
    pub(in crate::http) fn ended(&mut self, began: Instant, now: Instant, cost: Duration) {
        self.ended = Some(now);
        self.cost = cost;
        // Rare passes are not delayed, so the debt that they leave is bounded here.
        let unpaid = began + self.allowance();
        let from = self.paid.map_or(began, |paid| paid.clamp(began, unpaid));
        self.paid = Some(from + cost * SHARE);
    }

    /// Adds CPU time spent on the answer of the last pass after its end, such as compression.
    pub(in crate::http) fn add_cost(&mut self, cost: Duration) {
        self.paid = self.paid.map(|paid| paid + cost * SHARE);
    }

    fn allowance(&self) -> Duration {
        self.cost.max(BURST) * SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A node whose passes each use `cost`; counts its passes.
    struct PacedNode {
        pace: Pace,
        start: Instant,
        cost: Duration,
        passes: u32,
    }

    impl PacedNode {
        fn new(cost: Duration) -> Self {
            let (pace, start) = (Pace::default(), Instant::now());
            Self {
                pace,
                start,
                cost,
                passes: 0,
            }
        }

        /// Sends a request. Returns how long its pass waits to begin, and when the pass ends, counted from the start.
        fn ask(&mut self, at: Duration) -> (Duration, Duration) {
            let now = self.start + at;
            let is_rare = self.pace.arrived(now);
            let begin = self.pace.begin_at(now, is_rare);
            self.pace.begun(begin);
            let end = begin + self.cost;
            self.pace.ended(begin, end, self.cost);
            self.passes += 1;
            (begin - now, end - self.start)
        }
    }

    #[test]
    fn immediate_repeats_use_at_most_a_fifth_of_a_core() {
        for cost in [1, 20, 100, 300, 900, 1500, 4000].map(ms) {
            let mut node = PacedNode::new(cost);
            let mut now = Duration::ZERO;
            while now < Duration::from_secs(1000) {
                now = node.ask(now).1 + ms(1);
            }
            let share = (node.cost * node.passes).as_secs_f64() / now.as_secs_f64();
            assert!(share < 0.2, "{cost:?} each: {share}");
            assert!(
                share > 0.1,
                "{cost:?} each: {share}, which is less than wanted"
            );
        }
    }

    #[test]
    fn frequent_requests_use_at_most_a_fifth_of_a_core() {
        for period in [1, 10, 250, 500, 800].map(ms) {
            let mut node = PacedNode::new(ms(300));
            let (mut arrives, mut free) = (Duration::ZERO, Duration::ZERO);
            while free < Duration::from_secs(100) {
                // All requests that arrive during a pass share the next one.
                let at = arrives.max(free);
                free = node.ask(at).1;
                while arrives <= free {
                    node.pace.arrived(node.start + arrives);
                    arrives += period;
                }
            }
            let share = (node.cost * node.passes).as_secs_f64() / free.as_secs_f64();
            assert!(share < 0.2, "every {period:?}: {share}");
        }
    }

    #[test]
    fn scraper_with_interval_of_one_second_or_more_never_waits() {
        for interval in [1000, 1001, 5000, 15_000] {
            for cost in [10, 300, 800].map(ms) {
                let mut node = PacedNode::new(cost);
                for n in 0..100 {
                    // Alternately late and on time.
                    let at = ms(n * interval + if n % 2 == 0 { 20 } else { 0 });
                    assert_eq!(node.ask(at).0, Duration::ZERO, "{interval} {cost:?} {n}");
                }
            }
        }
    }

    #[test]
    fn two_scrapers_at_the_same_moment_do_not_wait() {
        for cost in [10, 300, 2000].map(ms) {
            let mut node = PacedNode::new(cost);
            for n in 0..100 {
                let at = ms(n * 15_000);
                let (wait, end) = node.ask(at);
                assert_eq!(wait, Duration::ZERO);
                // The second request arrived during the first pass.
                assert_eq!(node.ask(end.max(at)).0, Duration::ZERO, "{cost:?} {n}");
            }
        }
    }

    #[test]
    fn bursts_after_pauses_use_at_most_a_fifth_of_a_core() {
        let mut node = PacedNode::new(ms(300));
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(1000) {
            for _ in 0..3 {
                now = node.ask(now).1;
            }
            now += ms(920);
        }
        // The first pass after each pause belongs to a rare request.
        let pauses = f64::from(node.passes / 3);
        let rest = (node.cost * node.passes).as_secs_f64() - 0.3 * pauses;
        assert!(
            rest / now.as_secs_f64() < 0.2,
            "{} passes in {now:?}",
            node.passes
        );
    }

    #[test]
    fn rare_scraper_does_not_wait_after_a_flood() {
        let mut node = PacedNode::new(ms(300));
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            now = node.ask(now).1;
        }
        assert_eq!(node.ask(now + ms(1000)).0, Duration::ZERO);
    }

    #[test]
    fn compression_time_delays_the_next_pass() {
        let mut node = PacedNode::new(ms(300));
        let (_, end) = node.ask(Duration::ZERO);
        let (wait, end) = node.ask(end);
        assert_eq!(wait, Duration::ZERO);
        node.pace.add_cost(ms(100));
        let (wait, _) = node.ask(end);
        assert_eq!(wait, ms(300) * SHARE + ms(100) * SHARE - ms(600));
    }
}
