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
const ADDED: &[&str] = &["job", "instance"];
const COLUMNS: u64 = 24;

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let metrics = Metrics {
        reference: labels_by_metric(&fs::read_to_string(root.join("METRICS.md"))?),
        rules: fs::read_to_string(root.join("deploy/prometheus/rules.yml"))?,
    };
    let mut paths = workspace::entries(&root.join(FOLDER))?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    let mut dashboards = Vec::new();
    let mut findings = Findings::default();
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        let text = fs::read_to_string(&path)?;
        let file = format!("{FOLDER}/{}", name.display());
        let dashboard: Value = serde_json::from_str(&text).with_context(|| file.clone())?;
        let is_formatted = text == format!("{dashboard:#}\n");
        findings.expect(is_formatted, || {
            format!("{file}: not as `jq -S .` writes it")
        });
        dashboards.push((file, dashboard));
    }
    findings.of_all(&dashboards, &metrics);
    Ok(findings.0)
}

/// The metrics that a query may name.
struct Metrics {
    /// The labels of each metric of the agent.
    reference: BTreeMap<String, Vec<String>>,
    /// The text of the rules, with the names that they record.
    rules: String,
}

impl Metrics {
    /// The labels of a metric, or of the histogram or summary that it is a part of.
    fn labels(&self, metric: &str) -> Option<&Vec<String>> {
        let parts = ["", "_bucket", "_sum", "_count"].iter();
        let mut names = parts.filter_map(|end| metric.strip_suffix(end));
        names.find_map(|name| self.reference.get(name))
    }

    fn is_known(&self, metric: &str) -> bool {
        match metric.contains(':') {
            true => self.rules.contains(&format!("record: {metric}\n")),
            false => self.labels(metric).is_some(),
        }
    }
}

