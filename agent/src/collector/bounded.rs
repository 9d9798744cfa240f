//! Chooses the groups that stay in an exposition that would be too large with all of them.
//!
//! In come the sizes of all groups' samples; out goes the part of each group that is kept. A group is left out with all its
//! families, so that sums over a group agree, or with its families by thread name only. Groups with small samples come first,
//! among those the ones that used the most CPU time, among those the oldest. So if one user makes many groups with long names,
//! those are left out first, and the same groups stay from scrape to scrape. Families by thread name share the room that is left,
//! in the same order.
//!
//! The counters of a group that is left out continue; the exposition shows their true values again as soon as there is room.

use std::cmp::Reverse;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};

/// Bytes reserved for the families that are not of groups; they take less than half of it.
pub(super) const OTHER_FAMILIES: usize = 256 * 1024;
/// The workers of Gunicorn may take this part of an exposition.
const WORKERS_SHARE: usize = 4;
/// The targets' part may take this part of an exposition.
const TARGETS_SHARE: usize = 8;

/// The properties of one group that decide whether it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes of its samples, without those by thread name.
    pub(super) own: usize,
    /// Bytes of its samples by thread name.
    pub(super) threads: usize,
    /// CPU time that its processes used, nanoseconds.
    pub(super) cpu_ns: u64,
    /// Its number; an older group has a smaller one.
    pub(super) id: u64,
}

/// Which families of one group stay in the exposition: its own, and those by thread name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kept {
    pub(super) own: bool,
    pub(super) threads: bool,
}

/// Numbers of groups that an exposition leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Omitted {
    /// Groups left out with all their families.
    pub(super) groups: u64,
    /// Groups left out with their families by thread name only.
    pub(super) threads: u64,
}

/// The largest size of an exposition in bytes, and the numbers of groups that the last exposition left out.
#[derive(Debug)]
pub(super) struct ExpositionBound {
    most: AtomicUsize,
    /// The part of `most` that is left to the targets' part.
    targets: AtomicUsize,
    groups: AtomicU64,
    threads: AtomicU64,
}

impl Default for ExpositionBound {
    /// No limit on the size.
    fn default() -> Self {
        Self {
            most: AtomicUsize::new(usize::MAX),
            targets: AtomicUsize::default(),
            groups: AtomicU64::default(),
            threads: AtomicU64::default(),
        }
    }
}

impl ExpositionBound {
    /// Limits later expositions to `most` bytes. With targets, one in [`TARGETS_SHARE`] of them is left to the targets' part.
    pub(super) fn set(&self, most: usize, has_targets: bool) {
        let targets = if has_targets { most / TARGETS_SHARE } else { 0 };
        self.most.store(most, Relaxed);
        self.targets.store(targets, Relaxed);
    }

