//! The NATS bus of Cloud Foundry as a source of instances.
//!
//! ```text
//! server --messages--> message (pure) --> entries --look, at a question--> the table of all sources
//! ```
//!
//! A task listens as long as the agent runs. It connects to one server at a time, in the order of the configuration, and to the
//! next one when a connection fails or ends. After a round it waits; each such pause is longer than the last, up to a bound, until
//! a server could be used. The agent publishes nothing: a component that receives `router.start`, or an answer to its
//! `router.greet`, would take the sender for a router. So the entries are complete only when each component has registered again,
//! which it does every 20 s. If a server is lost, entries stay until they expire.
//!
//! In: the section `nats`, and messages. Out: the entries, in the form of a file's content. Readers read the files with passwords,
//! certificates and keys for each connection.

mod entries;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod message;

use std::cell::RefCell;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use entries::BusEntries;
use message::{MessageFault, parse};
use tokio::time::{Instant, sleep};

use super::counts::count;
use super::file_source::{FileLook, FileStamp, SourceKind, SourceLook};
use crate::config::{NatsConfig, NatsServerConfig};
use crate::exposition::{Descriptor, Kind, Writer};
use crate::targets::client::{
    Authorities, HostNames, InstanceTls, NatsAddress, NatsConnection, NatsCredentials, NatsFault,
    NatsHeard,
};
use crate::targets::failure::Failure;
use crate::targets::readers::{BlockingJob, Readers};

/// The subjects to which the agent subscribes. A message carries the index of its subject; [`REGISTER`] is that of
/// `router.register`.
const SUBJECTS: [&str; 2] = ["router.register", "router.unregister"];
const REGISTER: usize = 0;
/// The shortest and the longest pause after a round of all servers.
const LEAST_PAUSE: Duration = Duration::from_millis(250);
const MOST_PAUSE: Duration = Duration::from_secs(16);
/// A server whose connection was ready for this time could be used: the next pause is the shortest one. A server that accepts the
/// agent and closes at once could not, so that it is asked less and less often.
const USED: Duration = Duration::from_secs(1);
/// Time for the resolver to find the addresses of a server.
const RESOLVER: Duration = Duration::from_secs(5);
/// Longest time for reading the files of passwords, certificates and keys.
const FILES: Duration = Duration::from_secs(5);
const ROOT: u32 = 0;

/// What a connection to a server needs.
type NatsAccess = (Option<InstanceTls>, Option<NatsCredentials>);

pub(super) static MESSAGES: Descriptor = Descriptor {
    name: "headcount_fan_in_messages_total",
    kind: Kind::Counter,
    help: "Messages about routes on the NATS bus by outcome: registered, unregistered, no_application (without app_id), \
           unusable (a route or an address of it cannot be asked), limit (an entry of it found no room), malformed, too_large (more than 64 KiB).",
    labels: &["outcome"],
    unit: "messages",
    source: "agent",
    fallback: "left out unless fan_in has nats",
};

/// The outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageOutcome {
    Registered,
    Unregistered,
    NoApplication,
    Unusable,
    Limit,
    Malformed,
    TooLarge,
}

impl MessageOutcome {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Registered, "registered"),
        (Self::Unregistered, "unregistered"),
        (Self::NoApplication, "no_application"),
        (Self::Unusable, "unusable"),
        (Self::Limit, "limit"),
        (Self::Malformed, "malformed"),
        (Self::TooLarge, "too_large"),
    ];
}

/// The bus.
#[derive(Debug)]
pub(super) struct NatsBus {
    config: NatsConfig,
    /// The authorities of instances, used if the section names none.
    ca_file: Option<PathBuf>,
    names: Rc<HostNames>,
    /// Those of the files of passwords, certificates and keys.
    readers: Readers<()>,
    state: RefCell<BusState>,
}

#[derive(Debug, Default)]
struct BusState {
    entries: BusEntries,
    /// When a server accepted the subscriptions; `None`: the agent is not connected.
    ready_at: Option<Instant>,
    /// The last pause since a server could be used.
    last_pause: Option<Duration>,
    /// The last fault of each server; `None` after a successful connection.
    faults: Vec<Option<NatsFault>>,
    failures: [u64; Failure::OF_SOURCES.len()],
    messages: [u64; MessageOutcome::ALL.len()],
}

