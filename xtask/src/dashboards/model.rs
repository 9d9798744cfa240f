//! The parts in which dashboards differ; `json` adds the settings that all of them share.

/// One dashboard.
#[derive(Debug)]
pub(super) struct Dashboard {
    /// Part of its address in Grafana, and of links between dashboards.
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// Variables beside `datasource`, in the order in which they depend on each other.
    pub(super) variables: Vec<Variable>,
    pub(super) rows: Vec<Row>,
}

/// A variable with the values of a label.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) query: &'static str,
    pub(super) choice: Choice,
}

/// How many values of a variable a user may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    One,
    /// Several, at first all; Grafana writes all values into the query.
    Several,
    /// Several, but all of them is `.+`: a query with the names of ten thousand nodes would be too long.
    Many,
}

/// Panels under one heading.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// One query and the name of its series.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) expr: String,
    pub(super) legend: &'static str,
}

/// How a panel shows its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The current value as a number.
    Number,
    /// The current value of a label.
    Word,
    /// Lines.
    Lines,
    /// Stacked areas: parts of a whole.
    Parts,
}

/// Target of a click on a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Nowhere,
    /// The node dashboard, by the label `instance`.
    Node,
    /// The group dashboard, by the label `groupname`.
    Group,
}

/// One panel.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) kind: Kind,
    /// Grafana's name of the unit.
    pub(super) unit: &'static str,
    pub(super) queries: Vec<Query>,
    pub(super) link: Link,
    /// Value from which on it is red.
    pub(super) red_from: Option<f64>,
}

/// Grafana's names of units.
pub(super) mod unit {
    pub(in super::super) const BYTES: &str = "bytes";
    pub(in super::super) const BYTES_PER_SECOND: &str = "Bps";
    pub(in super::super) const COUNT: &str = "short";
    pub(in super::super) const PER_SECOND: &str = "ops";
    pub(in super::super) const RATIO: &str = "percentunit";
    pub(in super::super) const SECONDS: &str = "s";
    /// CPU seconds per second.
    pub(in super::super) const CPUS: &str = "suffix: CPUs";
}

pub(super) fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

fn panel(kind: Kind, title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    Panel {
        title,
        description,
        kind,
        unit,
        queries: Vec::new(),
        link: Link::Nowhere,
        red_from: None,
    }
}

pub(super) fn number(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::Number, title, description, unit)
}

pub(super) fn word(title: &'static str, description: &'static str) -> Panel {
    panel(Kind::Word, title, description, unit::COUNT)
}

pub(super) fn lines(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::Lines, title, description, unit)
}

pub(super) fn parts(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::Parts, title, description, unit)
}

impl Panel {
    pub(super) fn query(mut self, expr: impl Into<String>, legend: &'static str) -> Self {
        let expr = expr.into();
        self.queries.push(Query { expr, legend });
        self
    }

    pub(super) fn to(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    pub(super) fn red_from(mut self, value: f64) -> Self {
        self.red_from = Some(value);
        self
    }
}
