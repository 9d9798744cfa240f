//! Looks at processes: finds the listeners of each, and the address at which it can be asked.
//!
//! ```text
//! processes --note--> user, namespace, sockets --read (each namespace once)--> listeners --reach, contenders--> instances
//! ```
//!
//! In: processes that the state has published. Out: their instances, and the outcomes of the others. The look reads `/proc` and
//! may block, so it runs in a reader. It first collects the sockets of all processes, then reads each network namespace once,
//! through the first live process in it, and keeps only listening sockets of these processes. It does not repeat a reading that
//! fails.
//!
//! A process counts for its real user, because any process can make root the owner of its directory in `/proc`. Subordinate uids
//! count for their owner. Each user's processes, sockets and CPU time in a look are bounded.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::table::NodeListener;
use super::contenders::Contenders;
use super::reach::{ListenerNamespace, NotAnInstance, ReachedListener, TcpListening, reached};
use super::sockets::{TcpState, socket_inode};
use super::tables::{MOST_CPU, addresses, namespace, sockets};
use super::{ProcessOutcome, ScrapedInstance};
use crate::blocking::SubordinateUids;
use crate::host::{Host, thread_cpu_ns};
use crate::targets::board::{ScrapedProcess, ScrapedProcesses};
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Place, Rule};
use crate::targets::processes::{check, open, user_of};

/// Most processes of one user other than root that are looked at.
const MOST_OF_USER: usize = 256;
/// Most processes that are looked at.
const MOST: usize = 4_096;
/// Most descriptors of a process that are looked at.
const MOST_DESCRIPTORS: usize = 4_096;
/// Most sockets of the processes of one user other than root; 16 bytes each.
const MOST_SOCKETS_OF_USER: usize = 1 << 18;
/// Most sockets of all processes.
const MOST_SOCKETS: usize = 1 << 20;
const ROOT: u32 = 0;

/// The result of a look.
#[derive(Debug, Default)]
pub(super) struct NodeLook {
    pub(super) instances: Vec<ScrapedInstance>,
    /// The outcome for each process.
    pub(super) of_each: Vec<ProcessOutcome>,
    /// Number of processes by [`ProcessOutcome`], including those that the state has left out.
    pub(super) outcomes: [u64; ProcessOutcome::ALL.len()],
    /// CPU time of the look.
    pub(super) cpu: Duration,
}

/// Looks at all processes, in the order given, the oldest first: of several processes with the same listener, the first one is
/// the instance. Begins no step after `until`.
pub(super) fn look(host: &Host, scraped: &ScrapedProcesses, until: Instant) -> NodeLook {
    let before = thread_cpu_ns();
    let mut look = NodeLook::default();
    look.count(ProcessOutcome::Limit, scraped.left_out);
    let mut looking = Looking::new(host, until);
    let mut noted = Vec::with_capacity(scraped.all.len().min(MOST));
    let mut positions = Vec::with_capacity(noted.capacity());
    for (position, process) in scraped.all.iter().enumerate() {
        let outcome = match looking.note(process, noted.len()) {
            Ok(one) => {
                noted.push(one);
                positions.push(position);
                ProcessOutcome::Instance
            }
            Err(outcome) => outcome,
        };
        look.of_each.push(outcome);
    }
    looking.listeners.resize(noted.len(), Vec::new());
    let mut contenders = Contenders::default();
    for (index, (one, position)) in noted.iter().zip(positions).enumerate() {
        let admitted = looking.instance(one, index).and_then(|instance| {
            let listener = &instance.listener;
            let listening = (instance.address, listener.inode);
            contenders.admit(listening, one.namespace, one.user)?;
            Ok(instance)
        });
        match admitted {
            Ok(instance) => look.instances.push(instance),
            Err(outcome) => look.of_each[position] = outcome,
        }
    }
    for outcome in &look.of_each {
        look.outcomes[*outcome as usize] += 1;
    }
    look.cpu = Duration::from_nanos(thread_cpu_ns().saturating_sub(before));
    look
}

impl NodeLook {
    fn count(&mut self, outcome: ProcessOutcome, count: usize) {
        self.outcomes[outcome as usize] += count as u64;
    }
}

/// A process whose sockets are known.
struct NotedProcess<'a> {
    scraped: &'a ScrapedProcess,
    /// The user for whom it counts.
    user: u32,
    namespace: FileKey,
}