impl NatsBus {
    /// `ca_file`: the authorities of instances.
    pub(super) fn new(config: &NatsConfig, ca_file: Option<PathBuf>, names: Rc<HostNames>) -> Self {
        Self {
            names,
            config: config.clone(),
            ca_file,
            readers: Readers::new(),
            state: RefCell::new(BusState {
                faults: vec![None; config.servers.len()],
                ..BusState::default()
            }),
        }
    }

    /// Listens until the runtime ends.
    pub(super) async fn listen(self: Rc<Self>) {
        loop {
            for index in 0..self.config.servers.len() {
                let Err(fault) = self.listen_to(index).await;
                self.state.borrow_mut().fail(&self.url(index), index, fault);
            }
            let pause = self.state.borrow_mut().pause();
            sleep(pause).await;
        }
    }

    async fn listen_to(&self, index: usize) -> Result<Infallible, NatsFault> {
        let server = &self.config.servers[index];
        let (tls, credentials) = self.prepared(server).await?;
        let resolved = Instant::now() + RESOLVER;
        let addresses = self.names.addresses(&server.address, resolved).await;
        let addresses = addresses.map_err(|failure| NatsFault {
            failure,
            cause: failure.to_string(),
        })?;
        let server = NatsAddress { addresses, tls };
        let mut connection = NatsConnection::open(&server, credentials.as_ref(), &SUBJECTS).await?;
        loop {
            let heard = connection.next().await?;
            let mut state = self.state.borrow_mut();
            match heard {
                NatsHeard::Ready => state.connected(&self.url(index), index),
                NatsHeard::TooLarge => state.lose(MessageOutcome::TooLarge, "more than 64 KiB"),
                NatsHeard::Message(subject, text) => state.take(subject, text),
            }
        }
    }

    /// Reads the files that a connection to a server needs (certificates, key and password), in a reader: a file may be a pipe, or of
    /// a file system that does not answer.
    async fn prepared(&self, server: &NatsServerConfig) -> Result<NatsAccess, NatsFault> {
        let (config, server) = (self.config.clone(), server.clone());
        let ca_file = config.ca_file.clone().or_else(|| self.ca_file.clone());
        let job: BlockingJob<_> = Box::new(move || prepared(&config, ca_file.as_deref(), &server));
        let read = self
            .readers
            .run_all(ROOT, Instant::now() + FILES, vec![((), job)]);
        let read = read.await.pop();
        match read.map_or(Err(Failure::Timeout), |(_, read)| read) {
            Ok(read) => read.map_err(|cause| NatsFault {
                failure: Failure::Denied,
                cause,
            }),
            Err(failure) => Err(NatsFault {
                failure,
                cause: format!(
                    "password_file, ca_file, cert_file or key_file cannot be read: {failure}; name a file that answers at once"
                ),
            }),
        }
    }

    /// The live entries; [`FileLook::Unchanged`] if `known` is their stamp.
    pub(super) fn look(&self, known: Option<FileStamp>) -> SourceLook {
        let mut state = self.state.borrow_mut();
        let known = known.map(|(revision, ..)| revision);
        let look = match state.entries.changed(known, std::time::Instant::now()) {
            None => FileLook::Unchanged,
            Some((revision, found)) => FileLook::Read((revision, 0, 0, 0, 0), Ok(found)),
        };
        SourceLook {
            files: vec![(PathBuf::from(SourceKind::Nats.word()), look)],
            fault: None,
        }
    }

    /// Whether the agent is connected to a server and subscribed.
    pub(super) fn is_connected(&self) -> bool {
        self.state.borrow().ready_at.is_some()
    }

    /// Connections that failed or ended so far, by reason.
    pub(super) fn failures(&self) -> [u64; Failure::OF_SOURCES.len()] {
        self.state.borrow().failures
    }

    /// Malformed messages so far.
    pub(super) fn malformed(&self) -> u64 {
        self.state.borrow().messages[MessageOutcome::Malformed as usize]
    }

