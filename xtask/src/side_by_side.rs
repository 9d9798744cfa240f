//! The same work on many things, some of them at a time.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

/// Calls `work` with each item, on so many threads, in the order of the items. The results are in that order, too.
pub(crate) fn map<Item: Send, Done: Send>(
    items: Vec<Item>,
    threads: usize,
    work: impl Fn(Item) -> Done + Sync,
) -> Vec<Done> {
    let waiting = Mutex::new(items.into_iter().enumerate());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.next()
    };
    let work_on = || {
        let mut done = Vec::new();
        while let Some((place, item)) = next() {
            done.push((place, work(item)));
        }
        done
    };
    let mut all: Vec<(usize, Done)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work_on)).collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended
            .flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::map;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let both = Barrier::new(2);
        // Each waits for the other: on one thread this would never end.
        let twice = |number: u32| {
            both.wait();
            number * 2
        };
        assert_eq!(map(vec![1, 2, 3, 4], 2, twice), [2, 4, 6, 8]);
        assert!(map(Vec::new(), 2, twice).is_empty());
    }
}
