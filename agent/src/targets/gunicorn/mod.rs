//! Gunicorn's control socket (25.1 and later): how many workers an application shall have, and its reloads.
//!
//! ```text
//! arbiters of the state --find: sockets of the process--> its control socket --control: show stats, show workers--> answer --> families
//! ```
//!
//! The same socket takes commands that change the application. The agent knows two commands, and neither does.

mod answer;
mod control;
mod families;
mod find;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod kind;
mod listeners;

use families::ControlFamilies;
use kind::GunicornControl;

use super::KindRow;

/// The collector `gunicorn` is that of the processes.
const NAME: &str = "gunicorn_control";

pub(super) const ROW: KindRow = KindRow {
    name: NAME,
    // The state publishes arbiters.
    comms: &[],
    descriptors: || ControlFamilies::descriptors().collect(),
    reads_others: |_| true,
    is_enabled: |settings| settings.gunicorn,
    eighths: 1,
    start: |settings, environment, most_bytes| {
        let is_enabled = settings.gunicorn;
        is_enabled.then(|| Box::new(GunicornControl::new(environment, most_bytes)) as _)
    },
};
