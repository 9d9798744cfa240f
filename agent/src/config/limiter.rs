//! The rate limit of the log: each call site may write a burst of lines in each window; lines beyond it are counted.
//!
//! Pure: the time is passed in. Memory is bounded by [`MAX_SITES`], which is more than the program has call sites; if
//! there are more, all are forgotten.

use std::collections::HashMap;
use std::time::Duration;

/// Lines that a call site may write per window.
pub(super) const BURST: u32 = 5;
/// The same for the agent's own debug lines: an operator who enables them wants a line for each process.
pub(super) const DEBUG_BURST: u32 = 1000;
/// Length of a window.
const WINDOW: Duration = Duration::from_secs(10);
/// Most call sites that are remembered.
const MAX_SITES: usize = 512;

/// A place in the source code that logs: file and line.
pub(super) type CallSite = (&'static str, u32);

#[derive(Debug, Clone, Copy)]
struct Window {
    start: Duration,
    lines: u32,
    suppressed: u64,
}

/// The windows of all call sites.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    sites: HashMap<CallSite, Window>,
}

impl Limiter {
    /// Whether `site`, which may write `burst` lines per window, may write at `now`, a time of any clock that only
    /// rises. `Some` holds the number of its lines that were left out since its last one; `None` means no.
    pub(super) fn admit(&mut self, site: CallSite, burst: u32, now: Duration) -> Option<u64> {
        if self.sites.len() >= MAX_SITES && !self.sites.contains_key(&site) {
            self.sites.clear();
        }
        let fresh = Window {
            start: now,
            lines: 0,
            suppressed: 0,
        };
        let window = self.sites.entry(site).or_insert(fresh);
        if now.saturating_sub(window.start) >= WINDOW {
            (window.start, window.lines) = (now, 0);
        }
        if window.lines >= burst {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_silence_then_the_count() {
        let (site, other) = (("a.rs", 1), ("a.rs", 2));
        let mut limiter = Limiter::default();
        for _ in 0..BURST {
            assert_eq!(limiter.admit(site, BURST, Duration::ZERO), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(limiter.admit(site, BURST, WINDOW / 2), None);
        }
        assert_eq!(limiter.admit(other, BURST, WINDOW / 2), Some(0));
        assert_eq!(limiter.admit(site, BURST, WINDOW), Some(7));
        assert_eq!(limiter.admit(site, BURST, WINDOW), Some(0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut limiter = Limiter::default();
        for line in 0..10_000 {
            assert_eq!(
                limiter.admit(("a.rs", line), BURST, Duration::ZERO),
                Some(0)
            );
        }
        assert!(limiter.sites.len() <= MAX_SITES);
    }
}
