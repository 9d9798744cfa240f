//! The stored paths, one for each application. Pure.
//!
//! In: changes, and the text of the file. Out: outcomes, the table and its text: a JSON array with the columns of promfetcher's
//! database table `app_endpoints`, so that its rows can be copied unchanged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hyper::http::uri::PathAndQuery;
use serde::{Deserialize, Serialize};

/// Most applications with a stored path.
pub(super) const MOST_APPLICATIONS: usize = 10_000;
/// Most bytes of the id of an application or of a binding.
const MOST_ID: usize = 200;
/// Most bytes of a path.
const MOST_PATH: usize = 1_000;

/// A stored path of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredBinding {
    /// The id of the binding that stored it last.
    #[serde(rename = "guid")]
    pub(crate) id: String,
    /// The id of the application.
    #[serde(rename = "app_guid")]
    pub(crate) application: String,
    /// The path of the metrics of its instances.
    #[serde(rename = "endpoint")]
    pub(crate) path: String,
}

/// A change of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BindingChange {
    /// Stores the path of an application, replacing the former one; an empty path removes it.
    Bind(StoredBinding),
    /// Removes the path that the binding of this id has stored.
    Unbind(String),
}

/// The outcome of a [`BindingChange`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BindingOutcome {
    /// The file has it.
    Stored,
    /// The file had it already.
    Same,
    /// The binding exists with another application or another path.
    Conflict,
    /// There is no such binding.
    Gone,
    /// [`MOST_APPLICATIONS`] paths are stored.
    Full,
    /// The file could not be written; the table is unchanged.
    Failed(String),
}

/// The table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::targets::fan_in) struct Bindings {
    /// By the id of the application, in lower case.
    by_application: BTreeMap<String, StoredBinding>,
}

impl Bindings {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// The text is no such array, or one of its rows is invalid.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let rows: Vec<StoredBinding> =
            serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut table = Self::default();
        for (index, row) in rows.into_iter().enumerate() {
            let problem = if !is_id(&row.id) || !is_id(&row.application) {
                "guid and app_guid must have 1 to 200 letters, digits and -._~"
            } else if !is_metric_path(&row.path) {
                "endpoint must be a path that begins with /, without a query, of at most 1,000 bytes"
            } else {
                table
                    .by_application
                    .insert(row.application.to_ascii_lowercase(), row);
                continue;
            };
            return Err(format!("row {}: {problem}", index + 1));
        }
        match table.len() {
            0..=MOST_APPLICATIONS => Ok(table),
            more => Err(format!(
                "it has {more} applications, more than {MOST_APPLICATIONS}"
            )),
        }
    }

    /// The text of the file, one row a line.
    pub(super) fn text(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = b"[".to_vec();
        for (index, row) in self.by_application.values().enumerate() {
            text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
            serde_json::to_writer(&mut text, row)?;
        }
        text.extend_from_slice(b"\n]\n");
        Ok(text)
    }

    pub(super) fn len(&self) -> usize {
        self.by_application.len()
    }

    /// The path of an application.
    pub(in crate::targets::fan_in) fn path_of(&self, application: &str) -> Option<&str> {
        let row = self.by_application.get(&application.to_ascii_lowercase())?;
        Some(&row.path)
    }

    /// The binding of this id, if it has stored a path.
    pub(super) fn binding(&self, id: &str) -> Option<&StoredBinding> {
        self.by_application.values().find(|row| row.id == id)
    }

    /// Makes a change; the outcome holds once the table is in the file.
    pub(super) fn apply(&mut self, change: BindingChange) -> BindingOutcome {
        match change {
            BindingChange::Bind(new) => self.bind(new),
            BindingChange::Unbind(id) => {
                let before = self.len();
                self.by_application.retain(|_, row| row.id != id);
                match self.len() == before {
                    true => BindingOutcome::Gone,
                    false => BindingOutcome::Stored,
                }
            }
        }
    }

    fn bind(&mut self, new: StoredBinding) -> BindingOutcome {
        if let Some(known) = self.binding(&new.id) {
            return match *known == new {
                true => BindingOutcome::Same,
                false => BindingOutcome::Conflict,
            };
        }
        let is_full = self.len() >= MOST_APPLICATIONS;
        let application = new.application.to_ascii_lowercase();
        if new.path.is_empty() {
            return match self.by_application.remove(&application) {
                Some(_) => BindingOutcome::Stored,
                None => BindingOutcome::Same,
            };
        }
        match self.by_application.entry(application) {
            Entry::Vacant(_) if is_full => return BindingOutcome::Full,
            place => {
                place.insert_entry(new);
            }
        }
        BindingOutcome::Stored
    }
}

