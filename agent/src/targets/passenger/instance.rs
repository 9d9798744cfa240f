//! A running instance, as its files show it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

/// One running instance of Passenger that may be asked.
#[derive(Debug)]
pub(super) struct Instance {
    /// The facts in its files.
    pub(super) identity: InstanceIdentity,
    /// Its socket `agents.s/core_api`, opened with O_PATH, so that it cannot be exchanged between the check and the connection.
    pub(super) socket: Arc<OwnedFd>,
    /// The read-only password; only if the agent needs it to be admitted.
    pub(super) password: Option<Password>,
}

/// The identity of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstanceIdentity {
    /// Device and inode of its directory: one instance that is found in several ways has one place.
    pub(super) place: (u64, u64),
    /// The owner of its directory, and of its password file.
    pub(super) uid: u32,
    /// `name` of `properties.json`: 1 to 64 letters, digits, `-` and `_`.
    pub(super) name: String,
    /// `passenger_version`, at most 64 bytes of visible ASCII.
    pub(super) version: String,
    /// `integration_mode`, as `version`.
    pub(super) integration_mode: String,
    /// When the last of its lock file and `properties.json` was changed (`st_ctime`), nanoseconds since the epoch. No user can set
    /// that time back, so an instance that appears later, or takes its name later, is never the older one.
    pub(super) since_ns: u64,
    /// Inode of the pid namespace of the process through which it was found; `None` if it was found in a registry directory.
    pub(super) pid_namespace: Option<u64>,
}

/// The read-only password: 24 letters and digits. Its text is in no log and no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Password(pub(super) String);

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password(..)")
    }
}
