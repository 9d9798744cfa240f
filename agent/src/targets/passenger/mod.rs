//! Phusion Passenger: the state of its application pools, by the admin interface of each running instance.
//!
//! ```text
//! find: files of instances --> kind: asks /pool.xml and /server.json --> pool, server (parsers) --> totals, families
//! ```
//!
//! Contract: docs/dev/passenger.md.

mod document;
#[cfg(test)]
mod examples;
mod families;
mod find;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod instance;
mod kind;
mod names;
mod pool;
#[cfg(test)]
mod pool_tests;
mod properties;
mod server;
mod share;
mod text;
mod totals;
mod workers;
mod xml;
#[cfg(test)]
mod xml_tests;

use families::PassengerFamilies;
use kind::Passenger;

use super::{KindRow, outcomes};

const NAME: &str = "passenger";

pub(super) const ROW: KindRow = KindRow {
    name: NAME,
    comms: &["PassengerAgent"],
    descriptors: || {
        let own = PassengerFamilies::descriptors();
        // METRICS.md lists those of all kinds here.
        own.chain(outcomes::DESCRIPTORS).collect()
    },
    reads_others: |_| true,
    is_enabled: |settings| settings.passenger.is_some(),
    eighths: 7,
    start: |settings, environment, most_bytes| {
        let settings = settings.passenger.as_ref()?;
        Some(Box::new(Passenger::new(settings, environment, most_bytes)))
    },
};
