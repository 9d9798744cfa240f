//! Checks that connections have reached the listeners of processes of the node.
//!
//! ```text
//! connection --+
//! connection --+--> queue of user and namespace --turn--> one reading of the tables, in a reader of that user --> a result for each
//! ```
//!
//! In: connections, after the kernel has made them and before the agent sends anything. Out: for each, whether it leads to the
//! process that the look found. A reading serves all connections that waited when it began, so many instances of one user and
//! namespace cost two readings. The readers are charged to the process's user. A namespace whose tables are too long is not read
//! again before the next look.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::table::NodeListener;
use super::sockets::{TcpSocket, TcpState};
use super::tables::{namespace, sockets};
use crate::host::Host;
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Place};
use crate::targets::processes::{check, open};
use crate::targets::readers::{BlockingJob, Readers};

/// A connection of the agent, and the listener that it must have reached.
#[derive(Debug, Clone)]
pub(super) struct NodeConnection {
    pub(super) listener: Arc<NodeListener>,
    /// The address that the agent has connected to.
    pub(super) address: SocketAddr,
    /// The agent's end of the connection.
    pub(super) own: SocketAddr,
}

/// Whether a connection has reached its listener.
///
/// # Errors
/// [`Failure::NotTheTarget`]: it has not, or the process has ended. Others: the tables cannot be read.
type Confirmed = Result<(), Failure>;

/// The user of a process, and its network namespace.
type ConfirmKey = (u32, FileKey);

/// All connections that wait to be confirmed. It lives on the targets thread.
#[derive(Debug)]
pub(super) struct Confirmations {
    readers: Readers<ConfirmKey>,
    queues: RefCell<HashMap<ConfirmKey, Rc<ConfirmQueue>>>,
    /// Users and namespaces whose tables were too long since the last look.
    too_long: RefCell<HashSet<ConfirmKey>>,
}

