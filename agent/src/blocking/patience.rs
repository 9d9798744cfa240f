//! How long one pass waits for readers that are held up. Pure.

use std::time::Duration;

/// Time that one reader may sleep in the same read; longer than a healthy server of files takes.
pub(crate) const EACH: Duration = Duration::from_millis(200);

/// The limits of the waiting time, and the rest of it.
#[derive(Debug)]
pub(crate) struct Patience {
    /// Time that all readers of a pass may sleep together.
    pass: Duration,
    /// Time for each further reader once `pass` is used up.
    least: Duration,
    left: Duration,
}

impl Patience {
    pub(crate) const fn new(pass: Duration, least: Duration) -> Self {
        Self {
            pass,
            least,
            left: pass,
        }
    }

    /// Begins a pass: the waiting time starts anew.
    pub(crate) fn begin(&mut self) {
        self.left = self.pass;
    }

    pub(crate) fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    pub(crate) fn is_left(&self) -> bool {
        !self.left.is_zero()
    }

    /// Time between the two looks at the next reader.
    pub(crate) fn look(&self) -> Duration {
        EACH.min(self.left).max(self.least) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_and_leaves_each_reader_the_least_time() {
        let ms = Duration::from_millis;
        let mut patience = Patience::new(ms(1000), ms(6));
        for (spent, look) in [(0, 100), (900, 50), (100, 3)] {
            patience.spend(ms(spent));
            assert_eq!(patience.look(), ms(look));
        }
        assert!(!patience.is_left());
        patience.begin();
        assert_eq!((patience.look(), patience.is_left()), (EACH / 2, true));
    }
}
