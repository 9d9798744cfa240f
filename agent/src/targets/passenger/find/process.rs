//! The instance that a process belongs to, by the lock that it has open.
//!
//! In comes the identity of a process; out come its pid in its own pid namespace, and the directory of its instance as
//! the process sees it: in its mount namespace, wherever the registry is. The name of the process decides nothing.
//!
//! The kernel shows the path of an open descriptor. The agent resolves it below the root of the process, without links, and takes
//! the directory only if the `lock` in it is the file that is open, and if the user of the process owns it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::super::workers::NamespacedPid;
use super::inspect::LOCK;
use super::registry::instance_name;
use crate::host::Host;
use crate::process::ProcessId;
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Place, Rule};
use crate::targets::processes::{check, numbers, open};

/// Most descriptors of a process that are looked at. A watchdog has some dozens, and opens its lock early.
const MOST_DESCRIPTORS: usize = 1024;

/// The directory of an instance that a process has locked.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) place: Place,
    /// Its name.
    pub(super) name: String,
    /// Inode of the pid namespace of the process.
    pub(super) pid_namespace: u64,
    /// Whether the process is in the user namespace of the agent: only then it sees the agent's uid.
    pub(super) shares_users: bool,
}

/// The instance whose lock the process has open, if the user `uid` owns it; nothing if the agent may not look at its descriptors.
///
/// # Errors
/// [`Failure::Gone`] if the process has ended.
pub(super) fn of_process(
    host: &Host,
    id: ProcessId,
    uid: u32,
) -> Result<Option<Sighting>, Failure> {
    let process = open(host, id)?;
    let Some((place, name)) = locked(&process, uid) else {
        return Ok(None);
    };
    let namespace = |kind: &str| process.key_behind(Path::new(kind));
    let own_users = Place::trusted(Path::new("/proc/self"))?.key_behind(Path::new("ns/user"))?;
    let sighting = Sighting {
        place,
        name,
        pid_namespace: namespace("ns/pid")?.1,
        shares_users: namespace("ns/user")? == own_users,
    };
    check(host, &process, id)?;
    Ok(Some(sighting))
}

/// The pid of a process in its own pid namespace.
///
/// # Errors
/// [`Failure::Gone`] if it has ended; [`Failure::Denied`] if the agent may not look at its namespaces.
pub(super) fn namespaced_pid(host: &Host, id: ProcessId) -> Result<NamespacedPid, Failure> {
    let process = open(host, id)?;
    let namespace = process.key_behind(Path::new("ns/pid"))?.1;
    let status = process.regular("status")?.read()?;
    check(host, &process, id)?;
    let pid = innermost_pid(&status).ok_or(Failure::Malformed)?;
    Ok(NamespacedPid { namespace, pid })
}

/// `NSpid` has the pid in each namespace from that of `/proc` to that of the process.
fn innermost_pid(status: &[u8]) -> Option<u32> {
    numbers(status, b"NSpid:")?.next_back()?.parse().ok()
}

/// The first directory of `uid` whose lock the process has open.
fn locked(process: &Place, uid: u32) -> Option<(Place, String)> {
    let descriptors = process.directory(Path::new("fd"), Rule::Inside).ok()?;
    let mut numbers = Vec::new();
    let listed = descriptors.names(|name| {
        if numbers.len() < MOST_DESCRIPTORS {
            numbers.push(name.to_vec());
        }
    });
    listed.ok()?;
    let mut root = None;
    numbers.iter().find_map(|number| {
        let number = Path::new(OsStr::from_bytes(number));
        let link = descriptors.link(number).ok()?;
        let (directory, name) = locked_directory(&link)?;
        if root.is_none() {
            root = Some(process.behind(c"root").ok()?);
        }
        // The path may lead elsewhere by now; then this is not the file that the process has open.
        let place = root.as_ref()?.directory(directory, Rule::Beneath).ok()?;
        let lock = place.regular(LOCK).ok()?;
        let is_open: FileKey = descriptors.key_behind(number).ok()?;
        (place.uid == uid && lock.key == is_open).then(|| (place, name.to_owned()))
    })
}

/// The directory of an instance, relative to the root, and its name; if the link is that of its lock.
fn locked_directory(link: &[u8]) -> Option<(&Path, &str)> {
    let directory = link.strip_prefix(b"/")?.strip_suffix(b"/lock")?;
    let name = directory.rsplit(|byte| *byte == b'/').next()?;
    Some((
        Path::new(OsStr::from_bytes(directory)),
        instance_name(name)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn innermost_pid_is_the_last() {
        let of = |text: &str| innermost_pid(text.as_bytes());
        assert_eq!(
            of("Name:\tNSpid: 7\nPid:\t4711\nNSpid:\t4711\t31\t5\nNSpgid:\t1\t2\n"),
            Some(5)
        );
        assert_eq!(of("NSpid:\t4711\n"), Some(4711));
        for bad in ["", "NSpid:\n", "NSpid:\tx\n", "NSpid:\t1\t-1\n"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_lock_of_an_instance_is_one() {
        let found = |link: &'static str| {
            let (directory, name) = locked_directory(link.as_bytes())?;
            Some((directory.to_str().unwrap().to_owned(), name.to_owned()))
        };
        let wanted = Some(("tmp/passenger.A1".to_owned(), "passenger.A1".to_owned()));
        assert_eq!(found("/tmp/passenger.A1/lock"), wanted);
        for bad in [
            "/tmp/passenger.A1/lock (deleted)",
            "/tmp/passenger./lock",
            "/tmp/passenger.A1/x/lock",
            "/tmp/passenger.A 1/lock",
            "tmp/passenger.A1/lock",
            "socket:[1]",
            "/lock",
            "/",
            "",
        ] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }
}
