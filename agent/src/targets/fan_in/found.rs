//! The instances that one file shows, and what of it cannot be used.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::table::{APPLICATION_LABELS, FanInApplication, FanInInstance, RoutedInstance};

/// Most instances of all files together; [`FoundInstances::omitted`] counts the rest. With its texts an instance takes about 1.5
/// KiB.
pub(super) const MOST_INSTANCES: usize = 20_000;
/// Most bytes of the texts of one file's instances; [`FoundInstances::omitted`] counts the rest. A route, and the labels of a group, are
/// kept with each of their instances.
pub(super) const MOST_TEXT: usize = 64 << 20;
/// The label whose value is the address.
pub(super) const INSTANCE: &str = "instance";

/// The content of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FoundInstances {
    pub(super) instances: Vec<RoutedInstance>,
    /// Entries that name no instance that can be asked.
    pub(super) unusable: u64,
    /// The first of them, and why.
    pub(super) example: Option<String>,
    /// Entries beyond [`MOST_INSTANCES`].
    pub(super) omitted: u64,
    /// Whether some of them are left out because of other files, so that they may fit again.
    pub(super) is_cut: bool,
    /// Bytes of the texts of the instances.
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
    /// When an entry expires that lives this long after the file was written; `None`: never, or not within centuries.
    pub(super) fn expiry(self, ttl: Duration) -> Option<Instant> {
        self.now.checked_add(ttl.saturating_sub(self.age))
    }
}

impl FoundInstances {
    pub(super) fn add(&mut self, route: &str, instance: FanInInstance) {
        self.share(route, &Arc::new(instance));
    }

    /// Adds an instance that others share.
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

    /// Leaves out all but this number. Returns how many more there could be.
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
        self.example.get_or_insert_with(|| {
            let entry: String = entry.chars().take(60).collect();
            format!("{entry:?}: {why}")
        });
    }

    /// The same value for all instances of an application.
    pub(super) fn application(&mut self, application: FanInApplication) -> Arc<FanInApplication> {
        if let Some(known) = self.applications.get(&application) {
            return Arc::clone(known);
        }
        let application = Arc::new(application);
        self.applications.insert(Arc::clone(&application));
        application
    }
}

/// The labels of an application's instances.
pub(super) fn application_labels(
    application: &FanInApplication,
) -> impl Iterator<Item = (&'static str, &str)> {
    APPLICATION_LABELS.into_iter().zip(application.values())
}
