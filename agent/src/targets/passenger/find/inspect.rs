//! Looks at one directory that may be that of a running instance.
//!
//! In comes the directory, open; out comes the instance with its socket, nothing if none runs there, or why it cannot be asked.
//! All files that the agent uses must belong to the owner of the directory: a link to the file of another user is refused. The
//! password is sent, so its file must also have only one link. The other files may have more, because another user must not be
//! able to hide an instance by linking to its files.

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::instance::{Instance, InstanceIdentity, Password};
use super::super::properties::Properties;
use super::NotAsked;
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Place, Regular};

/// Present when the directory is complete.
const FINALIZED: &str = "creation_finalized";
/// The watchdog holds an exclusive flock on it.
pub(super) const LOCK: &str = "lock";
const PROPERTIES: &str = "properties.json";
/// The socket of the admin interface.
const SOCKET: &str = "agents.s/core_api";
const PASSWORD: &str = "read_only_admin_password.txt";
/// Letters and digits of a password.
const PASSWORD_LENGTH: usize = 24;

/// The identity of the agent, as instances see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agent {
    /// Its effective uid.
    pub(super) uid: u32,
    /// Whether an instance sees this uid: not if the instance is in another user namespace.
    pub(super) is_known: bool,
}

impl Agent {
    /// Whether an instance of `uid` admits it by its uid alone.
    const fn is_admitted(self, uid: u32) -> bool {
        self.is_known && (self.uid == 0 || self.uid == uid)
    }
}

/// The instances of one user found so far. They hold descriptors, so their number is bounded.
#[derive(Debug, Clone)]
pub(super) struct Share {
    places: Arc<Mutex<HashSet<FileKey>>>,
    room: usize,
    /// Instances that several users may have together, beside the first of each.
    common: Arc<AtomicUsize>,
}

/// Whether an instance is new.
enum Claim {
    New,
    Known,
    Full,
}

impl Share {
    /// A share of at most `room` instances: the first one, and others as long as `common` has some left.
    pub(super) fn new(room: usize, common: Arc<AtomicUsize>) -> Self {
        Self {
            places: Arc::default(),
            room,
            common,
        }
    }

    fn claim(&self, place: FileKey) -> Claim {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.contains(&place) {
            return Claim::Known;
        }
        let take = |left: usize| left.checked_sub(1);
        let has_common = || self.common.fetch_update(Relaxed, Relaxed, take).is_ok();
        if places.len() >= self.room || !places.is_empty() && !has_common() {
            return Claim::Full;
        }
        places.insert(place);
        Claim::New
    }
}

/// Looks at a directory that is called `name`.
///
/// # Errors
/// Why the instance that runs there cannot be asked.
pub(super) fn inspect(
    (place, name): (&Place, &str),
    agent: Agent,
    pid_namespace: Option<u64>,
    share: &Share,
) -> Result<Option<Instance>, NotAsked> {
    let failed = |name: &str, failure| NotAsked {
        name: name.to_owned(),
        uid: place.uid,
        failure,
    };
    let since_ns = match alive_since(place) {
        // A directory without these files is unfinished, or is being removed.
        Ok(None) | Err(Failure::Gone) => return Ok(None),
        Ok(Some(since_ns)) => since_ns,
        Err(failure) => return Err(failed(name, failure)),
    };
    match share.claim(place.key) {
        Claim::New => {}
        Claim::Known => return Ok(None),
        Claim::Full => return Err(failed(name, Failure::Limit)),
    }
    let (properties, named_ns) = properties(place).map_err(|failure| failed(name, failure))?;
    let name = properties.name;
    let socket = match place.socket(SOCKET) {
        Ok((socket, uid)) if uid == place.uid => socket,
        Ok(_) => return Err(failed(&name, Failure::Denied)),
        Err(failure) => return Err(failed(&name, failure)),
    };
    let password = match agent.is_admitted(place.uid) {
        true => None,
        // Without it, the instance may still admit the agent to the applications of its own user.
        false => read_password(place).ok(),
    };
    let identity = InstanceIdentity {
        place: place.key,
        uid: place.uid,
        name,
        version: properties.version,
        integration_mode: properties.integration_mode,
        // An instance that takes another name becomes a younger one, so that it cannot take that of an instance which is there.
        since_ns: since_ns.max(named_ns),
        pid_namespace,
    };
    Ok(Some(Instance {
        identity,
        socket: Arc::new(socket),
        password,
    }))
}

/// The name that the instance gives itself, and when that was last changed.
fn properties(place: &Place) -> Result<(Properties, u64), Failure> {
    let file = owned(place, PROPERTIES)?;
    let properties = Properties::parse(&file.read()?).map_err(|_| Failure::Malformed)?;
    Ok((properties, file.changed_ns))
}

/// When the lock file was last changed, if the directory is complete and its watchdog lives. The lock comes second: a watchdog
/// that starts takes it before it completes the directory, and this test must not get in its way.
fn alive_since(place: &Place) -> Result<Option<u64>, Failure> {
    owned(place, FINALIZED)?;
    let lock = owned(place, LOCK)?;
    let since_ns = lock.changed_ns;
    Ok(lock.is_locked()?.then_some(since_ns))
}

/// A file of the directory's owner.
fn owned(place: &Place, name: &str) -> Result<Regular, Failure> {
    let file = place.regular(name)?;
    match file.uid == place.uid {
        true => Ok(file),
        false => Err(Failure::Denied),
    }
}

fn read_password(place: &Place) -> Result<Password, Failure> {
    let file = owned(place, PASSWORD)?;
    if file.links != 1 {
        return Err(Failure::Denied);
    }
    let text = file.read()?;
    let text = text.trim_ascii();
    let is_password = text.len() == PASSWORD_LENGTH && text.iter().all(u8::is_ascii_alphanumeric);
    let text = std::str::from_utf8(text).ok().filter(|_| is_password);
    text.map(|text| Password(text.to_owned()))
        .ok_or(Failure::Malformed)
}
