//! Fan-in: one answer for all instances of an application.
//!
//! ```text
//! sources: files --parsers (pure)--> table --look-up--> the instances to ask
//! ```
//!
//! In come the section `fan_in` of the configuration and the files that it names; out comes the table of instances. Without a source in the
//! configuration there is no table, and nothing is asked.

mod file_sd;
mod file_source;
mod found;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod kind;
mod routes;
#[allow(dead_code)] // until instances are asked
pub(crate) mod sources;
#[allow(dead_code)] // until instances are asked
pub(crate) mod table;

use std::rc::Rc;

use kind::FanIn;

use super::KindRow;

const NAME: &str = "fan_in";

pub(super) const ROW: KindRow = KindRow {
    name: NAME,
    comms: &[],
    descriptors: || sources::DESCRIPTORS.to_vec(),
    reads_others: false,
    is_enabled: |settings| settings.fan_in.is_some(),
    start: |_, environment| {
        let sources = environment.sources.as_ref()?;
        Some(Box::new(FanIn(Rc::clone(sources))))
    },
};
