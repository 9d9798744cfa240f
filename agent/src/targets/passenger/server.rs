//! The web server part of an instance, as `/server.json` shows it.
//!
//! In come the bytes of the document, out come sums over the controller threads `thread1`, `thread2`, ... . The document must show
//! as many threads as it declares in `threads`. Unknown fields are skipped.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::document::InvalidDocument;

/// Most controller threads of a document; by default there is one for each CPU.
const MAX_THREADS: usize = 4096;

/// Counts of an instance's core, summed over its controller threads. They begin again when the core is restarted. Sums saturate.
///
/// Each thread clears its turbocache and the counts of it every 2 s, and does not show them for the 10 s for which it switches the
/// turbocache off after too few hits: the three counts are of the last seconds, and 0 where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ServerCounts {
    /// Client connections accepted.
    pub(super) clients_accepted: u64,
    /// Requests begun.
    pub(super) requests_begun: u64,
    /// Client connections open now.
    pub(super) clients_active: u64,
    /// Lookups in the turbocache.
    pub(super) turbocache_fetches: u64,
    /// Lookups that found an answer.
    pub(super) turbocache_hits: u64,
    /// Answers stored.
    pub(super) turbocache_stores: u64,
}

impl ServerCounts {
    /// Parses the document.
    pub(super) fn parse(document: &[u8]) -> Result<Self, InvalidDocument> {
        let all: AllControllers =
            serde_json::from_slice(document).map_err(|_| InvalidDocument::Json)?;
        Ok(all.0)
    }

    fn add(&mut self, controller: &Controller) {
        let turbocache = &controller.turbocaching;
        for (sum, value) in [
            (
                &mut self.clients_accepted,
                controller.total_clients_accepted,
            ),
            (&mut self.requests_begun, controller.total_requests_begun),
            (&mut self.clients_active, controller.active_client_count),
            (&mut self.turbocache_fetches, turbocache.fetches),
            (&mut self.turbocache_hits, turbocache.hits),
            (&mut self.turbocache_stores, turbocache.stores),
        ] {
            *sum = sum.saturating_add(value);
        }
    }
}

/// The counts of one thread.
#[derive(serde::Deserialize)]
struct Controller {
    total_clients_accepted: u64,
    total_requests_begun: u64,
    active_client_count: u64,
    /// Absent while the turbocache is off.
    #[serde(default)]
    turbocaching: Turbocache,
}

#[derive(Default, serde::Deserialize)]
struct Turbocache {
    fetches: u64,
    hits: u64,
    stores: u64,
}

/// The sums of a whole document.
struct AllControllers(ServerCounts);

impl<'de> Deserialize<'de> for AllControllers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = AllControllers;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with the controller threads")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut counts = ServerCounts::default();
        let mut declared = None;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let thread = key.strip_prefix("thread").map(str::parse::<u32>);
            if key == "threads" {
                if declared.replace(map.next_value::<usize>()?).is_some() {
                    return Err(M::Error::duplicate_field("threads"));
                }
            } else if let Some(Ok(thread)) = thread {
                if seen.len() == MAX_THREADS || !seen.insert(thread) {
                    return Err(M::Error::custom("too many threads, or one twice"));
                }
                counts.add(&map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if declared == Some(seen.len()) {
            Ok(AllControllers(counts))
        } else {
            Err(M::Error::custom("other threads than declared"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const RECORDED: &[u8] = include_bytes!("recorded/server.json");

    const THREAD: &str =
        r#"{"total_clients_accepted":1,"total_requests_begun":2,"active_client_count":3}"#;

    fn parse(document: &str) -> Result<ServerCounts, InvalidDocument> {
        ServerCounts::parse(document.as_bytes())
    }

    #[test]
    fn the_recorded_document_sums_two_threads() {
        let expected = ServerCounts {
            clients_accepted: 7,
            requests_begun: 7,
            ..ServerCounts::default()
        };
        assert_eq!(ServerCounts::parse(RECORDED), Ok(expected));
    }

    #[test]
    fn each_count_is_its_own() {
        let turbocache =
            r#""turbocaching":{"fetches":40,"hits":50,"stores":60,"hit_ratio":null,"new":{}}"#;
        let first = THREAD.replace('}', &format!(",{turbocache}}}"));
        let document =
            format!(r#"{{"threads":2,"new":[{{}}],"thread2":{THREAD},"thread1":{first}}}"#);
        let expected = ServerCounts {
            clients_accepted: 2,
            requests_begun: 4,
            clients_active: 6,
            turbocache_fetches: 40,
            turbocache_hits: 50,
            turbocache_stores: 60,
        };
        assert_eq!(parse(&document), Ok(expected));
    }

    #[test]
    fn sums_saturate() {
        let large = THREAD.replace('2', &u64::MAX.to_string());
        let document = format!(r#"{{"threads":2,"thread1":{large},"thread2":{THREAD}}}"#);
        assert_eq!(
            parse(&document).map(|counts| counts.requests_begun),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn a_document_of_another_shape_is_refused() {
        for document in [
            "".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            r#"{"threads":1}"#.to_owned(),
            r#"{"threads":0,"threads":0}"#.to_owned(),
            format!(r#"{{"thread1":{THREAD}}}"#),
            format!(r#"{{"threads":2,"thread1":{THREAD}}}"#),
            format!(r#"{{"threads":2,"thread1":{THREAD},"thread1":{THREAD}}}"#),
            format!(r#"{{"threads":2,"thread1":{THREAD},"thread01":{THREAD}}}"#),
            format!(r#"{{"threads":1,"thread1":{}}}"#, THREAD.replace('2', "-2")),
            format!(
                r#"{{"threads":1,"thread1":{}}}"#,
                THREAD.replace('2', "2.0")
            ),
            format!(
                r#"{{"threads":1,"thread1":{}}}"#,
                THREAD.replace('2', "\"2\"")
            ),
            format!(
                r#"{{"threads":1,"thread1":{}}}"#,
                THREAD.replace("begun", "ended")
            ),
            format!(r#"{{"threads":1,"thread1":{THREAD}}} x"#),
            format!(r#"{{"threads":1,"thread1":{}}}"#, "[".repeat(100_000)),
        ] {
            assert_eq!(
                parse(&document),
                Err(InvalidDocument::Json),
                "{document:.200}"
            );
        }
    }

    #[test]
    fn document_cut_at_any_byte_is_refused() {
        let whole = RECORDED.trim_ascii_end();
        for end in 0..whole.len() {
            assert_eq!(
                ServerCounts::parse(&whole[..end]),
                Err(InvalidDocument::Json)
            );
        }
    }

    #[test]
    fn the_number_of_threads_is_bounded() {
        for (threads, is_accepted) in [(MAX_THREADS, true), (MAX_THREADS + 1, false)] {
            let mut document = format!(r#"{{"threads":{threads}"#);
            for thread in 1..=threads {
                write!(document, r#","thread{thread}":{THREAD}"#).unwrap();
            }
            document.push('}');
            assert_eq!(parse(&document).is_ok(), is_accepted);
        }
    }
}