/// The use of a look by the processes of one user.
#[derive(Debug, Default)]
struct UserTaken {
    processes: usize,
    sockets: usize,
    cpu_ns: u64,
}

impl UserTaken {
    /// Whether the user has CPU time left, and `until` is not reached. A step that has begun is completed, so the tables of a
    /// user take at most twice [`MOST_CPU`].
    fn has_time(&self, user: u32, until: Instant) -> bool {
        let has_share = user == ROOT || u128::from(self.cpu_ns) < MOST_CPU.as_nanos();
        has_share && Instant::now() < until
    }
}

/// A network namespace, as far as the look has read it.
#[derive(Debug, Default)]
struct NodeNamespace {
    /// The sockets of its processes: inode, and number of the process. Sorted when its tables are read.
    sockets: Vec<(u64, usize)>,
    /// The outcome of reading its sockets; `None`: not read yet.
    read: Option<Result<(), ProcessOutcome>>,
    addresses: Option<Result<Vec<IpAddr>, ProcessOutcome>>,
}

/// A look under way.
struct Looking<'h> {
    host: &'h Host,
    until: Instant,
    owners: SubordinateUids,
    users: HashMap<u32, UserTaken>,
    /// Processes that may still be read. Those beyond the share of their user are not counted.
    left: usize,
    sockets_left: usize,
    /// The namespace of the agent.
    own: Option<FileKey>,
    namespaces: HashMap<FileKey, NodeNamespace>,
    /// The listening sockets of each process.
    listeners: Vec<Vec<TcpListening>>,
}

impl<'h> Looking<'h> {
    fn new(host: &'h Host, until: Instant) -> Self {
        Self {
            host,
            until,
            owners: SubordinateUids::read(&host.subuid(), &host.passwd()),
            users: HashMap::new(),
            left: MOST,
            sockets_left: MOST_SOCKETS,
            own: None,
            namespaces: HashMap::new(),
            listeners: Vec::new(),
        }
    }

