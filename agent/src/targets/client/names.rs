//! Resolves host names to addresses with the system's resolver (`getaddrinfo`).
//!
//! ```text
//! question --known, and fresh--> addresses
//!       \--else--> a place for it --> thread headcount-names --> a thread for this name --getaddrinfo--> known
//! ```
//!
//! In: a name or an address with its port, and a deadline. Out: the addresses in the order of the resolver, or
//! [`Failure::Unresolved`]. The resolver blocks and cannot be cancelled: a question ends at its deadline, and a late answer
//! serves later questions. Questions for one name share a look-up. The threads of look-ups have a seccomp filter of their own,
//! because only they need UDP; they have no capability.
//!
//! Bounds: [`OF_SOURCES`] look-ups, further ones wait; [`MOST_NAMES`] names, further ones fail with [`Failure::Limit`]. Names that the
//! configuration has are beside these bounds, with [`CONFIGURED`] look-ups: other users may write into a source, with names that no server
//! answers. [`MOST_ADDRESSES`] addresses of a name, further ones are not tried. Left to others: which names to resolve.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::config::HostPort;
use crate::targets::failure::Failure;

const THREAD: &str = "headcount-names";
/// Look-ups at the same time of names that the configuration has, and of those that its sources say. Each is a thread.
const CONFIGURED: usize = 4;
const OF_SOURCES: usize = 12;
/// How long addresses are used; `getaddrinfo` does not return their time to live.
const FRESH: Duration = Duration::from_secs(30);
/// The same if the name has no address.
const FAILED_FRESH: Duration = Duration::from_secs(5);
/// As many as the sources may have instances.
const MOST_NAMES: usize = 20_000;
const MOST_ADDRESSES: usize = 16;

/// Resolves names on the targets thread.
#[derive(Debug)]
pub(crate) struct HostNames {
    requests: mpsc::Sender<LookUp>,
    /// The names that the configuration has.
    configured: HashSet<Arc<str>>,
    configured_places: Arc<Semaphore>,
    places: Arc<Semaphore>,
    known: RefCell<HashMap<Arc<str>, KnownName>>,
}

/// A name to be looked up.
#[derive(Debug)]
struct LookUp {
    name: Arc<str>,
    answer: watch::Sender<Option<NameAnswer>>,
    _place: OwnedSemaphorePermit,
}

/// `None` as long as the name is looked up.
type KnownName = watch::Receiver<Option<NameAnswer>>;

/// The result of a look-up.
#[derive(Debug, Clone)]
struct NameAnswer {
    at: Instant,
    /// The addresses, with port 0; empty if the name has none, or the resolver has failed.
    addresses: Arc<[SocketAddr]>,
}

impl HostNames {
    /// Starts the thread, and waits until it has called `confine`.
    pub(crate) fn start(confine: impl FnOnce() + Send + 'static) -> Self {
        Self::by(confine, |name| {
            let found = (name, 0).to_socket_addrs()?;
            Ok(found.collect())
        })
    }

    /// Like [`Self::start`], with another resolver.
    fn by(
        confine: impl FnOnce() + Send + 'static,
        resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Clone + Send + 'static,
    ) -> Self {
        let (requests, inbox) = mpsc::channel::<LookUp>();
        let (confined, is_confined) = mpsc::channel::<()>();
        let work = move || {
            confine();
            drop(confined);
            for look_up in inbox {
                let resolve = resolve.clone();
                let named = thread::Builder::new().name(THREAD.to_owned());
                // The sender of the answer is dropped if there is no thread.
                let started = named.spawn(move || look_up.settle(resolve));
                if let Err(error) = started {
                    log::warn!("cannot start a thread that resolves a name: {error}");
                }
            }
        };
        let started = thread::Builder::new().name(THREAD.to_owned()).spawn(work);
        if let Err(error) = started {
            log::warn!("cannot start the thread that resolves names: {error}");
        }
        // Fails when the sender is dropped.
        let _ = is_confined.recv();
        Self {
            requests,
            configured: HashSet::new(),
            configured_places: Arc::new(Semaphore::new(CONFIGURED)),
            places: Arc::new(Semaphore::new(OF_SOURCES)),
            known: RefCell::default(),
        }
    }

