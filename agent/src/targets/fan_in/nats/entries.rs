//! The entries that components have announced on the bus and that have not expired. Pure.
//!
//! In: the instances of messages. Out: all live entries. An entry is an address under a route; a later message for the same
//! address and route replaces it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::found::{FoundInstances, MOST_INSTANCES, MOST_TEXT};
use super::super::table::{FanInInstance, RoutedInstance};
use crate::config::HostPort;

/// The shortest time between two searches for expired entries in a full table.
const PURGE: Duration = Duration::from_secs(1);

/// The entries: at most [`MOST_INSTANCES`], with [`MOST_TEXT`] bytes of texts. When they are full, further ones are refused.
#[derive(Debug, Default)]
pub(super) struct BusEntries {
    entries: BTreeMap<(String, HostPort), Arc<FanInInstance>>,
    /// Bytes of the entries' texts.
    text: usize,
    /// Number of changes so far.
    revision: u64,
    purged: Option<Instant>,
}

impl BusEntries {
    /// Adds or replaces an entry. Returns false if there is no room for it.
    pub(super) fn register(&mut self, routed: RoutedInstance, now: Instant) -> bool {
        let RoutedInstance { route, instance } = routed;
        let key = (route, instance.address.clone());
        if !self.has_room(&key, &instance) {
            if self.purged.is_some_and(|last| now < last + PURGE) {
                return false;
            }
            self.purge(now);
            if !self.has_room(&key, &instance) {
                return false;
            }
        }
        let route = key.0.len();
        self.text += size(&key.0, &instance);
        let former = self.entries.insert(key, instance);
        self.text -= former.map_or(0, |former| route + former.text());
        self.revision += 1;
        true
    }

    /// Removes an entry.
    pub(super) fn unregister(&mut self, routed: RoutedInstance) {
        let key = (routed.route, routed.instance.address.clone());
        if let Some(former) = self.entries.remove(&key) {
            self.text -= size(&key.0, &former);
            self.revision += 1;
        }
    }

    /// The number of changes, and the live entries; `None` if the number is still `known`.
    pub(super) fn changed(
        &mut self,
        known: Option<u64>,
        now: Instant,
    ) -> Option<(u64, FoundInstances)> {
        self.purge(now);
        if known == Some(self.revision) {
            return None;
        }
        let mut found = FoundInstances::default();
        for ((route, _), instance) in &self.entries {
            found.share(route, instance);
        }
        Some((self.revision, found))
    }

    fn has_room(&self, key: &(String, HostPort), instance: &FanInInstance) -> bool {
        let former = self.entries.get(key);
        let freed = former.map_or(0, |former| size(&key.0, former));
        let is_within = former.is_some() || self.entries.len() < MOST_INSTANCES;
        is_within && self.text - freed + size(&key.0, instance) <= MOST_TEXT
    }

    /// Removes expired entries.
    fn purge(&mut self, now: Instant) {
        let (before, text) = (self.entries.len(), &mut self.text);
        self.entries.retain(|(route, _), instance| {
            let is_live = instance.is_live(now);
            if !is_live {
                *text -= size(route, instance);
            }
            is_live
        });
        self.revision += u64::from(self.entries.len() < before);
        self.purged = Some(now);
    }
}

/// Bytes of an entry's texts.
fn size(route: &str, instance: &FanInInstance) -> usize {
    route.len() + instance.text()
}

#[cfg(test)]
mod tests {
    use super::super::message::parse;
    use super::*;

    /// The instances of a message with these routes.
    fn message(
        address: u32,
        routes: &[&str],
        life: u64,
        name: &str,
        now: Instant,
    ) -> Vec<RoutedInstance> {
        let host = std::net::Ipv4Addr::from(address);
        let message = serde_json::json!({
            "host": host.to_string(),
            "port": 80,
            "uris": routes,
            "stale_threshold_in_seconds": life,
            "tags": {"app_id": "a", "app_name": name},
        });
        parse(message.to_string().as_bytes(), now)
            .unwrap()
            .instances
    }

    fn register(entries: &mut BusEntries, messages: Vec<RoutedInstance>, now: Instant) -> usize {
        let messages = messages.into_iter();
        messages
            .filter(|one| entries.register(one.clone(), now))
            .count()
    }

