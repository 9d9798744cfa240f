//! The readers that are held up, and the users of whose processes the agent may still read. Pure.
//!
//! A process can keep a reader waiting for as long as it lives, so local users could use up all readers. Each user therefore
//! has a share. Root has a share of its own, which other users cannot take, and root cannot take theirs.

/// The limits of one kind of readers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Readers that root's processes may hold up.
    pub(crate) root: usize,
    /// Readers that the processes of each other user may hold up.
    pub(crate) each: usize,
    /// Readers that the processes of all other users together may hold up.
    pub(crate) others: usize,
}

const ROOT: u32 = 0;

impl Bound {
    /// Whether a process of `user` may be read. `held`: for each reader that is held up, the user of the process that holds it.
    pub(crate) fn has_room(
        &self,
        held: impl ExactSizeIterator<Item = u32>,
        user: impl FnOnce() -> u32,
    ) -> bool {
        if self.is_far(held.len()) {
            return true;
        }
        let user = user();
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
    const fn is_far(&self, held: usize) -> bool {
        held < self.each && held < self.others && held < self.root
    }

    /// Maximum number of readers that may be held up.
    pub(crate) const fn all(&self) -> usize {
        self.root + self.others
    }
}

/// The readers of one kind that are held up. `K`: the key of the file that a reader waits for.
#[derive(Debug)]
pub(crate) struct HeldUp<K, R> {
    bound: Bound,
    /// One entry for each reader: the key of its file, the user whose share of readers it takes, and the reader itself.
    readers: Vec<(K, u32, R)>,
    refused: u64,
}

impl<K, R> HeldUp<K, R> {
    pub(crate) const fn new(bound: Bound) -> Self {
        Self {
            bound,
            readers: Vec::new(),
            refused: 0,
        }
    }

    /// Whether a process of `user` may be read; counts a refusal. `user` is called only if that matters.
    pub(crate) fn admits(&mut self, user: impl FnOnce() -> u32) -> bool {
        let is_admitted = self.bound.has_room(self.users(), user);
        self.refused += u64::from(!is_admitted);
        is_admitted
    }

    pub(super) fn add(&mut self, key: K, user: u32, reader: R) {
        self.readers.push((key, user, reader));
    }

    /// Removes the readers that have come back.
    pub(super) fn release(&mut self, mut is_back: impl FnMut(&R) -> bool) {
        self.readers.retain(|(_, _, reader)| !is_back(reader));
    }

    /// The keys of the files that the readers wait for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.readers.iter().map(|(key, _, _)| key)
    }

    /// For each reader, the user of the process that holds it up.
    pub(crate) fn users(&self) -> impl ExactSizeIterator<Item = u32> {
        self.readers.iter().map(|(_, user, _)| *user)
    }

    /// Number of readers that are held up.
    pub(crate) const fn len(&self) -> usize {
        self.readers.len()
    }

    /// Requests that were refused at the bound.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
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
        BOUND.has_room(held.iter().copied(), || user)
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

    #[test]
    fn refusals_are_counted_until_a_reader_comes_back() {
        let mut held_up = HeldUp::new(BOUND);
        for key in 0..3 {
            assert_eq!(held_up.admits(|| 7), key < 2);
            held_up.add(key, 7, ());
        }
        assert!(held_up.admits(|| 8));
        assert_eq!((held_up.len(), held_up.refused()), (3, 1));
        held_up.release(|()| true);
        assert!(held_up.admits(|| 7));
        assert_eq!((held_up.keys().count(), held_up.refused()), (0, 1));
    }
}