    /// Gives the names of these hosts of the configuration places of their own.
    pub(in crate::targets) fn reserve<'a>(&mut self, hosts: impl Iterator<Item = &'a HostPort>) {
        self.configured.extend(hosts.filter_map(|host| match host {
            HostPort::Name { name, .. } => Some(Arc::clone(name)),
            HostPort::Address(_) => None,
        }));
    }

    /// The addresses of a host, with its port; never empty. To be called in a `LocalSet`.
    ///
    /// # Errors
    /// [`Failure::Unresolved`]: the name has no address, or the resolver fails or does not answer by `end`. [`Failure::Limit`]:
    /// too many names.
    pub(in crate::targets) async fn addresses(
        &self,
        host: &HostPort,
        end: Instant,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let (name, port) = match host {
            HostPort::Address(address) => return Ok(vec![*address]),
            HostPort::Name { name, port } => (name, *port),
        };
        let mut answer = self.answer(name)?;
        let answered = timeout_at(end, answer.wait_for(Option::is_some)).await;
        let answered = answered.map_err(|_| Failure::Unresolved)?;
        let answered = answered.map_err(|_| Failure::Unresolved)?;
        let addresses = answered.iter().flat_map(|one| one.addresses.iter());
        let addresses = addresses.map(|one| {
            let mut address = *one;
            address.set_port(port);
            address
        });
        let addresses: Vec<SocketAddr> = addresses.collect();
        match addresses.is_empty() {
            true => Err(Failure::Unresolved),
            false => Ok(addresses),
        }
    }

    /// The answer for a name, or the one that its look-up will give; starts a look-up if needed.
    fn answer(&self, name: &Arc<str>) -> Result<KnownName, Failure> {
        let mut known = self.known.borrow_mut();
        if let Some(answer) = known.get(name).filter(|one| is_usable(one)) {
            return Ok(answer.clone());
        }
        let is_configured = self.configured.contains(name);
        if known.len() >= MOST_NAMES {
            known.retain(|_, one| is_usable(one));
        }
        if known.len() >= MOST_NAMES && !is_configured {
            return Err(Failure::Limit);
        }
        let (sender, answer) = watch::channel(None);
        known.insert(Arc::clone(name), answer.clone());
        let places = match is_configured {
            true => &self.configured_places,
            false => &self.places,
        };
        let (places, requests) = (Arc::clone(places), self.requests.clone());
        let name = Arc::clone(name);
        tokio::task::spawn_local(async move {
            // The semaphore is never closed.
            if let Ok(place) = places.acquire_owned().await {
                // If there is no thread, the sender of the answer is dropped.
                let _ = requests.send(LookUp {
                    name,
                    answer: sender,
                    _place: place,
                });
            }
        });
        Ok(answer)
    }
}

impl LookUp {
    fn settle(self, resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>>) {
        let found = resolve(&self.name).unwrap_or_else(|error| {
            log::debug!("fan_in: cannot resolve {}: {error}", self.name);
            Vec::new()
        });
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            let ip = address.ip();
            let is_of_host = !ip.is_unspecified() && !ip.is_multicast();
            let has_room = addresses.len() < MOST_ADDRESSES;
            if is_of_host && has_room && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        // It does not matter if no question waits any more.
        let _ = self.answer.send(Some(NameAnswer {
            at: Instant::now(),
            addresses: addresses.into(),
        }));
    }
}

/// Whether the answer is fresh, or its look-up is still running.
fn is_usable(known: &KnownName) -> bool {
    match &*known.borrow() {
        // If the sender is gone, the look-up will never answer.
        None => known.has_changed().is_ok(),
        Some(answer) if answer.addresses.is_empty() => answer.at.elapsed() < FAILED_FRESH,
        Some(answer) => answer.at.elapsed() < FRESH,
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
