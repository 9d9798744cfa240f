//! What a dashboard is made of, without what all of them have alike.

/// One dashboard.
#[derive(Debug)]
pub(super) struct Dashboard {
    /// Part of its address in Grafana, and of the links between them.
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// Beside `datasource`, in the order in which they depend on each other.
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

/// How many values of a variable may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    One,
    /// All at first, which Grafana writes out.
    Several,
    /// The same, but all is `.+`: written out, ten thousand nodes are no query any more.
    Many,
}

/// Panels under one head.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// One query and what its series are called.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) expr: String,
    pub(super) legend: &'static str,
}

/// How the values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One number now.
    Number,
    /// The value of a label now.
    Word,
    /// Lines.
    Lines,
    /// Areas on top of each other: parts of a whole.
    Parts,
}

/// Where a click on a series leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Nowhere,
    /// To the node dashboard, by the label `instance`.
    Node,
    /// To the group dashboard, by the label `groupname`.
    Group,
}

/// One panel.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) kind: Kind,
    /// As Grafana calls it.
    pub(super) unit: &'static str,
    pub(super) queries: Vec<Query>,
    pub(super) link: Link,
    /// From which value on it is red.
    pub(super) red_from: Option<f64>,
}

/// Units, as Grafana calls them.
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
