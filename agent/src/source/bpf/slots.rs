//! Which slot of the kernel's histograms is whose. Pure.
//!
//! ```text
//! never used --group comes--> its --group is forgotten--> resting --two passes later, and none unused is left--> another's
//! ```
//!
//! A slot only rises, so who gets a used one remembers what it held. It rests before that: at each pass all live processes
//! are told their slots, so after two of them nobody counts in one that no group has.

use agent_common::{RunQueueWaits, SLOT_UNKNOWN};
use std::collections::{HashMap, HashSet, VecDeque};

/// Passes that a slot is nobody's for.
const REST: u64 = 2;

/// See the module. Groups beyond the number of slots have none.
#[derive(Debug)]
pub(super) struct Slots {
    by_group: HashMap<u64, Slot>,
    /// Slots of groups that are forgotten, and the pass that found it.
    resting: VecDeque<(u32, u64)>,
    unused: std::ops::Range<u32>,
    passes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    index: u32,
    /// What it held when the group got it.
    before: RunQueueWaits,
}

impl Slots {
    /// `count`: how many there are, that of unknown groups among them.
    pub(super) fn new(count: u32) -> Self {
        Self {
            by_group: HashMap::new(),
            resting: VecDeque::new(),
            unused: SLOT_UNKNOWN + 1..count,
            passes: 0,
        }
    }

    /// Another pass: these are the groups now. `read` says what a slot holds.
    pub(super) fn renew<E>(
        &mut self,
        groups: impl Iterator<Item = u64>,
        read: impl Fn(u32) -> Result<RunQueueWaits, E>,
    ) -> Result<(), E> {
        self.passes += 1;
        let groups: Vec<u64> = groups.collect();
        let present: HashSet<u64> = groups.iter().copied().collect();
        let (resting, passes) = (&mut self.resting, self.passes);
        self.by_group.retain(|group, slot| {
            let is_present = present.contains(group);
            if !is_present {
                resting.push_back((slot.index, passes));
            }
            is_present
        });
        for group in groups {
            if self.by_group.contains_key(&group) {
                continue;
            }
            let Some(index) = self.unused.next().or_else(|| self.rested()) else {
                break;
            };
            let before = read(index)?;
            self.by_group.insert(group, Slot { index, before });
        }
        Ok(())
    }

    /// One that nobody counts in any more.
    fn rested(&mut self) -> Option<u32> {
        let (_, since) = self.resting.front()?;
        if since + REST > self.passes {
            return None;
        }
        self.resting.pop_front().map(|(index, _)| index)
    }

    /// The slot of a group.
    pub(super) fn of(&self, group: u64) -> Option<u32> {
        Some(self.by_group.get(&group)?.index)
    }

    /// All groups with a slot, their slots, and what these held before.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32, &RunQueueWaits)> {
        let slots = self.by_group.iter();
        slots.map(|(group, slot)| (*group, slot.index, &slot.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn renew(slots: &mut Slots, groups: &[u64], held_ns: u64) {
        let read = |_| -> Result<_, Infallible> {
            Ok(RunQueueWaits {
                sum_ns: held_ns,
                ..RunQueueWaits::default()
            })
        };
        slots.renew(groups.iter().copied(), read).unwrap();
    }

    #[test]
    fn each_group_has_a_slot_of_its_own_and_keeps_it() {
        let mut slots = Slots::new(4);
        renew(&mut slots, &[7, 8], 0);
        renew(&mut slots, &[9, 8, 7], 0);
        let of = [7, 8, 9].map(|group| slots.of(group).unwrap());
        assert_eq!(of, [1, 2, 3]);
        renew(&mut slots, &[9, 8, 7, 10], 0);
        assert_eq!(slots.of(10), None, "there are no more");
    }

    #[test]
    fn a_used_slot_rests_first_and_its_next_group_begins_at_nothing() {
        let mut slots = Slots::new(2);
        renew(&mut slots, &[7], 0);
        renew(&mut slots, &[8], 5);
        assert_eq!((slots.of(7), slots.of(8)), (None, None));
        renew(&mut slots, &[8], 6);
        assert_eq!(slots.of(8), None, "a process may count in it still");
        renew(&mut slots, &[8], 6);
        let all: Vec<_> = slots.iter().map(|(g, s, b)| (g, s, b.sum_ns)).collect();
        assert_eq!(all, [(8, 1, 6)]);
    }

    #[test]
    fn a_slot_that_cannot_be_read_is_given_to_nobody() {
        let mut slots = Slots::new(3);
        let refused = slots.renew([7].into_iter(), |_| Err("no"));
        assert_eq!((refused, slots.of(7)), (Err("no"), None));
        renew(&mut slots, &[7], 0);
        assert_eq!(slots.of(7), Some(2));
    }
}