/// Whether the text can be the id of an application or of a binding.
pub(crate) fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=MOST_ID).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Whether the text can be the path of an application.
pub(crate) fn is_metric_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    let is_path = text.starts_with('/') && text.len() <= MOST_PATH && text.bytes().all(is_plain);
    // Rejects characters that a request's path cannot have.
    is_path && text.parse::<PathAndQuery>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(id: &str, application: &str, path: &str) -> StoredBinding {
        StoredBinding {
            id: id.to_owned(),
            application: application.to_owned(),
            path: path.to_owned(),
        }
    }

    fn bind(id: &str, application: &str, path: &str) -> BindingChange {
        BindingChange::Bind(row(id, application, path))
    }

    #[test]
    fn last_binding_of_an_application_wins_and_an_empty_path_removes() {
        use BindingOutcome::{Conflict, Gone, Same, Stored};
        let mut table = Bindings::default();
        let unbind = |id: &str| BindingChange::Unbind(id.to_owned());
        for (change, outcome, path) in [
            (bind("b1", "App", "/a"), Stored, Some("/a")),
            (bind("b1", "App", "/a"), Same, Some("/a")),
            (bind("b1", "App", "/b"), Conflict, Some("/a")),
            (bind("b1", "other", "/a"), Conflict, Some("/a")),
            (bind("b2", "aPP", "/b"), Stored, Some("/b")),
            (unbind("b1"), Gone, Some("/b")),
            (unbind("b2"), Stored, None),
            (unbind("b2"), Gone, None),
            (bind("b3", "app", "/c"), Stored, Some("/c")),
            (bind("b4", "app", ""), Stored, None),
            (bind("b5", "app", ""), Same, None),
        ] {
            assert_eq!(table.apply(change.clone()), outcome, "{change:?}");
            assert_eq!(table.path_of("APP"), path, "{change:?}");
        }
        assert_eq!(table, Bindings::default());
    }

    #[test]
    fn full_table_replaces_and_removes_but_takes_no_further_application() {
        let mut table = Bindings::default();
        for index in 0..MOST_APPLICATIONS {
            let change = bind(&format!("b{index}"), &format!("a{index}"), "/m");
            assert_eq!(table.apply(change), BindingOutcome::Stored);
        }
        assert_eq!(table.apply(bind("x", "y", "/m")), BindingOutcome::Full);
        assert_eq!(table.apply(bind("x", "a7", "/n")), BindingOutcome::Stored);
        assert_eq!(table.apply(bind("z", "a7", "")), BindingOutcome::Stored);
        assert_eq!(table.apply(bind("x", "y", "/m")), BindingOutcome::Stored);
        let text = table.text().unwrap();
        assert_eq!(Bindings::parse(&text).unwrap(), table);
    }

    #[test]
    fn rows_of_promfetchers_database_are_read() {
        let text = br#"[{"guid":"b","app_guid":"A","endpoint":"/x"},{"endpoint":"/y","app_guid":"a","guid":"c"}]"#;
        let table = Bindings::parse(text).unwrap();
        assert_eq!(table.path_of("a"), Some("/y"));
        assert_eq!(table.binding("b"), None);
        assert_eq!(
            table.text().unwrap(),
            b"[\n{\"guid\":\"c\",\"app_guid\":\"a\",\"endpoint\":\"/y\"}\n]\n"
        );
        assert_eq!(Bindings::parse(b"[]").unwrap().text().unwrap(), b"[\n]\n");
    }

    #[test]
    fn invalid_text_of_a_table_is_refused() {
        let long = "x".repeat(201);
        let long = format!(r#"[{{"guid":"{long}","app_guid":"a","endpoint":"/x"}}]"#);
        for (text, error) in [
            ("", "EOF"),
            ("{}", "expected a sequence"),
            (
                "[{\"guid\":\"b\",\"app_guid\":\"a\",\"endpoint\":\"/x\"}",
                "EOF",
            ),
            ("[{\"guid\":\"b\",\"app_guid\":\"a\"}]", "missing field"),
            (
                "[{\"guid\":\"b\",\"app_guid\":\"a\",\"endpoint\":\"x\"}]",
                "row 1: endpoint",
            ),
            (
                "[{\"guid\":\"b\",\"app_guid\":\"a\",\"endpoint\":\"/x?y\"}]",
                "row 1: endpoint",
            ),
            (
                "[{\"guid\":\"b\",\"app_guid\":\"\",\"endpoint\":\"/x\"}]",
                "row 1: guid",
            ),
            (long.as_str(), "row 1: guid"),
        ] {
            let found = Bindings::parse(text.as_bytes()).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
    }

    fn any_change() -> impl Strategy<Value = BindingChange> {
        let text = |most| {
            "[A-Za-c~.]{1,2}"
                .prop_map(move |text: String| text.chars().take(most).collect::<String>())
        };
        prop_oneof![
            3 => (text(2), text(1), "(/[a-cX-Z0-9!$&'()*+,;=:@%._~/-]{0,4})?")
                .prop_map(|(id, application, path)| BindingChange::Bind(row(&id, &application, &path))),
            1 => text(2).prop_map(BindingChange::Unbind),
        ]
    }

    proptest! {
        #[test]
        fn table_equals_its_parsed_text_after_any_changes(changes in prop::collection::vec(any_change(), 0..40)) {
            let mut table = Bindings::default();
            for change in changes {
                let before = table.clone();
                let outcome = table.apply(change);
                prop_assert_eq!(outcome == BindingOutcome::Stored, table != before);
                prop_assert_eq!(&Bindings::parse(&table.text().unwrap()).unwrap(), &table);
            }
        }
    }
}
