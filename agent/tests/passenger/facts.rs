//! The series that an instance should have, from its own documents.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document::Element;
use super::instance::Instance;

/// Series by name and labels, as [`series`] writes them.
pub(crate) type Series = BTreeMap<String, f64>;

/// The states of the processes of an application.
const STATES: [&str; 6] = [
    "enabled",
    "disabling",
    "disabled",
    "detached",
    "spawning",
    "shutting_down",
];
/// Kinds of memory, and the elements that hold them in kB.
const MEMORY: [(&str, &str); 5] = [
    ("real", "real_memory"),
    ("resident", "rss"),
    ("proportional", "pss"),
    ("private_dirty", "private_dirty"),
    ("swap", "swap"),
];

/// The facts in the documents of one instance at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    /// Series whose value is in the documents.
    pub(crate) exact: Series,
    /// Totals of living processes: the series may also count ended ones.
    pub(crate) totals: Series,
    /// The four families of the original, by the name of the application, without the label `name`.
    pub(crate) original: BTreeMap<String, Series>,
}

impl Facts {
    /// Reads both documents; `None` while the instance does not answer.
    pub(crate) fn read(instance: &Instance) -> Option<Self> {
        let (pool, server) = (instance.pool()?, instance.server()?);
        let mut facts = Self::of_pool(&instance.name, &pool);
        facts.add_server(&instance.name, &server);
        Some(facts)
    }

    /// The facts in the pool's document.
    pub(crate) fn of_pool(instance: &str, pool: &Element) -> Self {
        let mut facts = Self {
            exact: Series::new(),
            totals: Series::new(),
            original: BTreeMap::new(),
        };
        for (family, element) in [
            ("passenger_max_processes", "max"),
            ("passenger_capacity_used", "capacity_used"),
            ("passenger_wait_list_size", "get_wait_list_size"),
        ] {
            let value = pool.number(element).unwrap();
            let key = series(family, &[("passenger_instance", instance)]);
            facts.exact.insert(key, value);
        }
        let groups: Vec<&Element> = pool
            .all("group")
            .filter(|group| group.child("app_root").is_some())
            .collect();
        for group in &groups {
            let name = full_name(group);
            let same = groups
                .iter()
                .filter(|other| short(full_name(other)) == short(name));
            let name = match same.count() {
                1 => short(name),
                _ => name,
            };
            facts.add_group(instance, group, name);
        }
        facts
    }

    fn add_group(&mut self, instance: &str, group: &Element, name: &str) {
        let labels = [("passenger_instance", instance), ("name", name)];
        let key = |family: &str| series(family, &labels);
        let processes: Vec<&Element> = group.all("process").collect();
        let sum = |element: &str| -> f64 {
            let values = processes
                .iter()
                .map(|process| process.number(element).unwrap());
            values.sum()
        };
        let waiting = group.number("get_wait_list_size").unwrap();
        self.exact
            .insert(key("passenger_app_wait_list_size"), waiting);
        self.exact
            .insert(key("passenger_app_busy_sessions"), sum("sessions"));
        self.totals
            .insert(key("passenger_app_requests_total"), sum("processed"));
        let count = processes.len() as f64;
        self.totals
            .insert(key("passenger_app_processes_spawned_total"), count);
        for state in STATES {
            let count = match state {
                "spawning" => group.number("processes_being_spawned").unwrap(),
                _ => processes
                    .iter()
                    .filter(|process| state_of(process) == state)
                    .count() as f64,
            };
            let labels = [labels[0], labels[1], ("state", state)];
            self.exact
                .insert(series("passenger_app_processes", &labels), count);
        }
        for (memtype, element) in MEMORY {
            let known = processes
                .iter()
                .filter_map(|process| known_memory(process, element));
            let labels = [labels[0], labels[1], ("memtype", memtype)];
            if let Some(sum) = known.reduce(|sum, bytes| sum + bytes) {
                self.exact
                    .insert(series("passenger_app_memory_bytes", &labels), sum);
            }
        }
        let busy = processes
            .iter()
            .filter(|process| process.number("sessions") > Some(0.0));
        let oldest = busy
            .map(|process| process.number("last_used").unwrap())
            .reduce(f64::min);
        if let Some(oldest) = oldest {
            let key = key("passenger_app_oldest_busy_last_used_timestamp_seconds");
            self.exact.insert(key, oldest / 1e6);
        }
        self.original
            .insert(name.to_owned(), original(group, &processes));
    }

