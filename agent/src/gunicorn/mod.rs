//! Gunicorn's applications on this node: their arbiters and workers, how many workers started and how they ended, and what each
//! living worker uses and has served.
//!
//! ```text
//! exec record of gunicorn       an arbiter begins
//! fork record of a tracked one  a child is tracked; another exec drops it (a program that Gunicorn starts, or a new arbiter: USR2)
//! facts of a process (/proc)    title and name; processes that are older than the agent
//! exit record                   the end of a member, with its reason
//! pass (settle)                 roles are decided, starts and ends are booked to applications, the view is made
//! ```
//!
//! A child that an arbiter forks and that starts no other program is a worker, with any title and worker class. What workers fork
//! is no worker. An application is shown once the group of one of its processes counts HTTP requests. Its counts never fall: they
//! belong to the name, so arbiters of one name are one application.
//!
//! In: records, facts of processes, the processes of a pass, and a reading of requests. Out: a [`GunicornView`] for the
//! collector. This module does no I/O and reads no clock.

mod command;
mod cpu;
mod member;
mod view;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use member::WorkerEnd;
pub use view::{ApplicationRow, GunicornView, WorkerRow};
pub use watch::{GunicornWatch, Seen, Sight};
