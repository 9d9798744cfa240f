//! Assigns the slots of the kernel's histograms to groups. Pure: no IO of its own.
//!
//! ```text
//! never used --a group appears--> owned --the group is gone--> resting --two passes later, if no unused one is left--> owned
//! ```
//!
//! A slot is reused only after two passes without an owner: the agent writes the slots of all live processes after each pass,
//! so after two passes no process counts in a slot that no group owns. The values of a slot only rise, so its next owner
//! remembers the values at which it began. Waits that a slot counts, or has counted, for a folded group belong to the heir:
//! the group into which that one was folded.

use std::collections::{HashMap, HashSet, VecDeque};

use agent_common::{RunQueueWaits, SLOT_UNKNOWN};

use super::events::sum;
use crate::process::Folds;

/// Passes that a slot stays without an owner.
const REST: u64 = 2;

/// The owners of all slots. A group that finds no free slot has none, and its waits count as unattributed.
#[derive(Debug)]
pub(super) struct Slots {
    by_group: HashMap<u64, Owned>,
    resting: VecDeque<Resting>,
    /// The heir, and the waits that slots of folded groups had counted before they got their next owner.
    inherited: Option<(u64, RunQueueWaits)>,
    unused: std::ops::Range<u32>,
    passes: u64,
}

/// A slot that a group owns.
#[derive(Debug, Clone, Copy)]
struct Owned {
    index: u32,
    /// The values of the slot when the group got it.
    before: RunQueueWaits,
}

/// A slot whose group no longer exists.
#[derive(Debug, Clone, Copy)]
struct Resting {
    index: u32,
    /// The pass that found the group gone.
    since: u64,
    /// The values of the slot when the group got it, if that group was folded: further waits belong to the heir.
    before: Option<RunQueueWaits>,
}

impl Slots {
    /// `count`: the number of slots, including that of unknown groups.
    pub(super) fn new(count: u32) -> Self {
        Self {
            by_group: HashMap::new(),
            resting: VecDeque::new(),
            inherited: None,
            unused: SLOT_UNKNOWN + 1..count,
            passes: 0,
        }
    }

    /// Assigns slots after a pass. `groups` are the present groups, `folds` those that were folded since the pass before; `read`
    /// returns the values of a slot.
    pub(super) fn renew<E>(
        &mut self,
        groups: impl Iterator<Item = u64>,
        folds: &Folds,
        read: impl Fn(u32) -> Result<RunQueueWaits, E>,
    ) -> Result<(), E> {
        self.passes += 1;
        let groups: Vec<u64> = groups.collect();
        let present: HashSet<u64> = groups.iter().copied().collect();
        self.renew_heir(folds.heir);
        let folded: HashSet<u64> = folds.groups.iter().copied().collect();
        let (resting, passes) = (&mut self.resting, self.passes);
        self.by_group.retain(|group, slot| {
            let is_present = present.contains(group);
            if !is_present {
                resting.push_back(Resting {
                    index: slot.index,
                    since: passes,
                    before: folded.contains(group).then_some(slot.before),
                });
            }
            is_present
        });
        // The heir gets a slot first, because other groups come and go.
        for group in folds.heir.into_iter().chain(groups) {
            if self.by_group.contains_key(&group) {
                continue;
            }
            let index = match self.unused.next() {
                Some(index) => index,
                None => match self.rested(&read)? {
                    Some(index) => index,
                    None => break,
                },
            };
            let before = read(index)?;
            self.by_group.insert(group, Owned { index, before });
        }
        Ok(())
    }

    /// When the heir changes, drops the counts that the former heir had taken over.
    fn renew_heir(&mut self, heir: Option<u64>) {
        if self.inherited.map(|(heir, _)| heir) == heir {
            return;
        }
        self.inherited = heir.map(|heir| (heir, RunQueueWaits::default()));
        for slot in &mut self.resting {
            slot.before = None;
        }
    }

    /// Removes and returns a slot in which no process counts any more; `None` if there is none yet.
    fn rested<E>(
        &mut self,
        read: impl Fn(u32) -> Result<RunQueueWaits, E>,
    ) -> Result<Option<u32>, E> {
        let Some(slot) = self.resting.front().copied() else {
            return Ok(None);
        };
        if slot.since + REST > self.passes {
            return Ok(None);
        }
        if let (Some((_, all)), Some(before)) = (&mut self.inherited, slot.before) {
            *all = sum([*all, since(&read(slot.index)?, &before)].into_iter());
        }
        self.resting.pop_front();
        Ok(Some(slot.index))
    }

