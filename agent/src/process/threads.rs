//! The threads of one process between two passes.
//!
//! The kernel forgets what a dead thread waited for a CPU, and `/proc` what it switched; the last value seen of each
//! is retained here, so that the process's sum never falls.

use super::{Counters, State, Switches, ThreadSample};
use std::sync::Arc;

/// One live thread beside the main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) sample: ThreadSample,
    /// Value of `ran_marker` when the wait channel was read; `None`: never.
    pub(super) probed: Option<u64>,
    pub(super) wchan: Option<Arc<str>>,
}

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Threads {
    pub(super) live: Vec<Thread>,
    retained: Sums,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sums {
    wait_ns: u64,
    switches: Switches,
}

impl Sums {
    fn add(&mut self, sample: &ThreadSample) {
        self.wait_ns = self
            .wait_ns
            .saturating_add(sample.run_queue_wait_ns.unwrap_or(0));
        let switches = sample.switches.unwrap_or_default();
        self.switches.add(switches);
    }
}

impl Threads {
    /// Takes over what a pass saw; `samples` are sorted by tid. What is known of those still there is kept.
    pub(super) fn update(&mut self, samples: &[ThreadSample]) {
        if samples.is_empty() && self.live.is_empty() {
            return;
        }
        let mut old = std::mem::take(&mut self.live).into_iter().peekable();
        self.live.reserve_exact(samples.len());
        for sample in samples {
            while let Some(gone) = old.next_if(|thread| thread.sample.tid < sample.tid) {
                self.retained.add(&gone.sample);
            }
            let known = old.next_if(|thread| thread.sample.tid == sample.tid);
            let same = known.filter(|thread| {
                let is_same = thread.sample.start_ns == sample.start_ns;
                if !is_same {
                    self.retained.add(&thread.sample);
                }
                is_same
            });
            let (probed, wchan) = same.map_or((None, None), |thread| (thread.probed, thread.wchan));
            self.live.push(Thread {
                sample: *sample,
                probed,
                wchan,
            });
        }
        for gone in old {
            self.retained.add(&gone.sample);
        }
    }

    /// `counters` of the process with what only its threads know.
    pub(super) fn complete(&self, mut counters: Counters) -> Counters {
        let mut sums = self.retained;
        for thread in &self.live {
            sums.add(&thread.sample);
        }
        if let Some(wait_ns) = &mut counters.run_queue_wait_ns {
            *wait_ns = wait_ns.saturating_add(sums.wait_ns);
        }
        if let Some(switches) = &mut counters.switches {
            switches.add(sums.switches);
        }
        counters
    }

    /// States of these threads.
    pub(super) fn states(&self) -> impl Iterator<Item = State> + '_ {
        self.live.iter().map(|thread| thread.sample.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32, start_ns: u64, voluntary: u64) -> ThreadSample {
        ThreadSample {
            tgid: 1,
            tid,
            start_ns,
            state: State::Sleeping,
            ran_marker: 0,
            run_queue_wait_ns: None,
            switches: Some(Switches {
                voluntary,
                nonvoluntary: 0,
            }),
        }
    }

    fn total(threads: &Threads, main: u64) -> u64 {
        let switches = Some(Switches {
            voluntary: main,
            nonvoluntary: 0,
        });
        let counters = Counters {
            switches,
            ..Counters::default()
        };
        threads.complete(counters).switches.unwrap().voluntary
    }

    #[test]
    fn what_a_dead_thread_did_stays() {
        // The contract's H17: 10+10, then 20+30, then the second replaced by a new one with 5.
        let mut threads = Threads::default();
        threads.update(&[thread(2, 1, 10)]);
        assert_eq!(total(&threads, 10), 20);
        threads.update(&[thread(2, 1, 30)]);
        assert_eq!(total(&threads, 20), 50);
        threads.update(&[thread(3, 2, 5)]);
        assert_eq!(total(&threads, 25), 60);
        threads.update(&[]);
        assert_eq!(total(&threads, 25), 60);
    }

    #[test]
    fn a_reused_thread_id_is_another_thread() {
        let mut threads = Threads::default();
        threads.update(&[thread(2, 1, 10)]);
        threads.update(&[thread(2, 9, 1)]);
        assert_eq!(total(&threads, 0), 11);
    }
}
