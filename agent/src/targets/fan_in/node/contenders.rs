//! Selects the processes that may own an address. Pure.
//!
//! Several network namespaces may have the same address, and any user can create one with the address of a pod. Only a connection
//! shows to which of these namespaces the address leads. So the agent tries one process of each namespace, the oldest first. The
//! bounds below keep each user from taking the room of others.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::ProcessOutcome;
use crate::targets::files::FileKey;

/// Most processes of root for an address.
const OF_ROOT: usize = 4;
/// Most processes of each other user for an address.
const OF_EACH: usize = 2;
/// Most processes of all users but root for an address.
const OF_OTHERS: usize = 8;
const ROOT: u32 = 0;

/// The listeners and the addresses admitted so far.
#[derive(Debug, Default)]
pub(super) struct Contenders {
    /// Listening sockets by their inodes.
    listeners: HashSet<u64>,
    /// For each address, the namespaces that have it, with the users of their processes.
    of_addresses: HashMap<SocketAddr, Vec<(FileKey, u32)>>,
}

impl Contenders {
    /// Admits a process of `user`.
    ///
    /// # Errors
    /// [`ProcessOutcome::Shared`]: an older process has the same listener, or the same address in the same namespace.
    /// [`ProcessOutcome::Limit`]: the bound of the user, or of all users but root, is reached.
    pub(super) fn admit(
        &mut self,
        (address, inode): (SocketAddr, u64),
        namespace: FileKey,
        user: u32,
    ) -> Result<(), ProcessOutcome> {
        let others = self.of_addresses.entry(address).or_default();
        let is_known = others.iter().any(|(known, _)| *known == namespace);
        if is_known || self.listeners.contains(&inode) {
            return Err(ProcessOutcome::Shared);
        }
        let count = |wanted: &dyn Fn(u32) -> bool| {
            let of_users = others.iter().filter(|(_, user)| wanted(*user));
            of_users.count()
        };
        let has_room = match user {
            ROOT => count(&|other| other == ROOT) < OF_ROOT,
            _ => {
                count(&|other| other == user) < OF_EACH && count(&|other| other != ROOT) < OF_OTHERS
            }
        };
        if !has_room {
            return Err(ProcessOutcome::Limit);
        }
        others.push((namespace, user));
        self.listeners.insert(inode);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits processes of `user` at one address, each in a namespace of its own.
    fn admitted(contenders: &mut Contenders, user: u32, count: u64) -> usize {
        let address = "10.0.0.1:80".parse().unwrap();
        let each = (0..count).map(|n| {
            let number = u64::from(user) * 1_000 + n;
            contenders.admit((address, number), (0, number), user)
        });
        each.filter(Result::is_ok).count()
    }

    #[test]
    fn contenders_of_a_user_at_an_address_are_bounded_and_leave_room_for_others() {
        let mut contenders = Contenders::default();
        assert_eq!(admitted(&mut contenders, 1, 100), OF_EACH);
        assert_eq!(admitted(&mut contenders, 2, 1), 1);
        for user in 3..100 {
            admitted(&mut contenders, user, 100);
        }
        assert_eq!(
            admitted(&mut contenders, 100, 1),
            0,
            "of all users but root"
        );
        assert_eq!(admitted(&mut contenders, ROOT, 100), OF_ROOT);
    }

    #[test]
    fn processes_with_one_listener_or_one_address_in_a_namespace_are_one_instance() {
        let mut contenders = Contenders::default();
        let mut admit = |address: &str, inode, namespace| {
            contenders.admit((address.parse().unwrap(), inode), (0, namespace), 1)
        };
        assert_eq!(admit("10.0.0.1:80", 1, 1), Ok(()));
        assert_eq!(admit("10.0.0.1:80", 2, 1), Err(ProcessOutcome::Shared));
        assert_eq!(admit("10.0.0.1:80", 1, 2), Err(ProcessOutcome::Shared));
        assert_eq!(admit("10.0.0.1:80", 3, 2), Ok(()));
        assert_eq!(admit("10.0.0.1:80", 4, 3), Err(ProcessOutcome::Limit));
        assert_eq!(admit("10.0.0.2:80", 4, 3), Ok(()));
    }
}
