//! The Grafana dashboards of `deploy/grafana`, which authors edit by hand, or in Grafana.
//!
//! In: the files; `METRICS.md` and the recording rules for the metrics that exist. Out: a finding for each unknown metric, label,
//! variable or dashboard, and for each panel that differs from the others of its kind in more than its content. It does not parse
//! queries: `cargo xtask parity` sends each query to a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err as fs;
use serde_json::{Value, json};

use crate::workspace;

const FOLDER: &str = "deploy/grafana";
/// Settings in which dashboards differ. Others are the same in all of them.
const OWN: &[&str] = &["uid", "title", "description", "templating", "panels"];
/// Prefixes of the agent's metrics.
const PREFIXES: &[&str] = &["namedprocess_", "headcount_", "passenger_", "gunicorn_"];
/// Labels that Prometheus adds to each series.
const ADDED: [&str; 2] = ["job", "instance"];
const COLUMNS: u64 = 24;

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let reference = fs::read_to_string(root.join("METRICS.md"))?;
    let rules = fs::read_to_string(root.join("deploy/prometheus/rules.yml"))?;
    let mut findings = Findings::new(&reference, &rules);
    let mut paths = workspace::entries(&root.join(FOLDER))?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    let mut dashboards = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        let text = fs::read_to_string(&path)?;
        let file = format!("{FOLDER}/{}", name.display());
        let dashboard: Value = serde_json::from_str(&text).with_context(|| file.clone())?;
        let is_formatted = text == format!("{dashboard:#}\n");
        findings.expect(&file, is_formatted, "not as `jq -S .` writes it");
        dashboards.push((file, dashboard));
    }
    findings.of_all(&dashboards);
    Ok(findings.found)
}

struct Findings<'a> {
    /// The metrics that a query may name, each with its labels. `None`: a rule records it, and the labels are not known.
    metrics: BTreeMap<&'a str, Option<Vec<&'a str>>>,
    found: Vec<String>,
}

