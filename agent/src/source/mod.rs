//! The sources of facts: the kernel programs and `/proc`. Each fact comes from the kernel, else from `/proc`, else it is
//! absent.
//!
//! In: kernel maps and files of the node. Out: passes, events, facts and statistics, all through [`Observer`]. Booking and
//! grouping are left to `process` and `group`.

mod bound;
pub mod bpf;
mod cgroup_tree;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hidden;
mod names;
mod observer;
mod pod_link;
mod pods;
pub mod procfs;
mod smaps;
mod split;
mod statistics;
mod switch;
mod thread_state;
mod users;

pub use error::Error;
pub use names::NamesById;
pub use observer::Observer;
pub use procfs::{Away, NodeReading};
pub use smaps::Smaps;
pub use statistics::{
    Balances, ExitHook, Fact, HiddenStatistics, KernelTotals, MapStatistics, NodeCounts, Origin,
    ProgramStatistics, RUN_QUEUE_BOUNDS, RunQueueStatistics, RunQueueWaits, SelfTest, Sides,
    SmapsStatistics, SourceStatistics, Tier,
};
pub use users::UserNames;
