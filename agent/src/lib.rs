//! Headcount: what each group of processes on this node costs.
//!
//! ```text
//!                  agent-ebpf                               agent
//!  kernel  --> hooks, maps, iterator --> source/bpf --+
//!  /proc   --------------------------> source/procfs -+--> process --> group --> collector --> exposition --> http
//! ```

pub mod collector;
pub mod config;
pub mod exposition;
pub mod group;
pub mod host;
pub mod http;
pub mod process;
pub mod source;