impl<'a> Findings<'a> {
    /// None yet. The metrics are in the first column of the tables in METRICS.md, their labels in the third.
    fn new(reference: &'a str, rules: &'a str) -> Self {
        let records = rules
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- record: "));
        let rows = reference.lines().filter_map(|line| {
            let (metric, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((
                metric,
                Some(rest.split(" | ").nth(1)?.split(", ").collect()),
            ))
        });
        Self {
            metrics: rows.chain(records.map(|metric| (metric, None))).collect(),
            found: Vec::new(),
        }
    }

    fn expect(&mut self, place: &str, holds: bool, fault: &str) {
        if !holds {
            self.found.push(format!("{place}: {fault}"));
        }
    }

    fn of_all(&mut self, dashboards: &[(String, Value)]) {
        let uids: Vec<&str> = dashboards
            .iter()
            .map(|(_, dashboard)| text(&dashboard["uid"]))
            .collect();
        let mut looks = BTreeMap::new();
        for (n, (file, dashboard)) in dashboards.iter().enumerate() {
            let is_new = !uids[..n].contains(&uids[n]);
            self.expect(file, is_new, "another dashboard has its uid");
            let (first, settings) = &dashboards[0];
            let is_alike = shared(dashboard) == shared(settings);
            self.expect(file, is_alike, &format!("other settings than {first}"));
            let variables = self.of_variables(file, dashboard);
            self.of_layout(file, dashboard);
            for panel in panels(dashboard).filter(|panel| panel["type"] != "row") {
                let place = format!("{file}: {}", panel["title"]);
                self.of_panel(&place, panel, &variables);
                let look = look(panel);
                let is_alike = looks.entry(kind(panel)).or_insert_with(|| look.clone()) == &look;
                let fault = format!("looks unlike other panels of its kind: {look}");
                self.expect(&place, is_alike, &fault);
                for link in list(&panel["fieldConfig"]["defaults"]["links"]) {
                    let url = text(&link["url"]);
                    let uid = url
                        .strip_prefix("/d/")
                        .and_then(|rest| rest.split('?').next());
                    let leads = uid.is_some_and(|uid| uids.contains(&uid));
                    self.expect(&place, leads, &format!("no dashboard at {url}"));
                }
            }
        }
    }

    /// The names of the variables. Each uses only those before it.
    fn of_variables<'b>(&mut self, file: &str, dashboard: &'b Value) -> BTreeSet<&'b str> {
        let mut known = BTreeSet::from(["__rate_interval"]);
        for (n, variable) in list(&dashboard["templating"]["list"]).enumerate() {
            let name = text(&variable["name"]);
            let place = format!("{file}: variable {name}");
            let type_name = if n == 0 { "datasource" } else { "query" };
            let is_typed = variable["type"] == type_name;
            self.expect(&place, is_typed, &format!("its type is not {type_name}"));
            if n > 0 {
                let query = text(&variable["query"]["query"]);
                self.expect(&place, variable["definition"] == query, "two queries");
                self.of_source(&place, variable);
                self.of_query(&place, query, &known);
            }
            known.insert(name);
        }
        known
    }

    /// Ids count the panels. Panels lie in the grid, from top to bottom and from left to right.
    fn of_layout(&mut self, file: &str, dashboard: &Value) {
        let (mut right, mut top, mut bottom) = (0, 0, 0);
        for (panel, id) in panels(dashboard).zip(1..) {
            let place = format!("{file}: {}", panel["title"]);
            let number = |key| panel["gridPos"][key].as_u64().unwrap_or(u64::MAX);
            let [x, y, width, height] = ["x", "y", "w", "h"].map(number);
            let is_beside = y == top && x >= right;
            (right, top) = (x.saturating_add(width), y);
            let is_free = right <= COLUMNS && height <= COLUMNS && (is_beside || y >= bottom);
            self.expect(&place, is_free, "beyond the grid or on another panel");
            let end = y.saturating_add(height);
            bottom = if is_beside { end.max(bottom) } else { end };
            self.expect(&place, panel["id"] == id, &format!("its id is not {id}"));
        }
    }

    fn of_panel(&mut self, place: &str, panel: &Value, variables: &BTreeSet<&str>) {
        let defaults = &panel["fieldConfig"]["defaults"];
        let is_sentence = text(&panel["description"]).ends_with('.');
        self.expect(place, is_sentence, "the description is no sentence");
        self.expect(place, defaults["unit"].is_string(), "no unit");
        self.of_source(place, panel);
        let is_now = panel["type"] == "stat";
        let is_drawn = list(&defaults["thresholds"]["steps"]).count() > 1;
        let line = if is_drawn { "line" } else { "off" };
        let is_styled = is_now || defaults["custom"]["thresholdsStyle"]["mode"] == line;
        self.expect(place, is_styled, &format!("its threshold is not {line}"));
        let has_query = list(&panel["targets"]).next().is_some();
        self.expect(place, has_query, "no query");
        for (letter, target) in ('A'..='Z').zip(list(&panel["targets"])) {
            let place = format!("{place}: query {letter}");
            let is_regular = target["refId"] == letter.to_string()
                && target["instant"] == is_now
                && target["range"] != is_now;
            self.expect(&place, is_regular, "refId, instant or range");
            self.expect(&place, target["legendFormat"].is_string(), "no legend");
            self.of_source(&place, target);
            self.of_query(&place, text(&target["expr"]), variables);
        }
    }

    fn of_source(&mut self, place: &str, owner: &Value) {
        let chosen = json!({"type": "prometheus", "uid": "${datasource}"});
        let is_chosen = owner["datasource"] == chosen;
        self.expect(place, is_chosen, "not the chosen data source");
    }

    fn of_query(&mut self, place: &str, query: &str, variables: &BTreeSet<&str>) {
        for rest in query.split('$').skip(1) {
            let name = rest.split(is_no_part_of_word).next().unwrap_or_default();
            let fault = format!("unknown variable ${name}: {query}");
            self.expect(place, variables.contains(name), &fault);
        }
        let bare: String = query.split('"').step_by(2).collect();
        for word in bare.split(is_no_part_of_word) {
            let is_ours =
                word.contains(':') || PREFIXES.iter().any(|start| word.starts_with(start));
            let is_known = self.labels(word).is_some();
            let fault = format!("no metric {word}: {query}");
            self.expect(place, !is_ours || is_known, &fault);
        }
        let braces: Vec<&str> = bare.split('{').collect();
        for pair in braces.windows(2) {
            let metric = pair[0]
                .rsplit(is_no_part_of_word)
                .next()
                .unwrap_or_default();
            let Some(known) = self.labels(metric).cloned().flatten() else {
                continue;
            };
            let matchers = pair[1].split('}').next().unwrap_or_default();
            for matcher in matchers.split(',') {
                let label = matcher
                    .trim()
                    .split(is_no_part_of_word)
                    .next()
                    .unwrap_or_default();
                let is_known = ADDED.contains(&label) || known.contains(&label);
                let fault = format!("{metric} has no label {label}: {query}");
                self.expect(place, is_known, &fault);
            }
        }
    }

    /// The labels of a metric, or of the histogram or summary that it is a part of.
    fn labels(&self, metric: &str) -> Option<&Option<Vec<&'a str>>> {
        let mut ends = ["", "_bucket", "_sum", "_count"].iter();
        ends.find_map(|end| self.metrics.get(metric.strip_suffix(end)?))
    }
}

/// The settings that all dashboards share.
fn shared(dashboard: &Value) -> Value {
    let mut shared = dashboard.clone();
    if let Some(settings) = shared.as_object_mut() {
        settings.retain(|key, _| !OWN.contains(&key.as_str()));
    }
    json!([shared, dashboard["templating"]["list"][0]])
}

