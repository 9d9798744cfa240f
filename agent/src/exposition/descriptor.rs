//! What there is to say about a metric family before its first sample.

/// Type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
}

impl Kind {
    /// The word behind `# TYPE`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric family: all that the exposition and the reference say about it.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// Name of the family, unit and `_total` included.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// Label names in alphabetical order; label values are given in the same order.
    pub labels: &'static [&'static str],
    /// Unit of the values, for the reference.
    pub unit: &'static str,
    /// Where the values come from, for the reference.
    pub source: &'static str,
    /// What is shown where that source is missing, for the reference.
    pub fallback: &'static str,
}