/// The connections that wait for the next reading.
#[derive(Debug, Default)]
struct ConfirmQueue {
    waiting: RefCell<Vec<(NodeConnection, oneshot::Sender<Confirmed>)>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Confirmations {
    pub(super) fn new() -> Self {
        Self {
            readers: Readers::new(),
            queues: RefCell::default(),
            too_long: RefCell::default(),
        }
    }

    /// Allows all tables to be read again. To be called when a look begins.
    pub(super) fn forget(&self) {
        self.too_long.borrow_mut().clear();
    }

    /// Confirms a connection. Only a reading that this call begins itself ends by `end`; the caller bounds the time of waiting for
    /// others.
    pub(super) async fn confirm(
        self: &Rc<Self>,
        host: &Arc<Host>,
        connection: NodeConnection,
        end: Instant,
    ) -> Confirmed {
        let key = (connection.listener.user, connection.listener.namespace);
        let queue = self.queue(key);
        loop {
            if self.too_long.borrow().contains(&key) {
                return Err(Failure::Limit);
            }
            let (sender, mut receiver) = oneshot::channel();
            queue
                .waiting
                .borrow_mut()
                .push((connection.clone(), sender));
            tokio::select! {
                biased;
                confirmed = &mut receiver => match confirmed {
                    Ok(confirmed) => return confirmed,
                    // The call that began the reading ran out of time without a result.
                    Err(_) => continue,
                },
                turn = Arc::clone(&queue.turn).lock_owned() => {
                    let waiting = queue.waiting.take();
                    let (this, host) = (Rc::clone(self), Arc::clone(host));
                    // A task of its own: if this call is dropped, the others still get the result.
                    tokio::task::spawn_local(async move {
                        this.read(&host, key, waiting, end).await;
                        drop(turn);
                    });
                    return receiver.await.unwrap_or(Err(Failure::Timeout));
                }
            }
        }
    }

    fn queue(&self, key: ConfirmKey) -> Rc<ConfirmQueue> {
        let mut queues = self.queues.borrow_mut();
        queues.retain(|_, queue| Rc::strong_count(queue) > 1);
        Rc::clone(queues.entry(key).or_default())
    }

    /// Reads the tables once for all `waiting` connections. If there is no result in time, they wait for the next reading.
    async fn read(
        &self,
        host: &Arc<Host>,
        key: ConfirmKey,
        waiting: Vec<(NodeConnection, oneshot::Sender<Confirmed>)>,
        end: Instant,
    ) {
        let (connections, senders): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let host = Arc::clone(host);
        let job: BlockingJob<_> = Box::new(move || confirm(&host, key.1, &connections));
        let read = self.readers.run_all(key.0, end, vec![(key, job)]);
        let failure = match read.await.pop() {
            Some((_, Ok(Ok(confirmed)))) => {
                for (sender, confirmed) in senders.into_iter().zip(confirmed) {
                    // The call may have been dropped.
                    let _ = sender.send(confirmed);
                }
                return;
            }
            Some((_, Ok(Err(failure)))) => failure,
            Some((_, Err(Failure::Timeout))) | None => return,
            Some((_, Err(failure))) => failure,
        };
        if failure == Failure::TooLarge {
            self.too_long.borrow_mut().insert(key);
        }
        let failure = match failure {
            Failure::TooLarge | Failure::Busy => Failure::Limit,
            failure => failure,
        };
        for sender in senders {
            let _ = sender.send(Err(failure));
        }
    }
}

/// The facts about one connection in the tables.
#[derive(Debug, Clone, Copy, Default)]
struct ConnectionSeen {
    /// The address to which its listener is bound.
    bound: Option<SocketAddr>,
    /// Another socket listens at exactly the address of the connection.
    has_exact: bool,
    /// Another socket listens at all addresses of IPv4.
    has_any: bool,
    is_connected: bool,
}

/// Whether connections have reached their listeners in `of_namespace`: the kernel must have both there. In the agent's own namespace,
/// where addresses are asked that several listeners may take, no other one may be nearer to the address.
///
/// # Errors
/// No result, because the tables cannot be read.
pub(super) fn confirm(
    host: &Host,
    of_namespace: FileKey,
    connections: &[NodeConnection],
) -> Result<Vec<Confirmed>, Failure> {
    let mut confirmed: Vec<Confirmed> = connections
        .iter()
        .map(|one| is_in(host, of_namespace, &one.listener))
        .collect();
    let mut seen = vec![ConnectionSeen::default(); connections.len()];
    let in_namespace = connections.iter().zip(&confirmed);
    let mut doors = in_namespace.filter(|(_, confirmed)| confirmed.is_ok());
    let read = doors.find_map(|(door, _)| {
        let process = open(host, door.listener.id).ok()?;
        seen.fill(ConnectionSeen::default());
        let read = see(&process, connections, &mut seen);
        // If the process has ended or left the namespace meanwhile, the tables are read through the process of another
        // connection.
        is_in(host, of_namespace, &door.listener).ok()?;
        Some(read)
    });
    read.unwrap_or(Ok(()))?;
    for ((one, seen), confirmed) in connections.iter().zip(&seen).zip(&mut confirmed) {
        if confirmed.is_ok() {
            *confirmed = match seen.has_reached(one) {
                true => is_in(host, of_namespace, &one.listener),
                false => Err(Failure::NotTheTarget),
            };
        }
    }
    Ok(confirmed)
}

/// Whether the process of a listener lives and is in the namespace.
fn is_in(host: &Host, of_namespace: FileKey, listener: &NodeListener) -> Confirmed {
    let is_there = || {
        let process = open(host, listener.id)?;
        let is_in = namespace(&process)? == of_namespace;
        check(host, &process, listener.id)?;
        is_in.then_some(()).ok_or(Failure::NotTheTarget)
    };
    is_there().map_err(|failure| match failure {
        Failure::Gone => Failure::NotTheTarget,
        failure => failure,
    })
}

/// Reads the tables until all facts are known.
fn see(
    process: &Place,
    connections: &[NodeConnection],
    seen: &mut [ConnectionSeen],
) -> Result<(), Failure> {
    let mut by_port: HashMap<u16, Vec<usize>> = HashMap::new();
    for (index, one) in connections.iter().enumerate() {
        by_port.entry(one.address.port()).or_default().push(index);
    }
    let (mut left, mut has_listener) = (connections.len(), false);
    sockets(process, |socket| {
        let is_listening = socket.state == TcpState::Listens;
        for index in by_port.get(&socket.local.port()).into_iter().flatten() {
            let (one, seen) = (&connections[*index], &mut seen[*index]);
            let was_whole = seen.is_whole();
            seen.note(socket, one);
            has_listener |= seen.bound.is_some();
            left -= usize::from(seen.is_whole() && !was_whole);
        }
        // The kernel lists the listening sockets first, then the connections.
        is_listening || has_listener && left > 0
    })
}

impl ConnectionSeen {
    fn note(&mut self, socket: &TcpSocket, wanted: &NodeConnection) {
        match socket.state {
            TcpState::Listens if socket.inode == wanted.listener.inode => {
                self.bound = Some(socket.local);
            }
            TcpState::Listens => {
                self.has_exact |= socket.local == wanted.address;
                self.has_any |= socket.local.is_ipv4() && socket.local.ip().is_unspecified();
            }
            TcpState::Connected => {
                let own = SocketAddr::new(wanted.own.ip().to_canonical(), wanted.own.port());
                self.is_connected |= socket.local == wanted.address && socket.remote == own;
            }
            TcpState::Other => {}
        }
    }

    /// Whether the tables have both the listener and the connection.
    const fn is_whole(&self) -> bool {
        self.bound.is_some() && self.is_connected
    }

    fn has_reached(&self, wanted: &NodeConnection) -> bool {
        let is_taken = |bound| wanted.listener.is_own && self.is_taken(bound, wanted.address);
        self.is_connected && self.bound.is_some_and(|bound| !is_taken(bound))
    }

    /// Whether the kernel may prefer another listener to the one bound to `bound`: a listener at exactly `address`; or, if
    /// `address` is IPv4 and `bound` is IPv6, a listener on all IPv4 addresses, because a listener on all IPv6 addresses may
    /// accept IPv6 only.
    fn is_taken(&self, bound: SocketAddr, address: SocketAddr) -> bool {
        let may_miss = address.is_ipv4() && bound.is_ipv6();
        self.has_exact && bound != address || self.has_any && may_miss
    }
}

#[cfg(test)]
#[path = "confirm_tests.rs"]
mod tests;
