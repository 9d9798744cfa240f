//! Counts the allocations of a scrape: no time is measured, so a busy machine changes nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests
#![allow(unreachable_pub, dead_code)] // the bench uses more of this than the test does

#[path = "../examples/replay/node.rs"]
mod node;
#[path = "../examples/replay/recording.rs"]
mod recording;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use node::Node;
use recording::{Recording, launch};

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts the requests of each thread.
struct Counting;

// SAFETY: hands everything on to the system's allocator; a counter without a destructor allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MADE.set(MADE.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        MADE.set(MADE.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The result of `work`, and the number of its allocations.
fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = MADE.get();
    let result = work();
    (result, MADE.get() - before)
}

fn samples(exposition: &[u8]) -> u64 {
    let lines = exposition.split(|byte| *byte == b'\n');
    let is_sample = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"#");
    lines.filter(is_sample).count() as u64
}

/// Allocations of a scrape of `processes` that have not run since the one before, and its samples.
fn scrape_of_idle(processes: u32) -> (u64, u64) {
    let tasks = Recording::new(processes).tasks();
    let mut node = Node::new();
    for _ in 0..3 {
        node.scrape(&tasks);
    }
    let (exposition, allocations) = counted(|| node.scrape(&tasks));
    (allocations, samples(&exposition))
}

#[test]
fn a_scrape_of_an_idle_node_allocates_less_than_a_thousand_times_and_once_a_sample() {
    let (allocations, samples) = scrape_of_idle(1000);
    println!("{allocations} allocations for {samples} samples");
    assert!(samples > 1000, "{samples} samples are not a node");
    assert!(
        allocations < 1000 + samples,
        "{allocations} allocations for {samples} samples"
    );
}

#[test]
fn processes_that_do_not_run_cost_no_allocation() {
    let (few, _) = scrape_of_idle(1000);
    let (many, _) = scrape_of_idle(4000);
    println!("{few} allocations for 1,000 processes, {many} for 4,000");
    assert!(many < few + 100, "{few} for 1,000, {many} for 4,000");
}

#[test]
fn a_launch_allocates_a_few_times() {
    const LAUNCHES: u32 = 1000;
    let mut node = Node::new();
    node.scrape(&Recording::new(100).tasks());
    let records: Vec<_> = (0..LAUNCHES).flat_map(launch).collect();
    let ((), allocations) = counted(|| node.drain(&records));
    println!(
        "{} allocations a launch",
        allocations as f64 / f64::from(LAUNCHES)
    );
    assert!(allocations < 25 * u64::from(LAUNCHES), "{allocations}");
}
