//! The parts of an exposition: the collectors of each part, and the families that they have written.

use super::bounded::Omitted;
use crate::exposition::Part;

/// The part of an exposition to which a collector belongs. Each part is written by one thread and does not wait for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartOf {
    /// Needs the state, or has to run on the thread that owns it, the only one that may read files.
    State,
    /// Needs neither the state nor a file. HTTP's side writes it, also when the other parts are late.
    Server,
    /// Answers of other programs. The targets thread writes it.
    Targets,
}

/// The output of the collectors of one part.
#[derive(Debug, Default)]
pub struct CollectedPart {
    pub(super) part: Part,
    /// The collectors whose families are in it.
    pub(super) succeeded: Vec<&'static str>,
    /// Groups left out of it.
    pub(super) omitted: Omitted,
}

impl From<Part> for CollectedPart {
    /// A part that no collector has written.
    fn from(part: Part) -> Self {
        Self {
            part,
            ..Self::default()
        }
    }
}

impl CollectedPart {
    /// Its families.
    pub const fn part(&self) -> &Part {
        &self.part
    }
}
