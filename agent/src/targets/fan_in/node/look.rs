//! Looks at processes: where each of them listens, and where it can be asked.
//!
//! In: processes that the state has published. Out: their instances, and what came of the others. It reads `/proc` and may block, so it
//! belongs into a reader. Each network namespace is read once, through the first process that is in it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::super::table::NodeListener;
use super::reach::{NetworkPlace, NotAnInstance, TcpListening, reached};
use super::sockets::{Ipv4Leaves, TcpState, ipv6_address, socket_inode, tcp_socket};
use super::{ProcessOutcome, ScrapedInstance};
use crate::host::Host;
use crate::targets::board::{ScrapedProcess, ScrapedProcesses};
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Place, Rule};
use crate::targets::processes::{check, open};

/// Most processes of one user other than root that are looked at.
const MOST_OF_USER: usize = 256;
/// Most processes that are looked at.
const MOST: usize = 4_096;
/// Most descriptors of a process that are looked at.
const MOST_DESCRIPTORS: usize = 4_096;
/// Most bytes that are read of a table of a network namespace.
const MOST_TABLE: u64 = 16 << 20;
/// Tables of sockets.
const SOCKETS: [&str; 2] = ["net/tcp", "net/tcp6"];
const ROOT: u32 = 0;

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct NodeLook {
    pub(super) instances: Vec<ScrapedInstance>,
    /// What came of each process.
    pub(super) of_each: Vec<ProcessOutcome>,
    /// Processes by [`ProcessOutcome`], also those that the state has left out.
    pub(super) outcomes: [u64; ProcessOutcome::ALL.len()],
}

/// Looks at all processes, the oldest ones first: of several with one listener, the first one is the instance.
pub(super) fn look(host: &Host, scraped: &ScrapedProcesses) -> NodeLook {
    let mut look = NodeLook::default();
    look.count(ProcessOutcome::Limit, scraped.left_out);
    let mut network = Network::default();
    let mut of_users: HashMap<u32, usize> = HashMap::new();
    let (mut inodes, mut addresses) = (HashSet::new(), HashSet::new());
    // Those beyond the share of their user take no place of others.
    let mut places = MOST;
    for process in scraped.all.iter() {
        let outcome = match instance(host, process, (&mut network, &mut of_users), &mut places) {
            Ok(instance) => {
                let is_new =
                    inodes.insert(instance.listener.inode) && addresses.insert(instance.address);
                match is_new {
                    true => {
                        look.instances.push(instance);
                        ProcessOutcome::Instance
                    }
                    false => ProcessOutcome::Shared,
                }
            }
            Err(outcome) => outcome,
        };
        look.of_each.push(outcome);
        look.count(outcome, 1);
    }
    look
}

impl NodeLook {
    fn count(&mut self, outcome: ProcessOutcome, count: usize) {
        self.outcomes[outcome as usize] += count as u64;
    }
}

/// The instance of a process, or why it has none.
fn instance(
    host: &Host,
    scraped: &ScrapedProcess,
    (network, of_users): (&mut Network, &mut HashMap<u32, usize>),
    places: &mut usize,
) -> Result<ScrapedInstance, ProcessOutcome> {
    let process = open(host, scraped.id)?;
    let count = of_users.entry(process.uid).or_default();
    *count += 1;
    if process.uid != ROOT && *count > MOST_OF_USER {
        return Err(ProcessOutcome::Limit);
    }
    *places = places.checked_sub(1).ok_or(ProcessOutcome::Limit)?;
    let namespace = process.key_behind(Path::new("ns/net"))?;
    let listeners = listeners(&process, network.sockets(namespace, &process)?)?;
    let is_own = namespace == network.own()?;
    let place = match is_own {
        true => NetworkPlace::Own,
        // Only a process that listens needs the addresses of its namespace.
        false if listeners.is_empty() => return Err(NotAnInstance::NoListener.into()),
        false => network.other(namespace, &process)?,
    };
    let (address, listening) = reached(&listeners, scraped.scrape.port, place)?;
    check(host, &process, scraped.id)?;
    Ok(ScrapedInstance {
        address,
        process: scraped.clone(),
        listener: Arc::new(NodeListener {
            id: scraped.id,
            inode: listening.inode,
            is_own,
        }),
    })
}

/// The listening sockets that the process has open, each once.
fn listeners(
    process: &Place,
    of_namespace: &HashMap<u64, SocketAddr>,
) -> Result<Vec<TcpListening>, Failure> {
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
    let inodes: BTreeSet<u64> = links.filter_map(|link| socket_inode(&link)).collect();
    let listening = inodes.into_iter().filter_map(|inode| {
        let address = *of_namespace.get(&inode)?;
        Some(TcpListening { address, inode })
    });
    Ok(listening.collect())
}

