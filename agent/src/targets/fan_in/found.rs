//! The instances that one file lists, and the counts of its unusable entries.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::table::{APPLICATION_LABELS, FanInApplication, FanInInstance, RoutedInstance};
use crate::config::excerpt;

/// Most instances of all sources together; [`FoundInstances::omitted`] counts the rest. With its texts, an instance takes about
/// 1.5 KiB.
pub(super) const MOST_INSTANCES: usize = 20_000;
/// Most bytes of the texts of one file's instances; [`FoundInstances::omitted`] counts the rest. Each instance has a copy of its
/// route and of the labels of its group.
pub(super) const MOST_TEXT: usize = 64 << 20;
/// The label whose value is the address.
pub(super) const INSTANCE: &str = "instance";

/// The content of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FoundInstances {
    pub(super) instances: Vec<RoutedInstance>,
    /// Entries without an instance that can be asked.
    pub(super) unusable: u64,
    /// The first such entry, and the reason.
    pub(super) example: Option<String>,
    /// Entries beyond [`MOST_INSTANCES`] or [`MOST_TEXT`].
    pub(super) omitted: u64,
    /// Whether instances were left out only because other sources took the room, so that they may fit later.
    pub(super) is_cut: bool,
    /// Bytes of the instances' texts.
    text: usize,
    applications: HashSet<Arc<FanInApplication>>,
}

/// When a file was read, and how old its content was.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadTime {
    pub(super) now: Instant,
    /// Since the file was last written.
    pub(super) age: Duration,
}

impl ReadTime {
    /// When an entry expires whose time to live is `ttl`, counted from the last write of the file; `None`: never, or not within
    /// centuries.
    pub(super) fn expiry(self, ttl: Duration) -> Option<Instant> {
        self.now.checked_add(ttl.saturating_sub(self.age))
    }
}

impl FoundInstances {
    pub(super) fn add(&mut self, route: &str, instance: FanInInstance) {
        self.share(route, &Arc::new(instance));
    }

    /// Adds an instance that is listed under several routes.
    pub(super) fn share(&mut self, route: &str, instance: &Arc<FanInInstance>) {
        let text = self.text + instance.text() + route.len();
        if self.instances.len() == MOST_INSTANCES || text > MOST_TEXT {
            self.omitted += 1;
            return;
        }
        self.text = text;
        let (route, instance) = (route.to_owned(), Arc::clone(instance));
        self.instances.push(RoutedInstance { route, instance });
    }

    /// Leaves out all instances after the first `room`. Returns the room that is left.
    pub(super) fn cut(&mut self, room: usize) -> usize {
        let beyond = self.instances.len().saturating_sub(room);
        self.instances.truncate(room);
        self.omitted += beyond as u64;
        self.is_cut |= beyond > 0;
        room - self.instances.len()
    }

    /// Counts an entry that cannot be used.
    pub(super) fn refuse(&mut self, entry: &str, why: &str) {
        self.unusable += 1;
        self.example
            .get_or_insert_with(|| format!("{:?}: {why}", excerpt(entry)));
    }

    /// Returns one shared value for all equal applications, so that their instances share its memory.
    pub(super) fn application(&mut self, application: FanInApplication) -> Arc<FanInApplication> {
        if let Some(known) = self.applications.get(&application) {
            return Arc::clone(known);
        }
        let application = Arc::new(application);
        self.applications.insert(Arc::clone(&application));
        application
    }
}

/// The labels that the application gives to each of its instances.
pub(super) fn application_labels(
    application: &FanInApplication,
) -> impl Iterator<Item = (&'static str, &str)> {
    APPLICATION_LABELS.into_iter().zip(application.values())
}
