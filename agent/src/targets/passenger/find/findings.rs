//! The instances that were found, within the shares of the users.
//!
//! In come the uids that there is work for, and the results of the work; out come [`Findings`]. No IO.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::instance::Instance;
use super::registry::Listing;
use super::{MOST_OF_EACH, MOST_OF_ROOT, ROOT, Sought};
use crate::blocking::SubordinateUids;
use crate::process::ProcessId;
use crate::targets::failure::Failure;
use crate::targets::files::{Place, Stillness};

/// Processes that are looked at for each instance of a share: Passenger has three that carry the name of its agent.
const PROCESSES: usize = 4;
/// Most users other than root whose files are looked at: those with the lowest uids.
const MOST_USERS: usize = 256;
/// Most failures of one user that are named.
pub(super) const MOST_NAMED: usize = 16;

/// All instances that run, and the rest.
#[derive(Debug, Default)]
pub(in crate::targets::passenger) struct Findings {
    /// Root's first, then by uid.
    pub(in crate::targets::passenger) instances: Vec<Instance>,
    /// The instances that cannot be asked; at most 16 of each user.
    pub(in crate::targets::passenger) failures: Vec<NotAsked>,
    /// By uid: instances, directories, processes and failures beyond the bounds, [`Failure::Limit`].
    pub(in crate::targets::passenger) left_out: BTreeMap<u32, u64>,
    /// Whose share each uid uses.
    pub(in crate::targets::passenger) owners: SubordinateUids,
    /// Number of failures that are named, by user.
    named: BTreeMap<u32, usize>,
    /// Only if nothing was found. While it lasts, the registries hold nothing that may be an instance.
    pub(in crate::targets::passenger) stillness: Option<Arc<Stillness>>,
}

/// Something that may be a running instance and cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::targets::passenger) struct NotAsked {
    /// The name of the instance, else of its directory; `registry-N` or `process-PID` if not even that is known.
    pub(in crate::targets::passenger) name: String,
    /// The owner.
    pub(in crate::targets::passenger) uid: u32,
    pub(in crate::targets::passenger) failure: Failure,
}

/// The processes and directories of one uid that readers look at.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) processes: Vec<ProcessId>,
    pub(super) entries: Vec<(Arc<Place>, String)>,
}

/// The result of a look at a directory or process.
pub(super) type Inspected = Result<Option<Instance>, NotAsked>;

impl Findings {
    /// Adds the result of a job that was charged to `user`.
    pub(super) fn add(&mut self, user: u32, sought: &Sought, result: Result<Inspected, Failure>) {
        match result {
            Ok(Ok(instance)) => self.instances.extend(instance),
            Ok(Err(not_asked)) => self.fail(user, not_asked),
            Err(failure) => self.fail(
                user,
                NotAsked {
                    name: sought.name(),
                    uid: user,
                    failure,
                },
            ),
        }
    }

    /// Adds a failure to the share of `user`.
    pub(super) fn fail(&mut self, user: u32, not_asked: NotAsked) {
        let named = self.named.entry(user).or_default();
        if not_asked.failure == Failure::Limit || *named >= MOST_NAMED {
            self.leave_out(not_asked.uid, 1);
        } else {
            *named += 1;
            self.failures.push(not_asked);
        }
    }

    /// The work by the user whose share it uses, within the bounds; each part with the uid whose files it is about.
    pub(super) fn shared(&mut self, work: BTreeMap<u32, Work>) -> BTreeMap<u32, Vec<(u32, Work)>> {
        let mut shared: BTreeMap<u32, Vec<(u32, Work)>> = BTreeMap::new();
        for (uid, work) in work {
            let user = self.owners.share_of(uid);
            shared.entry(user).or_default().push((uid, work));
        }
        while shared.len() > MOST_USERS
            && let Some((_, left_out)) = shared.pop_last()
        {
            for (uid, work) in left_out {
                self.leave_out(uid, work.entries.len() + work.processes.len());
            }
        }
        for (user, work) in &mut shared {
            let mut room = match *user {
                ROOT => PROCESSES * MOST_OF_ROOT,
                _ => PROCESSES * MOST_OF_EACH,
            };
            for (uid, work) in work {
                self.leave_out(*uid, work.processes.len().saturating_sub(room));
                work.processes.truncate(room);
                room -= work.processes.len();
            }
        }
        shared
    }

    /// Adds the entries of a registry to the work on files of their owners. Counts the entries that were left out; whose entries
    /// were not looked at is unknown: those count for the owner of the registry.
    pub(super) fn note(&mut self, listing: &Listing, work: &mut BTreeMap<u32, Work>) {
        self.leave_out(listing.place.uid, usize::from(!listing.is_whole));
        for (uid, count) in &listing.left_out {
            self.leave_out(*uid, *count);
        }
        for (uid, names) in &listing.names {
            let entries = names.iter();
            let entries = entries.map(|name| (Arc::clone(&listing.place), name.clone()));
            work.entry(*uid).or_default().entries.extend(entries);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.failures.is_empty() && self.left_out.is_empty()
    }

    pub(super) fn leave_out(&mut self, uid: u32, count: usize) {
        if count > 0 {
            *self.left_out.entry(uid).or_default() += count as u64;
        }
    }

    pub(super) fn sort(&mut self) {
        self.instances.sort_by(|one, other| {
            let key = |instance: &Instance| (instance.identity.uid, instance.identity.since_ns);
            let by_name = || one.identity.name.cmp(&other.identity.name);
            key(one).cmp(&key(other)).then_with(by_name)
        });
        self.failures
            .sort_by(|one, other| (one.uid, &one.name).cmp(&(other.uid, &other.name)));
    }
}
