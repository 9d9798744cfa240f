//! Sources: the kernel programs and `/proc`, each fact from the best of them that works here.

pub mod bpf;
mod names;
pub mod procfs;
mod statistics;
mod users;

pub use names::Names;
pub use statistics::{
    Fact, KernelTotals, Origin, ProgramStatistics, Rung, SelfTest, Statistics, Tier,
};
pub use users::Users;
