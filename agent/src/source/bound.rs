//! Limits how many readers of `/proc` may be held up at a time, in total and by one user. Pure.
//!
//! A process can keep a reader waiting for as long as it lives, so local users could use up all readers. Each user therefore
//! has a share. Root has a share of its own, which other users cannot take, and root cannot take theirs.

/// The limits of one kind of readers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// Readers that root's processes may hold up.
    pub(super) root: usize,
    /// Readers that the processes of each other user may hold up…
    pub(super) each: usize,
    /// …and those of all other users together.
    pub(super) others: usize,
}

const ROOT: u32 = 0;

impl Bound {
    /// Whether a process of `user` may be read. `held`: for each reader that is held up, the user of the process that holds it.
    pub(super) fn has_room(&self, held: impl Iterator<Item = u32>, user: u32) -> bool {
        let (mut own, mut others) = (0, 0);
        for holder in held {
            own += usize::from(holder == user);
            others += usize::from(holder != ROOT);
        }
        match user {
            ROOT => own < self.root,
            _ => own < self.each && others < self.others,
        }
    }

    /// Whether so few readers are held up that every user has room.
    pub(super) const fn is_far(&self, held: usize) -> bool {
        held < self.each && held < self.others && held < self.root
    }

    /// Maximum number of readers that may be held up.
    pub(super) const fn all(&self) -> usize {
        self.root + self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound {
        root: 4,
        each: 2,
        others: 6,
    };

    fn has_room(held: &[u32], user: u32) -> bool {
        BOUND.has_room(held.iter().copied(), user)
    }

    #[test]
    fn one_user_at_the_bound_leaves_readers_for_others_and_root() {
        assert!(has_room(&[7], 7));
        assert!(!has_room(&[7, 7], 7));
        assert!(has_room(&[7, 7], 8));
        assert!(has_room(&[7, 7], 0));
    }

    #[test]
    fn users_together_leave_root_its_readers_and_root_leaves_them_theirs() {
        let users = [1, 1, 2, 2, 3, 3];
        assert!(!has_room(&users, 4));
        assert!(has_room(&users, 0));
        assert!(!has_room(&[0; 4], 0));
        assert!(has_room(&[0; 4], 4));
    }

    #[test]
    fn bound_is_far_only_while_every_user_has_room() {
        for held in 0..8 {
            let of_one = vec![5; held];
            assert!(!BOUND.is_far(held) || has_room(&of_one, 5) && has_room(&of_one, 0));
        }
        assert!(BOUND.is_far(1));
    }
}
