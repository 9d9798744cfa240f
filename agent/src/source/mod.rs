//! The sources of facts: the kernel programs and `/proc`. Each fact comes from the kernel, else from `/proc`, else it is
//! absent.
//!
//! In: kernel maps and files of the node. Out: passes, events, facts and statistics, all through [`Observer`]. Booking and
//! grouping are left to `process` and `group`.

pub mod bpf;
mod cgroup_tree;
mod error;
mod facts;
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
mod users;

pub use error::SourceError;
pub use facts::{ExitHook, Fact, Origin, Tier};
pub use names::NamesById;
pub use observer::Observer;
pub use procfs::{Away, NodeReading};
pub use smaps::Smaps;
pub use statistics::{
    Balances, HiddenStatistics, KernelTotals, MapStatistics, NodeCounts, ProgramStatistics,
    RUN_QUEUE_BOUNDS, RunQueueStatistics, RunQueueWaits, SelfTest, Sides, SmapsStatistics,
    SourceStatistics,
};
pub use users::UserNames;
