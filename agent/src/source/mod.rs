//! Sources: the kernel programs and `/proc`, each fact from the best of them that works here.

pub mod bpf;
pub mod procfs;
mod statistics;
pub mod users;

pub use statistics::{
    Fact, KernelTotals, Origin, ProgramStatistics, Rung, SelfTest, Statistics, Tier,
};
