//! The node's own processes as a source of instances: the processes of items of `process_names` that have `scrape`.
//!
//! ```text
//! state --Board--> processes --look (a reader, at most once a second)--> listeners, addresses --> instances
//!                                                          connected --confirm (a reader)--> may be asked, or not_the_target
//! ```
//!
//! A process is an instance of the application that its group names. Processes that share a listening socket are one instance,
//! and so are processes with the same address in the same namespace. The agent enters no namespace: it reads `/proc/<pid>/net`
//! and the descriptors of the process.
//!
//! Any user can create a network namespace, own any address there and listen. So the agent connects to an address only if it may
//! belong to the process ([`reach`]), and sends nothing before the table of that namespace has the connection ([`confirm`]). If
//! several namespaces have the same address, the agent tries those that match the request until one has the connection
//! ([`contenders`]). [`survey`] gives the outcome for each process to a command that prints it and ends.

mod confirm;
mod contenders;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod look;
mod reach;
mod sockets;
pub(crate) mod survey;
mod tables;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use confirm::{Confirmations, NodeConnection};
use look::{NodeLook, look};
use reach::NotAnInstance;
use tokio::time::{Instant, timeout_at};

use super::counts::{SourceCounts, count};
use super::table::{FanInApplication, FanInInstance, NodeListener, WantedInstances};
use crate::exposition::{Descriptor, Kind, Writer};
use crate::host::Host;
use crate::targets::board::{Board, ScrapedProcess};
use crate::targets::failure::Failure;
use crate::targets::readers::{BlockingJob, Readers};

/// A look serves questions for this long.
const FRESH: Duration = Duration::from_secs(1);
/// The same as a multiple of the look's CPU time, if that is longer: looks use at most a fifth of a core.
const PAUSE: u32 = 4;
/// A look begins no further step after this part of the question's time: one divided by this.
const READING: u32 = 2;
/// The readers of looks are charged to root.
const ROOT: u32 = 0;

pub(super) static PROCESSES: Descriptor = Descriptor {
    name: "headcount_fan_in_processes",
    kind: Kind::Gauge,
    help: "Processes of items with scrape at the last look, by outcome: instance, shared (an older process has its listener, or its \
           address in its network namespace), no_listener (none on a wanted port), several_ports (scrape names none), no_address (none at which it may be asked), \
           gone, unreadable, limit.",
    labels: &["outcome"],
    unit: "processes",
    source: "agent",
    fallback: "left out without an item with scrape",
};

/// A process that can be asked.
#[derive(Debug)]
struct ScrapedInstance {
    address: SocketAddr,
    process: ScrapedProcess,
    listener: Arc<NodeListener>,
}

/// The outcome of looking at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessOutcome {
    Instance,
    Shared,
    NoListener,
    SeveralPorts,
    NoAddress,
    Gone,
    Unreadable,
    Limit,
}

impl ProcessOutcome {
    /// All variants with their values of the label `outcome`, in the order of the variants.
    const ALL: [(Self, &'static str); 8] = [
        (Self::Instance, "instance"),
        (Self::Shared, "shared"),
        (Self::NoListener, "no_listener"),
        (Self::SeveralPorts, "several_ports"),
        (Self::NoAddress, "no_address"),
        (Self::Gone, "gone"),
        (Self::Unreadable, "unreadable"),
        (Self::Limit, "limit"),
    ];
}

impl From<NotAnInstance> for ProcessOutcome {
    fn from(reason: NotAnInstance) -> Self {
        match reason {
            NotAnInstance::NoListener => Self::NoListener,
            NotAnInstance::SeveralPorts => Self::SeveralPorts,
            NotAnInstance::NoAddress => Self::NoAddress,
        }
    }
}

impl From<Failure> for ProcessOutcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Gone => Self::Gone,
            _ => Self::Unreadable,
        }
    }
}

/// The processes of the node that are asked. It lives on the targets thread.
#[derive(Debug)]
pub(super) struct NodeProcesses {
    host: Arc<Host>,
    board: Arc<Board>,
    /// One look at a time.
    readers: Readers<()>,
    confirmations: Rc<Confirmations>,
    /// The time until which the last look serves questions.
    fresh: Arc<tokio::sync::Mutex<Option<Instant>>>,
    known: RefCell<KnownProcesses>,
}

#[derive(Debug, Default)]
struct KnownProcesses {
    /// Sorted by address.
    instances: Vec<Arc<FanInInstance>>,
    outcomes: [u64; ProcessOutcome::ALL.len()],
    failures: [u64; Failure::OF_SOURCES.len()],
    /// The time of the pass whose processes the last look used.
    at: Option<std::time::Instant>,
}

impl NodeProcesses {
    pub(super) fn new(host: Host, board: Arc<Board>) -> Self {
        Self {
            host: Arc::new(host),
            board,
            readers: Readers::new(),
            confirmations: Rc::new(Confirmations::new()),
            fresh: Arc::default(),
            known: RefCell::default(),
        }
    }

