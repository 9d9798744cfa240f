//! Which image a launch is booked to: the use of a process between its fork and its first exec.
//!
//! A launch is most of the cost of a short program, so it counts for the new program. There is one exception: if the exec of a
//! set-user-ID or set-group-ID program changed the effective ids, another user's code ran before, and that user must not choose
//! the group it is booked to.

use super::{Counters, Sample};

/// The image that the use before a process's first exec belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Launch {
    /// The new image: the exec changed neither the effective user id nor the effective group id.
    #[default]
    Taken,
    /// The former image: the exec changed one of them.
    Left,
    /// The source does not report it. It is the new image, unless the next pass finds that an effective id is not the real one.
    Unless {
        /// Real user id at the exec. A set-user-ID program does not change it.
        real_uid: u32,
    },
}

impl Launch {
    /// Whether the launch stays with the former image, as far as a pass shows.
    pub(super) fn is_left(self, sample: &Sample) -> bool {
        match self {
            Self::Taken => false,
            Self::Left => true,
            // A process that was root before the exec needs no set-user-ID program to have its use booked to root.
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
    /// The image that the launch belongs to, if this is the process's first exec.
    pub launch: Launch,
    /// Execs of the same process just before this one that have no records of their own. [`Self::launch`] is about the first of
    /// them.
    pub merged: Option<Box<Merged>>,
}

impl Former {
    /// Number of execs, the merged ones included.
    pub fn execs(&self) -> u64 {
        let merged = self.merged.as_ref().map_or(0, |merged| merged.execs);
        merged.saturating_add(1)
    }
}

/// Execs whose images are unknown: their use belongs to no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Number of these execs.
    pub execs: u64,
    /// Totals at the first of them.
    pub counters: Counters,
}