    /// Writes the family of messages.
    pub(super) fn write(&self, out: &mut Writer) {
        let mut messages = out.family(&MESSAGES);
        let counts = self.state.borrow().messages;
        for ((_, outcome), count) in MessageOutcome::ALL.iter().zip(counts) {
            messages.sample(&[outcome], count);
        }
    }

    fn url(&self, index: usize) -> String {
        self.config.servers[index].url()
    }
}

/// Reads the files that a connection to a server needs. Blocks.
fn prepared(
    config: &NatsConfig,
    ca_file: Option<&Path>,
    server: &NatsServerConfig,
) -> Result<NatsAccess, String> {
    let tls = match server.is_tls {
        false => None,
        true => {
            let identity = config.identity.as_ref();
            let identity =
                identity.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
            let authorities = Authorities::with_identity(ca_file, identity)?;
            let tls = authorities.expect(config.server_name.as_deref(), &server.address);
            Some(tls.map_err(|failure| format!("server_name: {failure}"))?)
        }
    };
    let credentials = match &config.credentials {
        None => None,
        Some((user, file)) => {
            let password = std::fs::read_to_string(file);
            let password = password.map_err(|error| format!("{}: {error}", file.display()))?;
            Some(NatsCredentials {
                user: user.clone(),
                password: password.trim_end_matches(['\n', '\r']).to_owned(),
            })
        }
    };
    Ok((tls, credentials))
}

impl BusState {
    fn connected(&mut self, url: &str, index: usize) {
        if self.ready_at.is_none() {
            log::info!("fan_in: listening for routes at {url}");
        }
        self.ready_at.get_or_insert_with(Instant::now);
        self.faults[index] = None;
    }

    fn fail(&mut self, url: &str, index: usize, fault: NatsFault) {
        let ready_at = self.ready_at.take();
        if ready_at.is_some_and(|at| at.elapsed() >= USED) {
            self.last_pause = None;
        }
        count(&mut self.failures, fault.failure);
        if self.faults[index].as_ref() != Some(&fault) {
            let cause = &fault.cause;
            log::warn!("fan_in: {url}: {cause}; its entries are used until they expire");
        }
        self.faults[index] = Some(fault);
    }

    /// The pause after a round.
    fn pause(&mut self) -> Duration {
        let longer = |last: Duration| MOST_PAUSE.min(2 * last);
        let pause = self.last_pause.map_or(LEAST_PAUSE, longer);
        self.last_pause = Some(pause);
        pause
    }

    /// Processes a message of the subject with this index.
    fn take(&mut self, subject: usize, text: &[u8]) {
        let now = std::time::Instant::now();
        let mut found = match parse(text, now) {
            Ok(found) => found,
            Err(MessageFault::NoApplication) => return self.count(MessageOutcome::NoApplication),
            Err(MessageFault::Malformed(cause)) => {
                return self.lose(MessageOutcome::Malformed, &cause);
            }
        };
        let is_empty = found.instances.is_empty();
        for routed in std::mem::take(&mut found.instances) {
            match subject {
                REGISTER => {
                    found.omitted += u64::from(!self.entries.register(routed, now));
                }
                _ => self.entries.unregister(routed),
            }
        }
        match (subject, &found.example) {
            _ if found.omitted > 0 => {
                self.lose(MessageOutcome::Limit, "there is no room for an entry")
            }
            (_, Some(example)) => self.lose(MessageOutcome::Unusable, example),
            _ if is_empty => self.lose(MessageOutcome::Unusable, "it has no route"),
            (REGISTER, None) => self.count(MessageOutcome::Registered),
            _ => self.count(MessageOutcome::Unregistered),
        }
    }

    /// Counts a message that is dropped in part or as a whole; logs the first one with each outcome.
    fn lose(&mut self, outcome: MessageOutcome, cause: &str) {
        let (_, word) = MessageOutcome::ALL[outcome as usize];
        if self.messages[outcome as usize] == 0 {
            let cause: String = cause.chars().take(200).collect();
            log::warn!(
                "fan_in: a message about routes is not used as a whole: {word}: {cause}; further ones are counted in \
                 headcount_fan_in_messages_total"
            );
        }
        self.count(outcome);
    }

    fn count(&mut self, outcome: MessageOutcome) {
        self.messages[outcome as usize] += 1;
    }
}

#[cfg(test)]
mod tests;
