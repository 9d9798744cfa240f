//! Writes a dashboard in Grafana's JSON: the panels with their positions, and the settings that all dashboards share.

use serde_json::{Value, json};

use super::model::{Choice, Dashboard, Kind, Link, Panel, Row, Variable};

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// Version of the format: Grafana 9; later versions read it and upgrade it.
const SCHEMA: u64 = 37;

/// The content of the file, with a line break at its end.
pub(super) fn text(dashboard: &Dashboard) -> String {
    format!("{:#}\n", value(dashboard))
}

fn value(dashboard: &Dashboard) -> Value {
    let variables: Vec<Value> = std::iter::once(datasource())
        .chain(dashboard.variables.iter().map(variable))
        .collect();
    json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["headcount"],
        "schemaVersion": SCHEMA,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{
            "type": "dashboards",
            "title": "Headcount",
            "tags": ["headcount"],
            "asDropdown": true,
            "includeVars": true,
            "keepTime": true,
        }],
        "templating": {"list": variables},
        "panels": panels(&dashboard.rows),
    })
}

fn datasource() -> Value {
    json!({
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    })
}

fn variable(variable: &Variable) -> Value {
    let Variable {
        name,
        label,
        query,
        choice,
    } = variable;
    let several = *choice != Choice::One;
    let current = if several {
        json!({"text": ["All"], "value": ["$__all"]})
    } else {
        json!({})
    };
    json!({
        "name": name,
        "label": label,
        "type": "query",
        "datasource": prometheus(),
        "definition": query,
        "query": {"query": query, "refId": format!("variable-{name}")},
        // Refreshes with the time range, so that users can select values that no longer exist.
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "allValue": if *choice == Choice::Many { ".+".into() } else { Value::Null },
        "current": current,
    })
}

fn prometheus() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// Positions of the panels: rows from top to bottom, panels from left to right.
fn panels(rows: &[Row]) -> Vec<Value> {
    let mut panels: Vec<Value> = Vec::new();
    let mut y = 0;
    for row in rows {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            "panels": [],
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in &row.panels {
            let (w, h) = size(panel.kind);
            if x + w > COLUMNS {
                (x, y, height) = (0, y + height, 0);
            }
            let id = panels.len() + 1;
            panels.push(value_of(
                panel,
                id,
                &json!({"x": x, "y": y, "w": w, "h": h}),
            ));
            x += w;
            height = height.max(h);
        }
        y += height;
    }
    panels
}

const fn size(kind: Kind) -> (u64, u64) {
    match kind {
        Kind::Number | Kind::Word => (4, 4),
        Kind::Lines | Kind::Parts => (12, 8),
    }
}

fn value_of(panel: &Panel, id: usize, place: &Value) -> Value {
    let is_now = matches!(panel.kind, Kind::Number | Kind::Word);
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..='Z')
        .map(|(query, letter)| {
            json!({
                "refId": letter.to_string(),
                "datasource": prometheus(),
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": is_now,
                "range": !is_now,
            })
        })
        .collect();
    json!({
        "id": id,
        "title": panel.title,
        "description": panel.description,
        "type": if is_now { "stat" } else { "timeseries" },
        "datasource": prometheus(),
        "gridPos": place,
        "fieldConfig": {"defaults": defaults(panel), "overrides": []},
        "options": options(panel.kind),
        "targets": targets,
    })
}

fn defaults(panel: &Panel) -> Value {
    let mut steps = vec![json!({"color": "green", "value": null})];
    steps.extend(
        panel
            .red_from
            .map(|value| json!({"color": "red", "value": value})),
    );
    let mut defaults = json!({
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "links": link(panel.link),
    });
    if panel.kind != Kind::Word {
        defaults["min"] = 0.into();
    }
    if matches!(panel.kind, Kind::Lines | Kind::Parts) {
        defaults["custom"] = drawing(panel);
    }
    defaults
}

fn drawing(panel: &Panel) -> Value {
    let (fill, stacking) = match panel.kind {
        Kind::Parts => (30, "normal"),
        _ => (0, "none"),
    };
    let limit = if panel.red_from.is_some() {
        "line"
    } else {
        "off"
    };
    json!({
        "lineWidth": 1,
        "fillOpacity": fill,
        "stacking": {"mode": stacking},
        "showPoints": "never",
        "thresholdsStyle": {"mode": limit},
    })
}

fn link(link: Link) -> Vec<Value> {
    let (title, uid, name) = match link {
        Link::Nowhere => return Vec::new(),
        Link::Node => ("This node", "headcount-node", "instance"),
        Link::Group => ("This group", "headcount-group", "groupname"),
    };
    let url = format!(
        "/d/{uid}?${{datasource:queryparam}}&${{job:queryparam}}&var-{name}=${{__field.labels.{name}}}&${{__url_time_range}}"
    );
    vec![json!({"title": title, "url": url})]
}

fn options(kind: Kind) -> Value {
    let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match kind {
        Kind::Number => json!({"reduceOptions": reduce, "colorMode": "value", "graphMode": "none"}),
        Kind::Word => {
            json!({"reduceOptions": reduce, "textMode": "name", "colorMode": "none", "graphMode": "none"})
        }
        Kind::Lines | Kind::Parts => json!({
            "legend": {"showLegend": true, "displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"], "sortBy": "Last *", "sortDesc": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
    }
}
