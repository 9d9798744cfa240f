//! Fan-in: one answer for all instances of an application.
//!
//! ```text
//! sources (files) --parsers (pure)--> table --look-up--> the instances to ask
//! ```
//!
//! In come the section `fan_in` of the configuration and the files that it names; out comes the table of instances.

#![allow(dead_code)] // until the source reads them

mod found;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod routes;
pub(crate) mod table;
