//! The agent as a process of this system: signals, messages to the service manager, memory that only the start needs,
//! and the limit of open files.
//!
//! In: signals, `NOTIFY_SOCKET` and `WATCHDOG_USEC`. Out: messages to the service manager. The reaction to a signal or a message
//! is left to the callers.

pub(crate) mod descriptors;
pub mod memory;
mod notify;
pub mod signals;

pub(crate) use notify::Manager;
