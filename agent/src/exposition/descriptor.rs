//! Descriptors of metric families: everything about a family except its samples.

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that only rises.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
    /// Sum and count.
    Summary,
}

impl Kind {
    /// The word after the name in `# TYPE`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// A metric family, as the exposition and METRICS.md describe it.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// The family's name, including its unit and `_total`.
    pub name: &'static str,
    /// The family's type.
    pub kind: Kind,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// Label names in alphabetical order; label values are given in the same order.
    pub labels: &'static [&'static str],
    /// Unit of the values, for METRICS.md.
    pub unit: &'static str,
    /// Source of the values, for METRICS.md.
    pub source: &'static str,
    /// The values without that source, for METRICS.md.
    pub fallback: &'static str,
}