/// The first and the third column of the tables in METRICS.md.
fn labels_by_metric(reference: &str) -> BTreeMap<String, Vec<String>> {
    let rows = reference.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let labels = rest.split(" | ").nth(1)?.split(", ");
        Some((name.to_owned(), labels.map(str::to_owned).collect()))
    });
    rows.collect()
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.0.push(finding());
        }
    }

    fn of_all(&mut self, dashboards: &[(String, Value)], metrics: &Metrics) {
        let mut uids = BTreeSet::new();
        let mut looks = BTreeMap::new();
        for (file, dashboard) in dashboards {
            let uid = text(&dashboard["uid"]);
            self.expect(uids.insert(uid), || format!("{file}: uid {uid:?} again"));
            self.expect(shared(dashboard) == shared(&dashboards[0].1), || {
                format!("{file}: other settings than {}", dashboards[0].0)
            });
            let variables = self.of_variables(file, dashboard, metrics);
            self.of_layout(file, dashboard);
            for panel in panels(dashboard).filter(|panel| panel["type"] != "row") {
                let place = format!("{file}: {}", panel["title"]);
                self.of_panel(&place, panel, metrics, &variables);
                let look = look(panel);
                let first = looks.entry(kind(panel)).or_insert_with(|| look.clone());
                self.expect(*first == look, || {
                    format!("{place}: looks unlike other panels of its kind: {look}")
                });
            }
        }
        for (file, dashboard) in dashboards {
            for panel in panels(dashboard) {
                for link in list(&panel["fieldConfig"]["defaults"]["links"]) {
                    let url = text(&link["url"]);
                    let uid = url
                        .strip_prefix("/d/")
                        .and_then(|rest| rest.split('?').next());
                    self.expect(uid.is_some_and(|uid| uids.contains(uid)), || {
                        format!("{file}: {}: no dashboard at {url}", panel["title"])
                    });
                }
            }
        }
    }

    /// The names of the variables. Each uses only those before it.
    fn of_variables<'a>(
        &mut self,
        file: &str,
        dashboard: &'a Value,
        metrics: &Metrics,
    ) -> BTreeSet<&'a str> {
        let mut known = BTreeSet::from(["__rate_interval"]);
        for (n, variable) in list(&dashboard["templating"]["list"]).enumerate() {
            let name = text(&variable["name"]);
            let place = format!("{file}: variable {name}");
            let type_name = if n == 0 { "datasource" } else { "query" };
            self.expect(variable["type"] == type_name, || {
                format!("{place}: its type is not {type_name}")
            });
            if n > 0 {
                let query = text(&variable["query"]["query"]);
                self.expect(variable["definition"] == query, || {
                    format!("{place}: two queries")
                });
                self.of_source(&place, variable);
                self.of_query(&place, query, metrics, &known);
            }
            known.insert(name);
        }
        known
    }

    /// Ids count the panels. Panels lie in the grid, from top to bottom and from left to right.
    fn of_layout(&mut self, file: &str, dashboard: &Value) {
        let mut last = (0, 0, 0);
        for (n, panel) in panels(dashboard).enumerate() {
            let number = |key| panel["gridPos"][key].as_u64().unwrap_or(u64::MAX);
            let (x, y, width, height) = (number("x"), number("y"), number("w"), number("h"));
            let (right, top, bottom) = last;
            let is_beside = y == top && x >= right;
            let is_in_grid = x.saturating_add(width) <= COLUMNS && height <= COLUMNS;
            self.expect(is_in_grid && (is_beside || y >= bottom), || {
                format!(
                    "{file}: {}: beyond the grid or on another panel",
                    panel["title"]
                )
            });
            let bottom = y.saturating_add(height);
            last = (
                x.saturating_add(width),
                y,
                if is_beside {
                    bottom.max(last.2)
                } else {
                    bottom
                },
            );
            self.expect(panel["id"] == n + 1, || {
                format!("{file}: {}: its id is not {}", panel["title"], n + 1)
            });
        }
    }

    fn of_panel(
        &mut self,
        place: &str,
        panel: &Value,
        metrics: &Metrics,
        variables: &BTreeSet<&str>,
    ) {
        let defaults = &panel["fieldConfig"]["defaults"];
        self.expect(text(&panel["description"]).ends_with('.'), || {
            format!("{place}: the description is no sentence")
        });
        self.expect(defaults["unit"].is_string(), || format!("{place}: no unit"));
        self.of_source(place, panel);
        let is_now = panel["type"] == "stat";
        let is_drawn = list(&defaults["thresholds"]["steps"]).count() > 1;
        let line = if is_drawn { "line" } else { "off" };
        self.expect(
            is_now || defaults["custom"]["thresholdsStyle"]["mode"] == line,
            || format!("{place}: its threshold is not {line}"),
        );
        let has_query = list(&panel["targets"]).next().is_some();
        self.expect(has_query, || format!("{place}: no query"));
        for (letter, target) in ('A'..='Z').zip(list(&panel["targets"])) {
            let letter = letter.to_string();
            let is_regular = target["refId"] == letter
                && target["instant"] == is_now
                && target["range"] != is_now;
            self.expect(is_regular, || {
                format!("{place}: query {letter}: refId, instant or range")
            });
            self.expect(target["legendFormat"].is_string(), || {
                format!("{place}: query {letter}: no legend")
            });
            self.of_source(place, target);
            self.of_query(place, text(&target["expr"]), metrics, variables);
        }
    }

    fn of_source(&mut self, place: &str, owner: &Value) {
        let chosen = json!({"type": "prometheus", "uid": "${datasource}"});
        self.expect(owner["datasource"] == chosen, || {
            format!("{place}: not the chosen data source")
        });
    }

    fn of_query(
        &mut self,
        place: &str,
        query: &str,
        metrics: &Metrics,
        variables: &BTreeSet<&str>,
    ) {
        for name in query.split('$').skip(1).map(first_word) {
            self.expect(variables.contains(name), || {
                format!("{place}: unknown variable ${name}: {query}")
            });
        }
        let bare: String = query.split('"').step_by(2).collect();
        for word in bare.split(|c| !is_part_of_word(c)) {
            let is_ours =
                word.contains(':') || PREFIXES.iter().any(|prefix| word.starts_with(prefix));
            self.expect(!is_ours || metrics.is_known(word), || {
                format!("{place}: no metric {word}: {query}")
            });
        }
        let braces: Vec<&str> = bare.split('{').collect();
        for pair in braces.windows(2) {
            let metric = pair[0]
                .rsplit(|c| !is_part_of_word(c))
                .next()
                .unwrap_or_default();
            let Some(known) = metrics.labels(metric) else {
                continue;
            };
            let matchers = pair[1].split('}').next().unwrap_or_default();
            for label in matchers
                .split(',')
                .map(|matcher| first_word(matcher.trim()))
            {
                let is_known = ADDED.contains(&label) || known.iter().any(|name| name == label);
                self.expect(is_known, || {
                    format!("{place}: {metric} has no label {label}: {query}")
                });
            }
        }
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

fn first_word(text: &str) -> &str {
    text.split(|c| !is_part_of_word(c))
        .next()
        .unwrap_or_default()
}

fn is_part_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings in two dashboards, of which one is changed at one place: a JSON pointer.
    fn findings(pointer: &str, value: Value) -> Vec<String> {
        let metrics = Metrics {
            reference: labels_by_metric(
                "| `headcount_x_total` | counter | kind, mode | x | y | z | - |\n",
            ),
            rules: "  - record: job:x:sum\n".to_owned(),
        };
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
        let mut findings = Findings::default();
        findings.of_all(
            &[("one".to_owned(), one), ("two".to_owned(), two)],
            &metrics,
        );
        findings.0
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
