//! `cargo xtask dashboards`: writes the Grafana dashboards of `deploy/grafana` from the tables in this folder.
//!
//! It takes no arguments and writes one JSON file per dashboard, for Grafana 9 and later. A test checks that the files in the
//! repository are the ones that it would write; `cargo xtask parity` runs the queries on a real Prometheus.

mod fleet;
mod group;
mod gunicorn;
mod json;
mod model;
mod node;
mod requests;

use anyhow::{Context as _, Result, ensure};
use model::Dashboard;

use crate::workspace;

type Make = fn() -> Dashboard;

/// All dashboards, by file name.
const DASHBOARDS: &[(&str, Make)] = &[
    ("fleet.json", fleet::dashboard),
    ("node.json", node::dashboard),
    ("group.json", group::dashboard),
    ("gunicorn.json", gunicorn::dashboard),
];

const FOLDER: &str = "deploy/grafana";

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    ensure!(
        arguments.is_empty(),
        "unknown arguments {arguments:?}: expected none"
    );
    let folder = workspace::root().join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    for (file, dashboard) in DASHBOARDS {
        let path = folder.join(file);
        std::fs::write(&path, json::text(&dashboard()))
            .with_context(|| format!("write {}", path.display()))?;
        println!("dashboards: {FOLDER}/{file}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn checked_in_dashboards_are_up_to_date() {
        for (file, dashboard) in DASHBOARDS {
            let found = std::fs::read_to_string(workspace::root().join(FOLDER).join(file));
            assert!(
                found.is_ok_and(|found| found == json::text(&dashboard())),
                "{FOLDER}/{file} is out of date: cargo xtask dashboards"
            );
        }
    }

    #[test]
    fn every_panel_says_what_it_shows() {
        for (file, dashboard) in DASHBOARDS {
            let dashboard = dashboard();
            for panel in dashboard.rows.iter().flat_map(|row| &row.panels) {
                let title = panel.title;
                assert!(!panel.queries.is_empty(), "{file}: {title}: no query");
                assert!(
                    panel.description.ends_with('.'),
                    "{file}: {title}: the description is a sentence"
                );
            }
        }
    }

    #[test]
    fn every_variable_of_a_query_is_defined() {
        const GRAFANAS: [&str; 1] = ["__rate_interval"];
        for (file, dashboard) in DASHBOARDS {
            let dashboard = dashboard();
            let mut known: BTreeSet<&str> = GRAFANAS.into();
            for variable in &dashboard.variables {
                for name in names(variable.query) {
                    assert!(known.contains(name), "{file}: ${name} before it is defined");
                }
                known.insert(variable.name);
            }
            let panels = dashboard.rows.iter().flat_map(|row| &row.panels);
            for query in panels.flat_map(|panel| &panel.queries) {
                for name in names(&query.expr) {
                    assert!(known.contains(name), "{file}: ${name} in {}", query.expr);
                }
            }
        }
    }

    /// The names after the dollar signs in `query`.
    fn names(query: &str) -> impl Iterator<Item = &str> {
        query.split('$').skip(1).map(|rest| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]
        })
    }
}
