//! Counts of exchanges by method and class of status, from any side.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The methods that have a name in the agent's label.
const NAMED: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
pub(crate) const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other",
];
pub(crate) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"];

/// Method and class of status, as the agent's labels have them.
pub(crate) type Counts = BTreeMap<(&'static str, &'static str), u64>;

pub(crate) fn method(word: &str) -> &'static str {
    let named = NAMED.iter().find(|name| **name == word);
    named.unwrap_or(&"other")
}

pub(crate) fn class(status: u16) -> &'static str {
    CLASSES[usize::from(status / 100) - 1]
}

/// The exchanges that a client has seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// For each response: it took the server at least so long, and the client saw it after so long.
    pub(crate) durations: Vec<(Duration, Duration)>,
    /// Connections that ended without a response.
    pub(crate) unanswered: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, word: &str, status: u16, least: Duration, most: Duration) {
        *self
            .counts
            .entry((method(word), class(status)))
            .or_default() += 1;
        self.durations.push((least, most));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.durations.extend(other.durations);
        self.unanswered += other.unanswered;
    }

    pub(crate) fn responses(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The counts of a file with a line for each exchange: `GET 200`, or a sentence with `"GET /path HTTP/1.1" 200` in it. Lines of
/// another form are not about exchanges.
pub(crate) fn logged(file: &Path) -> Counts {
    let mut counts = Counts::new();
    let text = fs::read_to_string(file).unwrap_or_default();
    for (word, status) in text.lines().filter_map(exchange) {
        *counts.entry((method(word), class(status))).or_default() += 1;
    }
    counts
}

fn exchange(line: &str) -> Option<(&str, u16)> {
    let (word, rest) = match line.split_once('"') {
        Some((_, request)) => {
            let (request, rest) = request.split_once('"')?;
            (request.split(' ').next()?, rest)
        }
        None => line.split_once(' ')?,
    };
    let is_method = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let status = rest.trim_start().split(' ').next()?.parse().ok()?;
    (is_method && (100..600).contains(&status)).then_some((word, status))
}

#[test]
fn lines_of_logs_are_exchanges_or_nothing() {
    assert_eq!(exchange("GET 200"), Some(("GET", 200)));
    let uvicorn = r#"INFO:     127.0.0.1:1 - "PUT /a HTTP/1.1" 404 Not Found"#;
    assert_eq!(exchange(uvicorn), Some(("PUT", 404)));
    assert_eq!(exchange("hold 1234"), None);
    assert_eq!(exchange("[INFO] Listening at: 127.0.0.1"), None);
}
