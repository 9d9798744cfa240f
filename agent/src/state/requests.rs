//! HTTP requests in a pass: read before it, booked after it. Which of them count, the configuration says.

use super::Pipeline;
use crate::group::Classifier;
use crate::process::RequestReading;

/// Refuses a configuration that counts requests, where the programs for it were not loaded.
pub(super) fn refuse_late(classifier: &Classifier, pipeline: &Pipeline) -> Result<(), String> {
    if !classifier.counts_requests() || pipeline.observer.wants_requests() {
        return Ok(());
    }
    Err(
        "http: no item had it at the start, and kernel programs are loaded only then; restart the agent"
            .to_owned(),
    )
}

impl Pipeline {
    /// Reads the HTTP requests that processes have served; `None` if they are not counted, or cannot be read.
    pub(super) fn read_requests(&mut self) -> Option<RequestReading> {
        self.observer.requests().unwrap_or_else(|error| {
            log::error!("HTTP requests cannot be read: {error}");
            self.notes.error = Some(error.to_string());
            None
        })
    }

    /// Books a reading of requests, and sets which processes the kernel programs watch. Without a reading, no single process is shown.
    pub(super) fn book_requests(&mut self, reading: Option<&RequestReading>) {
        let Self {
            observer,
            table,
            grouper,
            ..
        } = self;
        let Some(reading) = reading else {
            return grouper.list_servers(std::iter::empty());
        };
        let gone = table.book_requests(reading, grouper);
        grouper.measure_in_flight(table.serving());
        grouper.list_servers(table.living_servers());
        let live = table.live().map(|one| (one.id(), one.account()));
        let outsiders = live.filter(|(_, account)| grouper.is_unwatched(*account));
        observer.watch_requests(gone, outsiders);
    }
}
