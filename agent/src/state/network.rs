//! The payload of sockets in a pass: read before it, booked after it.

use super::Pipeline;
use crate::process::NetworkReading;

impl Pipeline {
    /// Reads the traffic of sockets; `None` if it is not counted, or cannot be read.
    pub(super) fn read_network(&mut self) -> Option<NetworkReading> {
        let reading = self.observer.network(self.host.now_ns());
        reading.unwrap_or_else(|error| {
            log::error!("cannot read the payload of sockets: {error}");
            self.notes.error = Some(error.to_string());
            None
        })
    }

    /// Books a reading of sockets. Processes that own sockets have their present accounts by now.
    pub(super) fn book_network(&mut self, reading: &NetworkReading) {
        let Self {
            observer,
            table,
            grouper,
            ..
        } = self;
        let idle = table.book_network(reading, grouper);
        grouper.measure_network(table.living_sockets(reading));
        observer.forget_network(idle);
    }
}
