//! Fuzz target for the messages on the bus: any bytes.

use std::time::{Duration, Instant};

use super::super::found::ReadTime;
use super::super::fuzzing::assert_usable;
use super::entries::BusEntries;
use super::message::parse;

/// Parses the input as a message. Asserts that each of its instances can be asked, lives at most as long as the entries of
/// routers, and is gone once a message unregisters it.
pub(crate) fn fan_in_nats(input: &[u8]) {
    let read = ReadTime {
        now: Instant::now(),
        age: Duration::ZERO,
    };
    let Ok(found) = parse(input, read.now) else {
        return;
    };
    let mut entries = BusEntries::default();
    let longest = Duration::from_secs(120);
    for routed in &found.instances {
        let expires = routed.instance.expires;
        assert!(expires.is_some_and(|at| at > read.now && at <= read.now + longest));
        assert!(!routed.instance.application.id.is_empty());
        assert!(entries.register(routed.clone(), read.now));
    }
    let (revision, shown) = entries.changed(None, read.now).unwrap_or_default();
    assert!(shown.instances.len() <= found.instances.len());
    for routed in &found.instances {
        entries.unregister(routed.clone());
    }
    if let Some((_, left)) = entries.changed(Some(revision), read.now) {
        assert!(left.instances.is_empty());
    }
    assert_usable(found, read);
}
