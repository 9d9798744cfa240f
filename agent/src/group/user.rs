//! Users that groups are made for. Groups are counted by user, so that no user can take all.

/// The first subordinate uid: `SUB_UID_MIN` of `login.defs`.
const SUBORDINATE: u32 = 100_000;

/// Number of subordinate uids of one user: `SUB_UID_COUNT`.
const RANGE: u32 = 65_536;

/// The user that a group is counted for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {
    /// The effective user is unknown: a sum over several processes, or a group of a former configuration.
    #[default]
    Unknown,
    /// The configuration names the group: it exists without a process.
    Configuration,
    /// One effective uid.
    Uid(u32),
    /// A range of effective uids, by its number. One user has the whole range for containers, so it counts as one user.
    Range(u32),
}

impl User {
    /// The user of a process.
    pub(super) fn of(uid: Option<u32>) -> Self {
        match uid {
            None => Self::Unknown,
            Some(uid) if uid < SUBORDINATE => Self::Uid(uid),
            Some(uid) => Self::Range((uid - SUBORDINATE) / RANGE),
        }
    }

    pub(super) const fn is_root(self) -> bool {
        matches!(self, Self::Uid(0))
    }
}

/// How a group came to be, and whether it is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filling {
    /// The user of the process that the group was made for.
    pub(super) maker: User,
    /// Whether processes of further users were in it.
    pub(super) is_shared: bool,
    /// Live processes in it, as far as their ends are known.
    pub(super) living: u64,
    /// When a live process last joined or left it, as the value of a counter that only rises.
    pub(super) touched: u64,
}

impl Filling {
    /// Notes that a process of `user` joins.
    pub(super) fn join(&mut self, user: User) {
        self.is_shared |= self.maker != user;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_uids_of_one_user_are_one() {
        assert!(User::of(Some(0)).is_root());
        assert_ne!(User::of(Some(1000)), User::of(Some(1001)));
        assert_eq!(User::of(Some(100_000)), User::of(Some(165_535)));
        assert_ne!(User::of(Some(165_535)), User::of(Some(165_536)));
        assert_eq!(User::of(None), User::Unknown);
    }
}
