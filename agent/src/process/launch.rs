//! Which image pays for a launch: what a process used between its fork and its first exec.
//!
//! A short program's launch is most of its cost, so it counts for the program. Not so where the exec of a set-user-ID or
//! set-group-ID program changed whose the process is: what ran before was another user's code, and that user must not
//! choose whom it is billed to.

use super::{Counters, Sample};

/// Whose the use before a process's first exec is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Launch {
    /// The new image's: the exec changed neither the effective user id nor the effective group id.
    #[default]
    Taken,
    /// The former image's: the exec changed one of them.
    Left,
    /// The source does not tell. It is the new image's, unless the next pass finds that an effective id is not the real one.
    Unless {
        /// Real user id at the exec. A set-user-ID program leaves it alone.
        real_uid: u32,
    },
}

impl Launch {
    /// Whether the launch stays with the former image, as far as a pass can tell.
    pub(super) fn is_left(self, sample: &Sample) -> bool {
        match self {
            Self::Taken => false,
            Self::Left => true,
            // Whoever was root before the exec needs no set-user-ID program to bill root.
            Self::Unless { real_uid } => {
                let now = sample.effective_uid.unwrap_or(real_uid);
                sample.has_borrowed_ids || real_uid != 0 && now != real_uid
            }
        }
    }
}

/// How an exec ends the image before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Former {
    /// Whose the launch is, if this is the process's first exec.
    pub launch: Launch,
    /// Execs of the same process just before this one, of which nothing else is known. [`Self::launch`] is about the
    /// first of them.
    pub merged: Option<Box<Merged>>,
}

impl Former {
    /// Execs in all.
    pub fn execs(&self) -> u64 {
        let merged = self.merged.as_ref().map_or(0, |merged| merged.execs);
        merged.saturating_add(1)
    }
}

/// Execs whose images nobody can name: what they used belongs to no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// How many.
    pub execs: u64,
    /// Totals at the first of them.
    pub counters: Counters,
}
