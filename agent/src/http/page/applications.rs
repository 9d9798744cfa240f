//! The applications that targets run, for the page: as JSON, and as a table.
//!
//! In: [`Applications`], whose names may be anything. Out: text with names as [`Shown`]. The browser computes requests per second.

use serde::Serialize;

use super::text::html;
use crate::state::handle::Shown;
use crate::targets::handle::{ApplicationRow, Applications};

/// The JSON of `/api/applications`.
#[derive(Debug, Serialize)]
pub(super) struct PageApplications {
    /// Seconds on the clock that counts since the node booted.
    time: f64,
    instances: u64,
    applications: Vec<PageApplication>,
    omitted: u64,
}

/// One application; the fields are those of [`ApplicationRow`].
#[derive(Debug, Serialize)]
struct PageApplication {
    instance: Shown,
    user: Shown,
    name: Shown,
    waiting: u64,
    busy: u64,
    processes: u64,
    requests: Option<u64>,
}

impl PageApplications {
    pub(super) fn of(applications: &Applications) -> Self {
        Self {
            time: applications.time,
            instances: applications.instances,
            applications: applications.rows.iter().map(PageApplication::of).collect(),
            omitted: applications.omitted,
        }
    }

    /// The attribute that hides the section of a node without instances.
    pub(super) fn hidden(&self) -> &'static str {
        match self.instances {
            0 => " hidden",
            _ => "",
        }
    }

    /// The rows of the table.
    pub(super) fn rows(&self) -> String {
        self.applications.iter().map(PageApplication::row).collect()
    }

    /// The notes below the table.
    pub(super) fn note(&self) -> String {
        match self.omitted {
            0 if self.applications.is_empty() => {
                "No application has been started, or its instance does not answer.".to_owned()
            }
            0 => String::new(),
            omitted => {
                format!("Further applications, which were less busy, are left out here: {omitted}.")
            }
        }
    }
}

impl PageApplication {
    fn of(row: &ApplicationRow) -> Self {
        Self {
            instance: Shown::of(&row.instance),
            user: Shown::of(&row.user),
            name: Shown::of(&row.name),
            waiting: row.waiting,
            busy: row.busy,
            processes: row.processes,
            requests: row.requests,
        }
    }

    /// The page's script writes the same cells. Requests per second are not known from one answer: an instance may have begun to count
    /// long before the agent.
    fn row(&self) -> String {
        format!(
            "<tr><th scope=\"row\"><bdi class=\"name\">{}</bdi></th><td class=\"text\">{}</td><td class=\"text\">{}</td>\
             <td>{}</td><td>{}</td><td>{}</td><td>–</td></tr>\n",
            html(&self.name),
            html(&self.instance),
            html(&self.user),
            self.waiting,
            self.busy,
            self.processes,
        )
    }
}

/// The section of a page whose agent could not ask in time: nothing of it is shown.
impl Default for PageApplications {
    fn default() -> Self {
        Self::of(&Applications::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applications(name: &str) -> PageApplications {
        let row = ApplicationRow {
            instance: "AbCdEfGh@33".to_owned(),
            user: "<u>me".to_owned(),
            name: name.to_owned(),
            waiting: 3,
            busy: 2,
            processes: 4,
            requests: Some(900),
        };
        PageApplications::of(&Applications {
            time: 20.5,
            instances: 2,
            rows: vec![
                row.clone(),
                ApplicationRow {
                    requests: None,
                    ..row
                },
            ],
            omitted: 7,
        })
    }

    #[test]
    fn table_without_script_is_complete_and_hostile_names_are_escaped() {
        let shown = applications("</th><script>\u{202e}&\"");
        let row = "<tr><th scope=\"row\"><bdi class=\"name\">&lt;/th>&lt;script>\\u{202e}&amp;&quot;</bdi></th>\
                   <td class=\"text\">AbCdEfGh@33</td><td class=\"text\">&lt;u>me</td>\
                   <td>3</td><td>2</td><td>4</td><td>–</td></tr>\n";
        assert_eq!(shown.rows(), row.repeat(2));
        assert!(shown.note().ends_with("are left out here: 7."));
        assert_eq!(shown.hidden(), "");
    }

    #[test]
    fn json_has_the_counter_and_null_if_it_is_not_known() {
        let json = serde_json::to_string(&applications("\u{1b}blog")).unwrap();
        let row = |requests| {
            format!(
                r#"{{"instance":"AbCdEfGh@33","user":"<u>me","name":"\\u{{1b}}blog","waiting":3,"busy":2,"processes":4,"requests":{requests}}}"#
            )
        };
        let expected = format!(
            r#"{{"time":20.5,"instances":2,"applications":[{},{}],"omitted":7}}"#,
            row("900"),
            row("null")
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn node_without_instances_hides_the_section() {
        let none = PageApplications::default();
        assert_eq!((none.hidden(), none.rows()), (" hidden", String::new()));
    }
}