    /// Looks at the processes, unless the last look still serves questions. Returns at `end` at the latest; the result of the
    /// last look then stays.
    pub(super) async fn refresh(self: &Rc<Self>, end: Instant) {
        let Ok(mut fresh) = timeout_at(end, Arc::clone(&self.fresh).lock_owned()).await else {
            return;
        };
        if fresh.is_some_and(|fresh| Instant::now() < fresh) {
            return;
        }
        let this = Rc::clone(self);
        // A task of its own: a look whose question is dropped would leave a reader that is busy for the next one.
        let look = tokio::task::spawn_local(async move {
            *fresh = Some(this.look(end).await);
        });
        // It does not panic, and is not aborted.
        let _ = look.await;
    }

    /// Looks at the processes. Returns the time until which this serves questions.
    async fn look(&self, end: Instant) -> Instant {
        let began = Instant::now();
        self.confirmations.forget();
        let (host, scraped) = (Arc::clone(&self.host), self.board.scraped());
        let at = scraped.at;
        let until = began + end.saturating_duration_since(began) / READING;
        let job: BlockingJob<NodeLook> = Box::new(move || look(&host, &scraped, until.into_std()));
        let looked = self.readers.run_all(ROOT, end, vec![((), job)]);
        let looked = looked.await.pop();
        let looked = looked.map_or(Err(Failure::Timeout), |(_, looked)| looked);
        let cost = looked.as_ref().map_or(began.elapsed(), |look| look.cpu);
        self.known.borrow_mut().note(looked, at);
        Instant::now() + FRESH.max(PAUSE * cost)
    }

    /// The wanted instances, sorted by address. Instances with the same address are in the order in which they are tried.
    pub(super) fn look_up(&self, wanted: &WantedInstances) -> Vec<Arc<FanInInstance>> {
        let known = self.known.borrow();
        let is_wanted = |instance: &&Arc<FanInInstance>| match wanted {
            WantedInstances::Node => true,
            WantedInstances::Route(name) => {
                let group = instance
                    .labels
                    .iter()
                    .find(|(label, _)| label == "groupname");
                group.is_some_and(|(_, group)| group.to_lowercase() == *name)
            }
            WantedInstances::Names { .. } | WantedInstances::Id(_) => false,
        };
        known.instances.iter().filter(is_wanted).cloned().collect()
    }

    /// Checks that a connection from `own` to `address` has reached the listener. The caller must drop the future at `end`.
    ///
    /// # Errors
    /// [`Failure::NotTheTarget`]: it has not, or the process has ended. Others: the tables cannot be read.
    pub(super) async fn confirm(
        &self,
        listener: &Arc<NodeListener>,
        (address, own): (SocketAddr, SocketAddr),
        end: Instant,
    ) -> Result<(), Failure> {
        let connection = NodeConnection {
            listener: Arc::clone(listener),
            address,
            own,
        };
        self.confirmations
            .confirm(&self.host, connection, end)
            .await
    }

    /// Writes the family of processes.
    pub(super) fn write(&self, out: &mut Writer) {
        let known = self.known.borrow();
        let mut processes = out.family(&PROCESSES);
        for ((_, outcome), count) in ProcessOutcome::ALL.iter().zip(known.outcomes) {
            processes.sample(&[outcome], count);
        }
    }

    /// The numbers of this source, in the form of those of files.
    pub(super) fn counts(&self) -> SourceCounts {
        let known = self.known.borrow();
        let of = |outcome: ProcessOutcome| known.outcomes[outcome as usize];
        let live = known.instances.len() as u64;
        let omitted = of(ProcessOutcome::Limit);
        let all: u64 = known.outcomes.iter().sum();
        SourceCounts {
            live,
            expired: 0,
            omitted,
            unusable: all - live - omitted,
            age: known.at.map(|at| at.elapsed()),
            failures: known.failures,
        }
    }
}

impl KnownProcesses {
    /// Stores the result of a look. If the look failed, the result of the last one stays.
    fn note(&mut self, looked: Result<NodeLook, Failure>, at: Option<std::time::Instant>) {
        match looked {
            Ok(looked) => {
                let instances = looked.instances.into_iter();
                self.instances = instances
                    .map(|one| Arc::new(fan_in_instance(one)))
                    .collect();
                self.instances.sort_by(|a, b| a.address.cmp(&b.address));
                self.outcomes = looked.outcomes;
                self.at = at;
            }
            Err(failure) => count(&mut self.failures, failure),
        }
    }
}

/// The instance with the labels of its group. Its application has the name of the group only if it may receive credentials.
fn fan_in_instance(found: ScrapedInstance) -> FanInInstance {
    let ScrapedInstance {
        address,
        process,
        listener,
    } = found;
    let group = &process.group;
    let name = process.may_receive_credentials.then(|| group.name.clone());
    let own = [
        ("groupname".to_owned(), group.name.clone()),
        ("instance".to_owned(), address.to_string()),
    ];
    let labels = group.labels.iter();
    let labels = labels.map(|(name, value)| (name.to_string(), value.clone()));
    FanInInstance {
        address: address.into(),
        is_tls: process.scrape.is_tls,
        server_name: None,
        host: None,
        metric_path: Some(process.scrape.path.clone()),
        labels: own.into_iter().chain(labels).collect(),
        application: Arc::new(FanInApplication {
            name: name.unwrap_or_default(),
            ..FanInApplication::default()
        }),
        is_web: true,
        expires: None,
        listener: Some(listener),
        exporter: None,
    }
}