    /// Collects the sockets of a process, which gets the number `index`.
    fn note<'p>(
        &mut self,
        scraped: &'p ScrapedProcess,
        index: usize,
    ) -> Result<NotedProcess<'p>, ProcessOutcome> {
        let before = thread_cpu_ns();
        let user = self.owners.share_of(user_of(self.host, scraped.id)?);
        let taken = self.users.entry(user).or_default();
        taken.processes += 1;
        let is_beyond = user != ROOT && taken.processes > MOST_OF_USER;
        if is_beyond || !taken.has_time(user, self.until) {
            return Err(ProcessOutcome::Limit);
        }
        self.left = self.left.checked_sub(1).ok_or(ProcessOutcome::Limit)?;
        let process = open(self.host, scraped.id)?;
        let namespace = namespace(&process)?;
        let sockets = socket_inodes(&process)?;
        taken.cpu_ns += thread_cpu_ns().saturating_sub(before);
        let of_user = match user {
            ROOT => MOST_SOCKETS,
            _ => MOST_SOCKETS_OF_USER - taken.sockets,
        };
        if sockets.len() > of_user.min(self.sockets_left) {
            return Err(ProcessOutcome::Limit);
        }
        taken.sockets += sockets.len();
        self.sockets_left -= sockets.len();
        let known = self.namespaces.entry(namespace).or_default();
        known
            .sockets
            .extend(sockets.into_iter().map(|inode| (inode, index)));
        Ok(NotedProcess {
            scraped,
            user,
            namespace,
        })
    }

    /// The instance of a process, or why it has none.
    fn instance(
        &mut self,
        noted: &NotedProcess<'_>,
        index: usize,
    ) -> Result<ScrapedInstance, ProcessOutcome> {
        let id = noted.scraped.id;
        let process = open(self.host, id)?;
        is_still_in(&process, noted.namespace)?;
        self.read(noted, &process)?;
        // The addresses of a namespace are needed only for a process that listens.
        if self.listeners[index].is_empty() {
            return Err(NotAnInstance::NoListener.into());
        }
        let own = self.own()?;
        let is_own = noted.namespace == own;
        if !is_own {
            self.addresses(own, &Place::trusted(Path::new("/proc/self"))?)?;
            self.addresses(noted.namespace, &process)?;
        }
        let side = match is_own {
            true => ListenerNamespace::Own,
            false => {
                let its = self.known_addresses(noted.namespace);
                let both = its.zip(self.known_addresses(own));
                let (its, own) = both.ok_or(ProcessOutcome::Unreadable)?;
                ListenerNamespace::Other { its, own }
            }
        };
        let listeners = &self.listeners[index];
        let ReachedListener {
            address,
            ipv6,
            listening,
        } = reached(listeners, noted.scraped.scrape.port, side)?;
        check(self.host, &process, id)?;
        Ok(ScrapedInstance {
            address,
            process: noted.scraped.clone(),
            listener: Arc::new(NodeListener {
                id,
                inode: listening.inode,
                is_own,
                user: noted.user,
                namespace: noted.namespace,
                ipv6,
            }),
        })
    }

    /// Finds the listening sockets of all processes in the namespace of `process`. Reads each namespace once.
    fn read(&mut self, noted: &NotedProcess<'_>, process: &Place) -> Result<(), ProcessOutcome> {
        let known = self.namespaces.entry(noted.namespace).or_default();
        if let Some(read) = known.read {
            return read;
        }
        let taken = self.users.entry(noted.user).or_default();
        if !taken.has_time(noted.user, self.until) {
            // This result is not kept: the next process in the namespace may belong to a user who still has time.
            return Err(ProcessOutcome::Limit);
        }
        let before = thread_cpu_ns();
        let wanted = &mut known.sockets;
        wanted.sort_unstable();
        let read = sockets(process, |socket| {
            let is_listening = socket.state == TcpState::Listens;
            if is_listening {
                let inode = socket.inode;
                let from = wanted.partition_point(|(known, _)| *known < inode);
                let of_inode = wanted[from..]
                    .iter()
                    .take_while(|(known, _)| *known == inode);
                for (_, index) in of_inode {
                    self.listeners[*index].push(TcpListening {
                        address: socket.local,
                        inode,
                    });
                }
            }
            is_listening
        });
        taken.cpu_ns += thread_cpu_ns().saturating_sub(before);
        is_still_in(process, noted.namespace)?;
        *known.read.insert(read.map_err(ProcessOutcome::from))
    }

    /// The namespace of the agent.
    fn own(&mut self) -> Result<FileKey, Failure> {
        let own = match self.own {
            Some(own) => own,
            None => namespace(&Place::trusted(Path::new("/proc/self"))?)?,
        };
        Ok(*self.own.insert(own))
    }

    /// Reads the addresses of the namespace of `process`, unless they are known.
    fn addresses(&mut self, namespace: FileKey, process: &Place) -> Result<(), ProcessOutcome> {
        let known = self.namespaces.entry(namespace).or_default();
        let read = match known.addresses.take() {
            Some(read) => read,
            None => {
                let read = addresses(process).map_err(ProcessOutcome::from);
                is_still_in(process, namespace)?;
                read
            }
        };
        let outcome = read
            .as_ref()
            .map_or_else(|outcome| Err(*outcome), |_| Ok(()));
        known.addresses = Some(read);
        outcome
    }

    fn known_addresses(&self, namespace: FileKey) -> Option<&[IpAddr]> {
        let known = self.namespaces.get(&namespace)?.addresses.as_ref()?;
        known.as_deref().ok()
    }
}

/// Checks that the process is still in the namespace, so that the tables read through it are of this namespace. If not, another
/// process is used to read them.
fn is_still_in(process: &Place, expected: FileKey) -> Result<(), ProcessOutcome> {
    let is_there = namespace(process)? == expected;
    is_there.then_some(()).ok_or(ProcessOutcome::Gone)
}

/// The inodes of the sockets that the process has open, each once.
fn socket_inodes(process: &Place) -> Result<Vec<u64>, Failure> {
    let descriptors = process.directory(Path::new("fd"), Rule::Inside)?;
    let mut numbers = Vec::new();
    descriptors.names(|name| {
        if numbers.len() < MOST_DESCRIPTORS {
            numbers.push(name.to_vec());
        }
    })?;
    let links = numbers
        .iter()
        .filter_map(|number| descriptors.link(Path::new(OsStr::from_bytes(number))).ok());
    let mut inodes: Vec<u64> = links.filter_map(|link| socket_inode(&link)).collect();
    inodes.sort_unstable();
    inodes.dedup();
    Ok(inodes)
}

#[cfg(test)]
#[path = "look_tests.rs"]
pub(super) mod tests;
#[cfg(test)]
#[path = "tree_tests.rs"]
mod tree_tests;