    fn add_server(&mut self, instance: &str, server: &Value) {
        let threads = server
            .as_object()
            .unwrap()
            .values()
            .filter(|value| value.is_object());
        let threads: Vec<&Value> = threads.collect();
        for (family, pointer) in [
            (
                "passenger_clients_accepted_total",
                "/total_clients_accepted",
            ),
            ("passenger_requests_begun_total", "/total_requests_begun"),
            ("passenger_clients_active", "/active_client_count"),
            (
                "passenger_turbocache_fetches_total",
                "/turbocaching/fetches",
            ),
            ("passenger_turbocache_hits_total", "/turbocaching/hits"),
            ("passenger_turbocache_stores_total", "/turbocaching/stores"),
        ] {
            let values = threads.iter().map(|thread| {
                let value = thread.pointer(pointer).and_then(Value::as_f64);
                // A thread whose turbocache is off does not show its counts, which are 0 then.
                assert!(
                    value.is_some() || pointer.starts_with("/turbocaching/"),
                    "{thread}"
                );
                value.unwrap_or_default()
            });
            let key = series(family, &[("passenger_instance", instance)]);
            let of_kind = match family.ends_with("_total") {
                true => &mut self.totals,
                false => &mut self.exact,
            };
            of_kind.insert(key, values.sum());
        }
    }
}

fn full_name(group: &Element) -> &str {
    group.child("name").unwrap()
}

/// The name that the original shows: the last part of the path, with the environment in brackets under Apache.
pub(crate) fn short(name: &str) -> &str {
    name.rsplit_once('/').unwrap().1
}

/// The original's series of an application, without their label `name`.
fn original(group: &Element, processes: &[&Element]) -> Series {
    let waiting = group.number("get_wait_list_size").unwrap();
    let mut found = Series::from([
        ("passenger_go_wait_list_size".to_owned(), waiting),
        (
            "passenger_go_process_count".to_owned(),
            processes.len() as f64,
        ),
    ]);
    for process in processes {
        let pid = [("pid", process.child("pid").unwrap())];
        let processed = process.number("processed").unwrap();
        found.insert(series("passenger_go_process_processed", &pid), processed);
        // The one difference: the original shows 0 for a process that was not measured yet.
        if let Some(bytes) = known_memory(process, "real_memory") {
            found.insert(
                series("passenger_go_process_real_memory_bytes", &pid),
                bytes,
            );
        }
    }
    found
}

/// Bytes, if they were measured.
fn known_memory(process: &Element, element: &str) -> Option<f64> {
    let kilobytes = process.number(element)?;
    (kilobytes >= 0.0).then_some(kilobytes * 1024.0)
}

/// The one state of a process.
fn state_of(process: &Element) -> String {
    match process.child("life_status") {
        Some("ALIVE") => process.child("enabled").unwrap().to_lowercase(),
        _ => "shutting_down".to_owned(),
    }
}

/// Name and labels of a series, the labels in order of their names.
pub(crate) fn series(family: &str, labels: &[(&str, &str)]) -> String {
    let labels: BTreeSet<_> = labels.iter().collect();
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{family}{{{}}}", labels.join(","))
}

/// The same with one more label.
pub(crate) fn with_label(key: &str, label: &str, value: &str) -> String {
    let (family, labels) = parts(key);
    let mut labels: Vec<(&str, &str)> = labels;
    labels.push((label, value));
    series(family, &labels)
}

/// Family and labels of a series whose label values need no escapes.
pub(crate) fn parts(key: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((family, labels)) = key.split_once('{') else {
        return (key, Vec::new());
    };
    let labels = labels.trim_end_matches('}').split("\",");
    let labels = labels.filter_map(|label| {
        let (name, value) = label.split_once("=\"")?;
        Some((name, value.trim_end_matches('"')))
    });
    (family, labels.collect())
}