/// Numbers, words, lines and stacked areas are the kinds of panels.
fn kind(panel: &Value) -> String {
    let stacking = &panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"];
    format!(
        "{} {} {stacking}",
        panel["type"], panel["options"]["textMode"]
    )
}

/// The settings that panels of one kind share.
fn look(panel: &Value) -> Value {
    let defaults = &panel["fieldConfig"]["defaults"];
    let mut custom = defaults["custom"].clone();
    if let Some(drawing) = custom.as_object_mut() {
        drawing.remove("thresholdsStyle");
    }
    json!([panel["options"], defaults["min"], custom])
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["panels"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_no_part_of_word(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '_' && c != ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings in two dashboards, of which one is changed at one place: a JSON pointer.
    fn findings(pointer: &str, value: Value) -> Vec<String> {
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        let query = "label_values(headcount_x_total, job)";
        let variables = json!([
            {"name": "datasource", "label": "Data source", "type": "datasource"},
            {"name": "job", "type": "query", "datasource": source, "definition": query, "query": {"query": query}},
        ]);
        let expr = r#"rate(headcount_x_total{job=~"$job", kind="headcount_y"}[$__rate_interval]) or job:x:sum"#;
        let panel = |id: u32, x: u32| {
            json!({
                "id": id, "title": "X", "type": "timeseries", "datasource": source, "description": "All.",
                "gridPos": {"x": x, "y": 1, "w": 12, "h": 8},
                "options": {},
                "fieldConfig": {"defaults": {
                    "unit": "short",
                    "custom": {"fillOpacity": 0, "thresholdsStyle": {"mode": "off"}},
                    "links": [{"url": "/d/two?x"}],
                }},
                "targets": [{
                    "refId": "A", "datasource": source, "expr": expr,
                    "legendFormat": "x", "instant": false, "range": true,
                }],
            })
        };
        let row = json!({"id": 1, "type": "row", "title": "R", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}});
        let panels = [row, panel(2, 0), panel(3, 12)];
        let one = json!({"uid": "one", "refresh": "1m", "templating": {"list": variables}, "panels": panels});
        let mut two = one.clone();
        two["uid"] = "two".into();
        if !pointer.is_empty() {
            *two.pointer_mut(pointer).expect("a place in the dashboard") = value;
        }
        let reference = "| `headcount_x_total` | counter | kind, mode | x | y | z | - |\n";
        let mut findings = Findings::new(reference, "  - record: job:x:sum\n");
        findings.of_all(&[("one".to_owned(), one), ("two".to_owned(), two)]);
        findings.found
    }

    #[test]
    fn dashboards_without_a_fault_give_no_finding() {
        assert_eq!(findings("", Value::Null), [""; 0]);
    }

    #[test]
    fn each_fault_is_found() {
        for (pointer, value) in [
            ("/refresh", json!("5m")),
            ("/templating/list/0/label", json!("Source")),
            ("/templating/list/1/type", json!("custom")),
            (
                "/templating/list/1/definition",
                json!("label_values(up, job)"),
            ),
            ("/templating/list/1/datasource/uid", json!("P1")),
            ("/panels/1/id", json!(3)),
            ("/panels/1/gridPos/w", json!(13)),
            ("/panels/2/gridPos/x", json!(13)),
            ("/panels/2/gridPos/y", json!(8)),
            ("/panels/2/description", json!("All")),
            ("/panels/2/datasource", json!(null)),
            ("/panels/2/targets", json!([])),
            ("/panels/2/targets/0/refId", json!("B")),
            ("/panels/2/targets/0/instant", json!(true)),
            ("/panels/2/targets/0/legendFormat", json!(null)),
            ("/panels/2/targets/0/datasource/uid", json!("P1")),
            ("/panels/2/targets/0/expr", json!("headcount_y_total")),
            ("/panels/2/targets/0/expr", json!("job:y:sum")),
            ("/panels/2/targets/0/expr", json!(r#"up{job="$node"}"#)),
            (
                "/panels/2/targets/0/expr",
                json!(r#"headcount_x_total{mode="a,b", color="red"}"#),
            ),
            ("/panels/2/fieldConfig/defaults/unit", json!(null)),
            (
                "/panels/2/fieldConfig/defaults/links/0/url",
                json!("/d/three?x"),
            ),
            (
                "/panels/2/fieldConfig/defaults/custom/fillOpacity",
                json!(10),
            ),
            (
                "/panels/2/fieldConfig/defaults/custom/thresholdsStyle/mode",
                json!("line"),
            ),
        ] {
            let found = findings(pointer, value.clone());
            assert_eq!(found.len(), 1, "{pointer} {value}: {found:?}");
            assert!(found[0].starts_with("two: "), "{found:?}");
        }
        // The links, too: they lead to the uid that is gone.
        assert!(findings("/uid", json!("one")).len() > 1);
    }
}