    fn shown(entries: &mut BusEntries, now: Instant) -> Vec<String> {
        let (_, found) = entries.changed(None, now).unwrap();
        let shown = found.instances.iter().map(|one| {
            let name = &one.instance.application.name;
            format!("{} {} {name}", one.route, one.instance.address)
        });
        shown.collect()
    }

    const ONE: u32 = 0x0a00_0001;

    #[test]
    fn later_message_replaces_the_entry_and_unregister_removes_it() {
        let (now, mut entries) = (Instant::now(), BusEntries::default());
        register(&mut entries, message(ONE, &["a", "b"], 60, "old", now), now);
        register(
            &mut entries,
            message(ONE + 1, &["a"], 60, "other", now),
            now,
        );
        let (revision, _) = entries.changed(None, now).unwrap();
        assert!(entries.changed(Some(revision), now).is_none());
        register(&mut entries, message(ONE, &["a"], 60, "new", now), now);
        assert!(entries.changed(Some(revision), now).is_some());
        assert_eq!(
            shown(&mut entries, now),
            [
                "a 10.0.0.1:80 new",
                "a 10.0.0.2:80 other",
                "b 10.0.0.1:80 old"
            ]
        );
        for gone in message(ONE, &["a", "b", "c"], 60, "x", now) {
            entries.unregister(gone);
        }
        assert_eq!(shown(&mut entries, now), ["a 10.0.0.2:80 other"]);
        for gone in message(ONE + 1, &["a"], 60, "", now) {
            entries.unregister(gone);
        }
        assert_eq!((shown(&mut entries, now), entries.text), (Vec::new(), 0));
    }

    #[test]
    fn entry_that_is_not_registered_again_expires() {
        let (now, mut entries) = (Instant::now(), BusEntries::default());
        let later = now + Duration::from_secs(50);
        register(&mut entries, message(ONE, &["a", "b"], 60, "", now), now);
        register(&mut entries, message(ONE, &["b"], 60, "", later), later);
        let (revision, _) = entries.changed(None, later).unwrap();
        let after = now + Duration::from_secs(60);
        let (_, found) = entries.changed(Some(revision), after).unwrap();
        assert_eq!(found.instances.len(), 1);
        assert_eq!(shown(&mut entries, after), ["b 10.0.0.1:80 "]);
        let end = now + Duration::from_secs(110);
        assert_eq!((shown(&mut entries, end), entries.text), (Vec::new(), 0));
    }

    #[test]
    fn full_table_refuses_new_entries_until_others_expire() {
        let (now, mut entries) = (Instant::now(), BusEntries::default());
        for number in 0..u32::try_from(MOST_INSTANCES).unwrap() {
            let life = if number == 0 { 10 } else { 60 };
            assert_eq!(
                register(
                    &mut entries,
                    message(ONE + number, &["a"], life, "", now),
                    now
                ),
                1
            );
        }
        let new = || message(1, &["b"], 60, "", now);
        assert_eq!(register(&mut entries, new(), now), 0);
        assert_eq!(
            register(&mut entries, message(ONE, &["a"], 10, "again", now), now),
            1
        );
        let later = now + Duration::from_secs(10);
        assert_eq!(register(&mut entries, new(), later), 1);
        assert_eq!(
            register(&mut entries, message(2, &["b"], 60, "", now), later),
            0
        );
        assert_eq!(shown(&mut entries, later).len(), MOST_INSTANCES);
    }

    #[test]
    fn entries_beyond_the_bytes_of_texts_are_refused() {
        let (now, mut entries) = (Instant::now(), BusEntries::default());
        let name = "n".repeat(50_000);
        let taken = (0..3_000).map(|number| {
            register(
                &mut entries,
                message(ONE + number, &["a"], 60, &name, now),
                now,
            )
        });
        let taken: usize = taken.sum();
        assert_eq!(
            taken,
            MOST_TEXT / size("a", &message(ONE, &["a"], 60, &name, now)[0].instance)
        );
        assert_eq!(shown(&mut entries, now).len(), taken);
    }
}
