//! Fuzz targets for the parsers of files with instances: any bytes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::found::{FoundInstances, MOST_INSTANCES, ReadTime};
use super::table::{InstanceTable, WantedInstances};
use super::{file_sd, routes};

/// Parses the input as a table of routes. Makes the assertions of [`assert_usable`].
pub(crate) fn fan_in_routes(input: &[u8]) {
    let read = ReadTime {
        now: Instant::now(),
        age: Duration::from_secs(60),
    };
    if let Ok(found) = routes::parse(input, read) {
        assert!(
            found
                .instances
                .iter()
                .all(|one| one.instance.metric_path.is_none())
        );
        assert_usable(found, read);
    }
}

/// Parses the input as JSON and as YAML of `file_sd`. Makes the assertions of [`assert_usable`].
pub(crate) fn fan_in_file_sd(input: &[u8]) {
    let read = ReadTime {
        now: Instant::now(),
        age: Duration::ZERO,
    };
    for found in [file_sd::parse_json(input), file_sd::parse_yaml(input)] {
        match found {
            Ok(found) => assert_usable(found, read),
            Err((line, cause)) => assert!(line > 0 && !cause.is_empty()),
        }
    }
}

/// Asserts that each instance can be asked, has each label once, and is found by its route as long as it lives.
pub(super) fn assert_usable(found: FoundInstances, read: ReadTime) {
    assert!(found.instances.len() <= MOST_INSTANCES);
    assert_eq!(found.unusable > 0, found.example.is_some());
    let table = InstanceTable::of(found.instances.iter().cloned());
    for routed in &found.instances {
        let instance = &routed.instance;
        assert!(instance.address.port() > 0);
        let names = instance.labels.iter().map(|(name, _)| name);
        let names: HashSet<&String> = names.collect();
        assert_eq!(names.len(), instance.labels.len());
        let texts = instance.host.iter().chain(&instance.metric_path);
        assert!(
            texts
                .into_iter()
                .all(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
        );
        let Some(wanted) = WantedInstances::route(&routed.route) else {
            continue;
        };
        let place = (&instance.address, &instance.metric_path);
        let is_found = table.look_up(&wanted, read.now);
        let is_found = is_found
            .iter()
            .any(|one| (&one.address, &one.metric_path) == place);
        assert!(is_found || !instance.is_live(read.now));
    }
}
