//! Finds and opens the control socket of an arbiter.
//!
//! ```text
//! arbiter --/proc/<pid>/fd, net/unix--> path of the socket --below /proc/<pid>/root--> connection to it
//! ```
//!
//! In come arbiters that the state knows; out come their users, and connections, or why there is none. All of it is done by
//! [`Readers`]: a file that hangs delays only files of the same user. The path leads nowhere else: the agent connects only to a
//! socket file of the arbiter's user, and whether the arbiter listens there is checked by the caller.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::listeners::{control_path, inode};
use crate::blocking::SubordinateUids;
use crate::host::Host;
use crate::process::ProcessId;
use crate::targets::asking::EACH;
use crate::targets::client::connect;
use crate::targets::failure::Failure;
use crate::targets::files::{Place, Rule};
use crate::targets::processes::{check, open, sole_uid, user_of};
use crate::targets::readers::{BlockingJob, Readers};

/// `/proc` is root's.
const ROOT: u32 = 0;
/// Most descriptors of an arbiter that are looked at. It opens its sockets early.
const MOST_DESCRIPTORS: usize = 1024;
/// Most bytes of the table of Unix sockets: some 40,000 of them.
const MOST_TABLE: u64 = 4 << 20;

/// Why an arbiter is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoControl {
    /// It listens on no control socket, or on one whose name the agent does not know.
    NoSocket,
    /// The agent may not look at its sockets, or not connect.
    Denied,
    /// Another process listens there by now, or the socket file is that of another user.
    NotTheTarget,
    /// It has one, and the question failed.
    Failed(Failure),
}

impl NoControl {
    /// The reasons that make an arbiter no target, with their label values.
    pub(super) const REASONS: [(Self, &'static str); 3] = [
        (Self::NoSocket, "no_socket"),
        (Self::Denied, "denied"),
        (Self::NotTheTarget, "not_the_target"),
    ];
}

impl From<Failure> for NoControl {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Gone => Self::NoSocket,
            Failure::Denied => Self::Denied,
            failure => Self::Failed(failure),
        }
    }
}

/// The job of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LookedAt {
    /// The users of all arbiters.
    Users,
    Arbiter(ProcessId),
}

/// The users of arbiters, without those that have ended, and whose share each uid uses.
pub(super) type ArbiterUsers = (HashMap<ProcessId, u32>, SubordinateUids);

#[derive(Debug)]
pub(super) struct ArbiterFinder {
    host: Arc<Host>,
    readers: Readers<LookedAt>,
}

impl ArbiterFinder {
    pub(super) fn new(host: Host) -> Self {
        Self {
            host: Arc::new(host),
            readers: Readers::new(),
        }
    }

    /// Looks up the users of these processes.
    ///
    /// # Errors
    /// Those of [`Readers`].
    pub(super) async fn users(
        &self,
        ids: Vec<ProcessId>,
        deadline: Instant,
    ) -> Result<ArbiterUsers, Failure> {
        let host = Arc::clone(&self.host);
        let look_up: BlockingJob<ArbiterUsers> = Box::new(move || {
            let users = ids
                .into_iter()
                .filter_map(|id| Some((id, user_of(&host, id).ok()?)));
            let users: HashMap<_, _> = users.collect();
            let owners = match users.values().all(|uid| *uid == ROOT) {
                true => SubordinateUids::default(),
                false => SubordinateUids::read(&host.subuid(), &host.passwd()),
            };
            (users, owners)
        });
        self.run(ROOT, LookedAt::Users, deadline, look_up).await
    }

    /// Connects to the control socket of an arbiter of `uid`, at the charge of `user`.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub(super) async fn connect(
        &self,
        user: u32,
        id: ProcessId,
        uid: u32,
    ) -> Result<UnixStream, NoControl> {
        let host = Arc::clone(&self.host);
        let job: BlockingJob<_> = Box::new(move || reach(&host, id, uid));
        let deadline = Instant::now() + EACH;
        self.run(user, LookedAt::Arbiter(id), deadline, job).await?
    }

    /// Number of readers that are held up.
    pub(super) fn held_up(&self) -> usize {
        self.readers.held_up()
    }

    async fn run<T: Send + 'static>(
        &self,
        user: u32,
        key: LookedAt,
        deadline: Instant,
        job: BlockingJob<T>,
    ) -> Result<T, Failure> {
        let mut results = self.readers.run_all(user, deadline, vec![(key, job)]).await;
        let result = results.pop().map(|(_, result)| result);
        result.unwrap_or(Err(Failure::Timeout))
    }
}

/// Connects to the control socket of an arbiter.
fn reach(host: &Host, id: ProcessId, uid: u32) -> Result<UnixStream, NoControl> {
    let process = open(host, id)?;
    // The user who started a program with the rights of another user has chosen its command line, too.
    if sole_uid(&process.regular("status")?.read()?) != Some(uid) {
        return Err(NoControl::Denied);
    }
    let inodes = sockets(&process)?;
    let table = process.regular("net/unix")?.read_up_to(MOST_TABLE)?;
    let cmdline = process.regular("cmdline")?.read().unwrap_or_default();
    let path = control_path(&table, &inodes, &cmdline).ok_or(NoControl::NoSocket)?;
    let path = Path::new(OsStr::from_bytes(path));
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(NoControl::NoSocket);
    };
    let root = process.behind(c"root")?;
    let (socket, owner) = root.directory(directory, Rule::InRoot)?.socket(name)?;
    if owner != uid {
        return Err(NoControl::NotTheTarget);
    }
    // A full queue: the arbiter does not take connections.
    let stream = connect(socket.as_fd())?.ok_or(Failure::Timeout)?;
    check(host, &process, id)?;
    Ok(stream)
}

/// The inodes of the sockets that a process has open.
fn sockets(process: &Place) -> Result<HashSet<u64>, Failure> {
    let descriptors = process.directory(Path::new("fd"), Rule::Inside)?;
    let mut numbers = Vec::new();
    descriptors.names(|name| {
        if numbers.len() < MOST_DESCRIPTORS {
            numbers.push(name.to_vec());
        }
    })?;
    let links = numbers.iter().filter_map(|number| {
        let link = descriptors.link(Path::new(OsStr::from_bytes(number)));
        inode(&link.ok()?)
    });
    Ok(links.collect())
}