    /// Largest size of an exposition, bytes.
    pub(super) fn most_bytes(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// The part of it that the targets' part may take, bytes.
    pub(super) fn most_target_bytes(&self) -> usize {
        self.targets.load(Relaxed)
    }

    /// The part of it that the workers of Gunicorn may take, bytes.
    pub(super) fn most_worker_bytes(&self) -> usize {
        self.most_bytes() / WORKERS_SHARE
    }

    /// The part of it that families of groups may take, bytes.
    pub(super) fn most_group_bytes(&self) -> usize {
        let others = OTHER_FAMILIES + self.most_target_bytes();
        self.most_bytes().saturating_sub(others)
    }

    pub(super) fn note(&self, omitted: Omitted) {
        self.groups.store(omitted.groups, Relaxed);
        self.threads.store(omitted.threads, Relaxed);
    }

    pub(super) fn omitted(&self) -> Omitted {
        Omitted {
            groups: self.groups.load(Relaxed),
            threads: self.threads.load(Relaxed),
        }
    }
}

/// The part of each group that is kept if there is `room` for so many bytes.
pub(super) fn kept(sizes: &[Size], mut room: usize) -> Vec<Kept> {
    let mut kept = vec![Kept::default(); sizes.len()];
    for n in order(sizes, |size| size.own) {
        if let Some(left) = room.checked_sub(sizes[n].own) {
            (kept[n].own, room) = (true, left);
        }
    }
    for n in order(sizes, |size| size.threads) {
        if !kept[n].own {
            continue;
        }
        if let Some(left) = room.checked_sub(sizes[n].threads) {
            (kept[n].threads, room) = (true, left);
        }
    }
    kept
}

/// Counts the groups that are left out; one without families by thread name does not count as losing them.
pub(super) fn omitted(sizes: &[Size], kept: &[Kept]) -> Omitted {
    let all = || sizes.iter().zip(kept);
    let count = |n: usize| n as u64;
    Omitted {
        groups: count(all().filter(|(_, kept)| !kept.own).count()),
        threads: count(
            all()
                .filter(|(size, kept)| kept.own && !kept.threads && size.threads > 0)
                .count(),
        ),
    }
}

/// Indexes of `sizes`, in the order in which groups are kept. Size and CPU time are compared by powers of two, so that the order
/// changes rarely.
fn order(sizes: &[Size], bytes: impl Fn(&Size) -> usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|n| {
        let size = &sizes[*n];
        let class = bytes(size).checked_ilog2();
        (class, Reverse(size.cpu_ns.checked_ilog2()), size.id)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(id: u64, own: usize, threads: usize, cpu_ns: u64) -> Size {
        Size {
            own,
            threads,
            cpu_ns,
            id,
        }
    }

    fn ids(sizes: &[Size], room: usize) -> (Vec<u64>, Vec<u64>) {
        let kept = kept(sizes, room);
        let chosen = |is: fn(&Kept) -> bool| {
            let all = sizes.iter().zip(&kept);
            all.filter(|(_, kept)| is(kept))
                .map(|(size, _)| size.id)
                .collect()
        };
        (chosen(|kept| kept.own), chosen(|kept| kept.threads))
    }

    #[test]
    fn long_names_are_left_out_before_short_ones() {
        let mut sizes: Vec<Size> = (0..100).map(|id| size(id, 30_000, 0, 1 << 40)).collect();
        sizes.extend((100..120).map(|id| size(id, 3_000, 0, 0)));
        let (own, _) = ids(&sizes, 120_000);
        let expected: Vec<u64> = [0, 1].into_iter().chain(100..120).collect();
        assert_eq!(own, expected);
        let all = kept(&sizes, 120_000);
        assert_eq!(
            omitted(&sizes, &all),
            Omitted {
                groups: 98,
                threads: 0
            }
        );
    }

    #[test]
    fn of_equal_names_those_that_used_most_are_kept() {
        let sizes = [
            size(1, 100, 0, 0),
            size(2, 100, 0, 1 << 20),
            size(3, 100, 0, 1 << 30),
            size(4, 100, 0, 1 << 20),
        ];
        assert_eq!(ids(&sizes, 100).0, [3]);
        assert_eq!(ids(&sizes, 250).0, [2, 3], "of equal ones the older");
        assert_eq!(ids(&sizes, 400).0, [1, 2, 3, 4]);
        assert_eq!(ids(&sizes, 99).0, [0_u64; 0]);
    }

    #[test]
    fn families_by_thread_name_are_left_out_before_any_group() {
        let sizes = [
            size(1, 100, 9000, 1 << 40),
            size(2, 110, 50, 0),
            size(3, 30, 0, 0),
        ];
        let (own, threads) = ids(&sizes, 300);
        assert_eq!((own, threads), (vec![1, 2, 3], vec![2, 3]));
        let all = kept(&sizes, 300);
        assert_eq!(
            omitted(&sizes, &all),
            Omitted {
                groups: 0,
                threads: 1
            }
        );
        assert_eq!(omitted(&sizes, &kept(&sizes, 10_000)), Omitted::default());
    }

    #[test]
    fn kept_groups_fit_the_room() {
        let sizes: Vec<Size> = (1..200)
            .map(|n| size(n as u64, n * 37 % 991, n * 61 % 997, n as u64 % 7))
            .collect();
        for room in [0, 1, 500, 5_000, 50_000, 500_000] {
            let kept = kept(&sizes, room);
            let used = sizes.iter().zip(&kept).map(|(size, kept)| {
                assert!(
                    kept.own || !kept.threads,
                    "no threads of a group that is left out"
                );
                usize::from(kept.own) * size.own + usize::from(kept.threads) * size.threads
            });
            assert!(used.sum::<usize>() <= room);
        }
    }
}
