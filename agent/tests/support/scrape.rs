//! One exposition, as a test asks for its values.
//!
//! In comes the body of `/metrics`, out come values by family and labels. Label values are given as they are meant; the
//! escaping is done here, so a test of a hostile name reads like one of a plain name.

use std::collections::BTreeMap;

/// Prefix of the families of a group.
const GROUP: &str = "namedprocess_namegroup_";

/// The samples of one exposition.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// As it came.
    pub body: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Takes a body apart; a line that is no sample, a value that is no number or a sample that stands there twice fails.
    pub fn parse(body: String) -> Self {
        let mut samples = BTreeMap::new();
        for line in body.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no value: {line}"));
            let before = samples.insert(key.to_owned(), value);
            assert!(before.is_none(), "twice: {line}");
        }
        Self { body, samples }
    }

    /// The sample of `family` with exactly `labels`.
    pub fn value(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        labels.sort();
        let key = match labels.is_empty() {
            true => family.to_owned(),
            false => format!("{family}{{{}}}", labels.join(",")),
        };
        self.samples.get(&key).copied()
    }

    /// The sample of one of the `namedprocess_namegroup_` families that has no further label.
    pub fn of(&self, group: &str, family: &str) -> Option<f64> {
        self.value(&format!("{GROUP}{family}"), &[("groupname", group)])
    }

    /// The same with one further label.
    pub fn labelled(&self, group: &str, family: &str, label: (&str, &str)) -> Option<f64> {
        self.value(&format!("{GROUP}{family}"), &[("groupname", group), label])
    }

    /// User and system seconds of a group.
    pub fn cpu(&self, group: &str) -> (f64, f64) {
        let mode = |mode| self.labelled(group, "cpu_seconds_total", ("mode", mode));
        (mode("user").unwrap(), mode("system").unwrap())
    }

    /// Voluntary and nonvoluntary switches of a group.
    pub fn switches(&self, group: &str) -> (f64, f64) {
        let kind = |kind| {
            self.labelled(group, "context_switches_total", ("ctxswitchtype", kind))
                .unwrap()
        };
        (kind("voluntary"), kind("nonvoluntary"))
    }

    /// Threads of a group by state: running, sleeping, waiting, zombie, other.
    pub fn states(&self, group: &str) -> [f64; 5] {
        ["Running", "Sleeping", "Waiting", "Zombie", "Other"]
            .map(|state| self.labelled(group, "states", ("state", state)).unwrap())
    }

    /// Every group and its number of processes, by name as it is meant.
    pub fn groups(&self) -> BTreeMap<String, u64> {
        let start = format!("{GROUP}num_procs{{groupname=\"");
        self.samples
            .iter()
            .filter_map(|(key, count)| {
                let name = key.strip_prefix(&start)?.strip_suffix("\"}")?;
                assert!(count.fract() == 0.0 && *count >= 0.0, "{key} {count}");
                Some((unescaped(name), format!("{count}").parse().unwrap()))
            })
            .collect()
    }

    /// Counts of reading errors: no pass, a process not read, a process read in part.
    pub fn errors(&self) -> [f64; 3] {
        ["errors", "procread_errors", "partial_errors"].map(|kind| {
            self.value(&format!("namedprocess_scrape_{kind}"), &[])
                .unwrap()
        })
    }
}

/// Groups and counts as an expectation is written.
pub fn groups(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn unescaped(value: &str) -> String {
    let mut plain = String::new();
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '\\' => match chars.next().unwrap() {
                'n' => '\n',
                escaped => escaped,
            },
            char => char,
        });
    }
    plain
}