/// Whether a connection from `own` to `address` has reached the listener. In the agent's own namespace, it has if no other listener is
/// nearer to the address; in another one, the kernel must have both there.
///
/// # Errors
/// [`Failure::NotTheTarget`]: it has not. [`Failure::Gone`]: the process has ended.
pub(super) fn confirm(
    host: &Host,
    listener: &NodeListener,
    address: SocketAddr,
    own: SocketAddr,
) -> Result<(), Failure> {
    let process = open(host, listener.id)?;
    if listener.is_own {
        let all = listening(&process)?;
        let bound = all.get(&listener.inode).ok_or(Failure::NotTheTarget)?;
        let mut others = all.iter().filter(|(inode, _)| **inode != listener.inode);
        return match others.any(|(_, other)| is_nearer(*other, *bound, address)) {
            true => Err(Failure::NotTheTarget),
            false => check(host, &process, listener.id),
        };
    }
    let (mut is_listening, mut is_connected) = (false, false);
    let own = SocketAddr::new(own.ip().to_canonical(), own.port());
    for table in SOCKETS {
        let read = sockets(&process, table, |socket| {
            match socket.state {
                TcpState::Listens => is_listening |= socket.inode == listener.inode,
                TcpState::Connected => {
                    is_connected |= socket.local == address && socket.remote == own;
                }
                TcpState::Other => {}
            }
            let may_follow = socket.state == TcpState::Listens || is_listening;
            !(is_listening && is_connected) && may_follow
        });
        read?;
        if is_listening && is_connected {
            return check(host, &process, listener.id);
        }
    }
    Err(Failure::NotTheTarget)
}

/// Whether the kernel prefers a listener that is bound to `other` to one that is bound to `bound`: one of the very address, and for an
/// address of IPv4 one of IPv4, because a listener on all addresses of IPv6 may take IPv6 only.
fn is_nearer(other: SocketAddr, bound: SocketAddr, address: SocketAddr) -> bool {
    let is_more_exact = other == address && bound != address;
    let is_of_family = address.is_ipv4() && bound.is_ipv6() && other.is_ipv4();
    other.port() == address.port()
        && (is_more_exact || is_of_family && (other == address || other.ip().is_unspecified()))
}

/// Calls `seen` with each socket of a table, until it returns false. A kernel without IPv6 has no `net/tcp6`.
fn sockets(
    process: &Place,
    table: &str,
    mut seen: impl FnMut(super::sockets::TcpSocket) -> bool,
) -> Result<(), Failure> {
    let table = match process.regular(table) {
        Err(Failure::Gone) => return Ok(()),
        table => table?,
    };
    table.lines(MOST_TABLE, |line| tcp_socket(line).is_none_or(&mut seen))
}

/// What is known of network namespaces.
#[derive(Debug, Default)]
struct Network {
    own: Option<FileKey>,
    own_addresses: Option<Vec<IpAddr>>,
    sockets: HashMap<FileKey, HashMap<u64, SocketAddr>>,
    addresses: HashMap<FileKey, Vec<IpAddr>>,
}

impl Network {
    /// The namespace of the agent.
    fn own(&mut self) -> Result<FileKey, Failure> {
        let own = match self.own {
            Some(own) => own,
            None => Place::trusted(Path::new("/proc/self"))?.key_behind(Path::new("ns/net"))?,
        };
        Ok(*self.own.insert(own))
    }

    /// The listening sockets of the namespace that `process` is in.
    fn sockets(
        &mut self,
        namespace: FileKey,
        process: &Place,
    ) -> Result<&HashMap<u64, SocketAddr>, Failure> {
        Ok(match self.sockets.entry(namespace) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(listening(process)?),
        })
    }

    /// The namespace that `process` is in, which is not the agent's own.
    fn other(&mut self, namespace: FileKey, process: &Place) -> Result<NetworkPlace<'_>, Failure> {
        if self.own_addresses.is_none() {
            let agent = Place::trusted(Path::new("/proc/self"))?;
            self.own_addresses = Some(addresses(&agent)?);
        }
        let own = self.own_addresses.as_ref().ok_or(Failure::Gone)?;
        let its = match self.addresses.entry(namespace) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(addresses(process)?),
        };
        Ok(NetworkPlace::Other { its, own })
    }
}

/// The listening sockets of the namespace that `process` is in, by inode.
fn listening(process: &Place) -> Result<HashMap<u64, SocketAddr>, Failure> {
    let mut found = HashMap::new();
    for table in SOCKETS {
        sockets(process, table, |socket| {
            // The kernel lists the listening sockets first.
            let is_listening = socket.state == TcpState::Listens;
            if is_listening {
                found.insert(socket.inode, socket.local);
            }
            is_listening
        })?;
    }
    Ok(found)
}

/// The addresses of the namespace that `process` is in: IPv4 first, each sorted.
fn addresses(process: &Place) -> Result<Vec<IpAddr>, Failure> {
    let mut leaves = Ipv4Leaves::default();
    let trie = process.regular("net/fib_trie")?;
    trie.lines(MOST_TABLE, |line| {
        leaves.note(line);
        true
    })?;
    let mut ipv6 = BTreeSet::new();
    match process.regular("net/if_inet6") {
        Err(Failure::Gone) => {}
        table => table?.lines(MOST_TABLE, |line| {
            ipv6.extend(ipv6_address(line));
            true
        })?,
    }
    let ipv4 = leaves.found.into_iter().map(IpAddr::from);
    Ok(ipv4.chain(ipv6.into_iter().map(IpAddr::from)).collect())
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