    /// The slot of a group; `None` if it has none.
    pub(super) fn of(&self, group: u64) -> Option<u32> {
        Some(self.by_group.get(&group)?.index)
    }

    /// All slots that count for a group: the group, the slot, and the values at which it began. A group may have several slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32, &RunQueueWaits)> {
        let slots = self.by_group.iter();
        let slots = slots.map(|(group, slot)| (*group, slot.index, &slot.before));
        let resting = self.resting.iter();
        let of_heir =
            resting.filter_map(|slot| Some((self.inherited?.0, slot.index, slot.before.as_ref()?)));
        slots.chain(of_heir)
    }

    /// The heir, and waits that it has beside those in [`Self::iter`].
    pub(super) fn inherited(&self) -> Option<(u64, RunQueueWaits)> {
        self.inherited
    }
}

/// The increase from `before` to `now`.
pub(super) fn since(now: &RunQueueWaits, before: &RunQueueWaits) -> RunQueueWaits {
    let mut grown = *now;
    grown.sum_ns = now.sum_ns.saturating_sub(before.sum_ns);
    for (bucket, before) in grown.buckets.iter_mut().zip(before.buckets) {
        *bucket = bucket.saturating_sub(before);
    }
    grown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    fn renew(slots: &mut Slots, groups: &[u64], held_ns: u64) {
        let read = |_| -> Result<_, Infallible> {
            Ok(RunQueueWaits {
                sum_ns: held_ns,
                ..RunQueueWaits::default()
            })
        };
        slots
            .renew(groups.iter().copied(), &Folds::default(), read)
            .unwrap();
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
    fn used_slot_waits_two_passes_and_its_next_group_begins_at_its_base() {
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
    fn slot_that_cannot_be_read_is_not_given_out() {
        let mut slots = Slots::new(3);
        let refused = slots.renew([7].into_iter(), &Folds::default(), |_| Err("no"));
        assert_eq!((refused, slots.of(7)), (Err("no"), None));
        renew(&mut slots, &[7], 0);
        assert_eq!(slots.of(7), Some(2));
    }

    /// The total of each group, if the slots hold the values `held`.
    fn totals(slots: &Slots, held: &[u64]) -> BTreeMap<u64, u64> {
        let inherited = slots.inherited().into_iter();
        let mut totals: BTreeMap<u64, u64> = inherited
            .map(|(group, waits)| (group, waits.sum_ns))
            .collect();
        for (group, slot, before) in slots.iter() {
            *totals.entry(group).or_default() += held[slot as usize] - before.sum_ns;
        }
        totals
    }

    #[test]
    fn a_folded_group_leaves_all_that_its_slot_counts_to_its_heir() {
        let held = std::cell::RefCell::new(vec![0_u64; 3]);
        let mut slots = Slots::new(3);
        let mut pass = |groups: &[u64], folded: &[u64], held_now: [u64; 3]| {
            *held.borrow_mut() = held_now.to_vec();
            let read = |slot: u32| -> Result<_, Infallible> {
                let sum_ns = held.borrow()[slot as usize];
                Ok(RunQueueWaits {
                    sum_ns,
                    ..RunQueueWaits::default()
                })
            };
            let folds = Folds {
                heir: Some(1),
                groups: folded.to_vec(),
            };
            slots.renew(groups.iter().copied(), &folds, read).unwrap();
            totals(&slots, &held_now)
        };
        assert_eq!(pass(&[1, 7], &[], [0; 3]), [(1, 0), (7, 0)].into());
        assert_eq!(pass(&[1, 7], &[], [0, 2, 5]), [(1, 2), (7, 5)].into());
        assert_eq!(pass(&[1, 8], &[7], [0, 2, 5]), [(1, 7)].into());
        assert_eq!(pass(&[1, 8], &[], [0, 2, 6]), [(1, 8)].into(), "late");
        // The next group owns the slot now; the earlier counts stay with the heir.
        assert_eq!(pass(&[1, 8], &[], [0, 3, 6]), [(1, 9), (8, 0)].into());
        assert_eq!(pass(&[1, 8], &[], [0, 3, 10]), [(1, 9), (8, 4)].into());
    }
}
