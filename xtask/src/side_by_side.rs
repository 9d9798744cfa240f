//! The same work on many things, some of them at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls `work` with each item, on so many threads, in the order of the items. The results are in that order, too.
pub(crate) fn map<Item: Send, Done: Send>(
    items: Vec<Item>,
    threads: usize,
    work: impl Fn(Item) -> Done + Sync,
) -> Vec<Done> {
    let waiting = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(BTreeMap::new());
    let next = || lock(&waiting).next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((place, item)) = next() {
                    let result = work(item);
                    lock(&done).insert(place, result);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_values().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
