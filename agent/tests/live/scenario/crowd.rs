//! Many at once.

use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::number;
use super::worker::read_line;
use crate::process;

/// `COUNT`: so many threads beside the first one, each under a name of its own. Reports when they are there, and waits for a
/// line, or the end of its input.
pub(super) fn crowd(arguments: &[String]) {
    let count = number(&arguments[0]);
    process::idle_threads(usize::try_from(count).unwrap());
    println!("there {count}");
    read_line();
    process::exit(0);
}

/// The counts that all processes of a bomb share.
struct Tally {
    forks: AtomicU64,
    refused: AtomicU64,
}

/// `COUNT`: waits for a line; then it forks, and each child forks, too, until there were so many. A refused process waits for
/// a child of its own, or ends if it has none: so there is always room again, and no process is left. Reports how many there
/// were, and how many more would have been.
pub(super) fn bomb(arguments: &[String]) {
    let tally = shared();
    read_line();
    explode(tally, number(&arguments[0]));
    println!("forks {}", tally.forks.load(Relaxed));
    println!("refused {}", tally.refused.load(Relaxed));
}

fn explode(tally: &'static Tally, count: u64) {
    let mut children = 0_u64;
    while tally.forks.load(Relaxed) < count {
        if process::try_fork(|| explode(tally, count)).is_some() {
            tally.forks.fetch_add(1, Relaxed);
            children += 1;
            continue;
        }
        tally.refused.fetch_add(1, Relaxed);
        if children == 0 {
            return;
        }
        process::reap_any();
        children -= 1;
    }
    for _ in 0..children {
        process::reap_any();
    }
}

/// In memory that a fork shares; all bytes are zero at first.
pub(super) fn shared<T>() -> &'static T {
    // SAFETY: a mapping of our own, which stays; all bytes zero are a value of the types that it is used for.
    unsafe {
        let memory = libc::mmap(
            ptr::null_mut(),
            size_of::<T>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(memory, libc::MAP_FAILED, "mmap");
        &*memory.cast::<T>()
    }
}
