//! Fan-in: one answer for all instances of an application.
//!
//! ```text
//! sources (files) --parsers (pure)--> table --look-up--> the instances to ask
//! ```
//!
//! In come the section `fan_in` of the configuration and the files that it names; out comes the table of instances.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the sources of instances fill it")
)]
pub(crate) mod table;
