//! Headcount: a node agent for Prometheus that measures what each group of processes costs.
//!
//! ```text
//!                  agent-ebpf                               agent
//!  kernel  --> hooks, maps, iterator --> source/bpf --+
//!  /proc   --------------------------> source/procfs -+--> process --> group --> collector --> exposition --> scrape --> http
//!  other programs <------------------- targets ----------------------------------^      merge --> answers of fan-in ------^
//! ```
//!
//! `process`, `group`, `exposition` and `merge` are pure; `source`, `targets` and `http` do the IO. One thread owns the state
//! (`state`), one asks other programs (`targets`), one serves HTTP, and one stores the paths of the service broker where it is on.
//! [`run`] starts them and is the one place that knows every module.

mod blocking;
pub mod check;
pub mod collector;
pub mod config;
pub mod exposition;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod go;
pub mod group;
pub mod gunicorn;
pub mod host;
pub mod http;
pub mod list;
pub mod merge;
pub mod process;
pub mod runtime;
pub mod sandbox;
pub mod scrape;
pub mod source;
pub mod state;
pub mod targets;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use collector::{Collectors, PartOf, Runs};
use config::logging::Logger;
use group::{BootTime, Classifier, Grouper, Policy};
use host::Host;
use http::{Answers, ServiceBroker};
use runtime::{Manager, descriptors, memory};
use sandbox::Sandbox;
use scrape::{Joiner, TargetsSource};
use source::bpf::{self, AccountingRequest, Kernel, Sizes};
use source::procfs::Procfs;
use source::{NamesById, Observer, Smaps, Tier, UserNames};
use state::handle::{self, Question, Unavailable};
use state::reload::{self, Configuration, placer};
use state::{AgentState, Options, Output, actor};
use targets::board::Board;
use targets::fan_in::broker::StoredPaths;
use targets::fan_in::handle::FanInHandle;
use targets::fan_in::{self, FanInAnswers};
use targets::handle::TargetsHandle;
use targets::{Environment, HostNames, Needs, TargetSettings};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The settings of a run, from flags and configuration.
#[derive(Debug)]
pub struct Settings {
    /// The roots of `/proc`, `/sys` and the file system, and the host's units.
    pub host: Host,
    /// Selectors and name templates, compiled.
    pub classifier: Classifier,
    /// The configuration file, which a reload reads again; `None` for names on the command line and for the built-in
    /// configuration.
    pub config_path: Option<PathBuf>,
    /// The requested accounting tier.
    pub accounting: AccountingRequest,
    /// Sizes of the kernel's buffers.
    pub sizes: Sizes,
    /// The number of groups, whether children join their ancestor's group, and whether empty groups are removed.
    pub policy: Policy,
    /// Age up to which processes in no group are checked again, in the tier that does not see execs; `None`: never.
    pub recheck: Option<Duration>,
    /// Whether to show threads by name.
    pub threads: bool,
    /// CPU time for reading proportional memory, for each scrape; `None`: it is not read.
    pub smaps_budget: Option<Duration>,
    /// Whether to count the payload of sockets.
    pub wants_network: bool,
    /// URL path of the metrics.
    pub telemetry_path: String,
    /// Largest size of an exposition before compression, in bytes; groups that do not fit are left out.
    pub max_exposition_bytes: usize,
    /// Whether a request may reload the configuration.
    pub can_reload: bool,
    /// Host names that requests for the page and for reloads may carry.
    pub hosts: http::Hosts,
    /// Whether `/` serves the status page.
    pub has_page: bool,
    /// Whether the page shows command lines.
    pub shows_cmdline: bool,
    /// Which programs the agent asks for their own state.
    pub targets: TargetSettings,
    /// TLS and passwords; `None`: every client that can connect may send requests.
    pub web: Option<http::Web>,
    /// The logger, which counts the lines that it suppresses.
    pub logger: &'static Logger,
    /// Records which rights the agent has given up.
    pub sandbox: Arc<Sandbox>,
}

/// Fatal errors of a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The forced tier cannot work.
    #[error("--accounting={tier}: {reason}")]
    Accounting {
        /// The requested tier.
        tier: &'static str,
        /// Why it cannot work, and the remedy.
        reason: String,
    },
    /// The agent's own metrics could not be registered.
    #[error(transparent)]
    Registry(#[from] prometheus::Error),
    /// A thread or runtime could not be started, or the ring buffer's descriptor cannot be polled.
    #[error("the state thread cannot run: {0}")]
    Owner(#[from] io::Error),
    /// The state thread ended by itself.
    #[error("the state thread ended; please report the log lines before this one")]
    OwnerEnded,
    /// The service broker has no password, or its thread could not be started.
    #[error("{0}")]
    Broker(String),
}

/// Serves on `listeners` until `shutdown` is ready; each signal of `hangups` reloads the configuration.
///
/// # Errors
/// The fatal errors of a run: [`Error`].
pub async fn run(
    mut settings: Settings,
    listeners: Vec<http::Listener>,
    hangups: Signal,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let manager = Manager::connect();
    let limits = http::Limits {
        // Memory for one exposition that clients read and one that is written meanwhile.
        unsent_bytes: settings.max_exposition_bytes.saturating_mul(2),
        ..limits(&settings.targets)
    };
    let counters = Arc::new(http::HttpCounters::new(limits.clone()));
    let (state, inbox) = handle::channel();
    let runs = Runs::new()?;
    let broker = start_broker(&settings)?;
    let targets = start_targets(&settings, &runs, broker.as_ref().map(ServiceBroker::stored))?;
    let (targets, board, fan_in) = parts_of(targets);
    let answers = answers(state.clone(), targets, &runs, &counters);
    let web = settings.web.take().map(Arc::new);
    let files = web.as_deref().map_or_else(Vec::new, http::Web::files);
    let service = Arc::new(http::Service {
        telemetry_path: settings.telemetry_path.clone(),
        can_reload: settings.can_reload,
        hosts: std::mem::take(&mut settings.hosts),
        has_page: settings.has_page,
        answers,
        fan_in,
        broker,
        limits,
        counters,
        web,
    });
    let (first_pass, failure) = start_owner(settings, runs, board, inbox, &files)?;
    let shutdown = async {
        shutdown.await;
        manager.stopping().await;
    };
    let is_alive = || async { state.health().await.is_ok() };
    tokio::select! {
        () = http::serve(listeners, service, shutdown) => Ok(()),
        error = failure => Err(error),
        () = manager.report(first_pass, is_alive) => Ok(()),
        never = reload::at_each(hangups, &state, &manager) => match never {},
    }
}

/// Time for a scrape of [`once`], in which the first pass may be made.
const ONCE: Duration = Duration::from_secs(3600);

/// Scrapes twice, `delay` apart, and returns the exposition of the second scrape. The first one is only the baseline.
///
/// # Errors
/// The fatal errors of a run: [`Error`].
pub async fn once(settings: Settings, delay: Duration) -> Result<Vec<u8>, Error> {
    let (state, inbox) = handle::channel();
    let runs = Runs::new()?;
    let targets = start_targets(&settings, &runs, None)?;
    let (targets, board, _) = parts_of(targets);
    let answers = answers(state, targets, &runs, &Arc::default());
    let (_, failure) = start_owner(settings, runs, board, inbox, &[])?;
    let scrapes = async {
        answers.metrics(Instant::now() + ONCE).await?;
        tokio::time::sleep(delay).await;
        answers.metrics(Instant::now() + ONCE).await
    };
    match scrapes.await {
        Ok(exposition) => Ok(exposition.plain().into()),
        Err(Unavailable) => Err(failure.await),
    }
}

/// Gets expositions from the threads of state and targets.
fn answers(
    state: handle::Handle,
    targets: Option<TargetsHandle>,
    runs: &Runs,
    counters: &Arc<http::HttpCounters>,
) -> Answers {
    let kinds = targets.as_ref().map_or(&[][..], TargetsHandle::kinds);
    let counted = Arc::clone(counters);
    let joiner = Joiner::new(runs, move || counted.read(), kinds);
    let targets = targets.map(|handle| TargetsSource::new(handle, runs.clone()));
    Answers::new(state, targets, joiner, counters, host::other_threads_cpu)
}

/// The targets thread, as other threads use it.
struct TargetsThread {
    handle: TargetsHandle,
    /// Where the state publishes.
    board: Arc<Board>,
    /// `None` unless fan-in is configured.
    fan_in: Option<FanInHandle>,
}

fn parts_of(
    thread: Option<TargetsThread>,
) -> (
    Option<TargetsHandle>,
    Option<Arc<Board>>,
    Option<FanInHandle>,
) {
    match thread {
        Some(thread) => (Some(thread.handle), Some(thread.board), thread.fan_in),
        None => (None, None, None),
    }
}

/// Starts the service broker, if there is one, and the thread that writes its file.
fn start_broker(settings: &Settings) -> Result<Option<ServiceBroker>, Error> {
    let broker = settings.targets.broker().map(|(config, allowed_paths)| {
        let sandbox = Arc::clone(&settings.sandbox);
        let confine = move |directory: &Path| sandbox.confine_broker(directory);
        ServiceBroker::start(config, allowed_paths, confine)
    });
    broker.transpose().map_err(Error::Broker)
}

/// Starts the thread that asks targets, if a kind of target is enabled. It has all rights of the calling thread until it has given
/// up those that it does not need.
fn start_targets(
    settings: &Settings,
    runs: &Runs,
    stored: Option<StoredPaths>,
) -> Result<Option<TargetsThread>, Error> {
    let needs = Needs::of(&settings.targets);
    runs.limit(settings.max_exposition_bytes, !needs.collectors.is_empty());
    if needs.collectors.is_empty() {
        return Ok(None);
    }
    let board = Arc::new(Board::new(needs.comms));
    let (handle, inbox) = targets::handle::channel(needs.collectors, Arc::clone(&board));
    let (wanted, sandbox) = (settings.targets.clone(), Arc::clone(&settings.sandbox));
    let (host, published) = (settings.host.clone(), Arc::clone(&board));
    let processes = wanted
        .fan_in
        .as_ref()
        .filter(|fan_in| fan_in.asks_processes);
    let (fan_in, fan_in_inbox) = fan_in::handle::channel(processes.map(|_| Arc::clone(&board)));
    let fan_in = wanted.fan_in.is_some().then_some(fan_in);
    let most_bytes = runs.most_target_bytes();
    let (confined, is_confined) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("headcount-targets".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return log::error!("no target is asked: {error}"),
            };
            // Before this thread gives up the right to use UDP.
            let names = wanted.fan_in.as_ref().map(|_| {
                let sandbox = Arc::clone(&sandbox);
                HostNames::start(move || sandbox.confine_names())
            });
            sandbox.confine_targets(needs.reads_others);
            // The receiver waits until then.
            let _ = confined.send(());
            let users = RefCell::new(UserNames::new(host.passwd()));
            let local = tokio::task::LocalSet::new();
            let fan_in = wanted.fan_in.as_ref().zip(names).map(|(config, names)| {
                let fan_in = Rc::new(FanInAnswers::new(config, names, &host, &published, stored));
                local.spawn_local(Rc::clone(&fan_in).answer(fan_in_inbox));
                fan_in
            });
            let environment = Environment {
                host,
                board: published,
                user_name: Rc::new(move |uid| users.borrow_mut().name(uid)),
                fan_in,
                most_bytes,
            };
            let kinds = targets::start(&wanted, &environment);
            let answering = targets::actor::answer(&kinds, inbox);
            local.block_on(&runtime, answering);
        })?;
    // Waits, so that the first scrape shows the rights that the thread has given up.
    let _ = is_confined.recv();
    Ok(Some(TargetsThread {
        handle,
        board,
        fan_in,
    }))
}

/// Starts the state thread, which answers the questions of the inbox. Returns the accounting tier in words, ready
/// once the first pass is done, and the error with which the state thread ends. Confines the calling thread to what
/// serving HTTP needs, including reading `files`.
fn start_owner(
    settings: Settings,
    runs: Runs,
    board: Option<Arc<Board>>,
    inbox: mpsc::Receiver<Question>,
    files: &[PathBuf],
) -> Result<(oneshot::Receiver<String>, impl Future<Output = Error>), Error> {
    let sandbox = Arc::clone(&settings.sandbox);
    let (ready, is_ready) = oneshot::channel();
    let (hand_over, handed_over) = oneshot::channel();
    let (settled, first_pass) = oneshot::channel();
    let (ended, has_ended) = oneshot::channel();
    let own_state = move || -> Result<(), Error> {
        let state = prepare(settings, &runs, board)?;
        memory::give_back();
        // The receiver is gone if the run has ended meanwhile.
        let _ = ready.send(());
        let _ = settled.send(state.plan().in_words());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match handed_over.await {
                Ok((inbox, waiting)) => Ok(actor::own(state, inbox, waiting).await?),
                Err(_) => Ok(()),
            }
        })
    };
    std::thread::Builder::new()
        .name("headcount-state".to_owned())
        .spawn(move || {
            let _ = ended.send(own_state());
        })?;
    sandbox.confine_http(files);
    tokio::spawn(async move {
        let _ = hand_over.send(actor::stand_in(inbox, is_ready).await);
    });
    let failure = async move {
        match has_ended.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => Error::OwnerEnded,
        }
    };
    Ok((first_pass, failure))
}

/// Chooses the tier, loads the kernel programs and takes the first pass.
fn prepare(
    settings: Settings,
    runs: &Runs,
    board: Option<Arc<Board>>,
) -> Result<AgentState, Error> {
    let Settings {
        host,
        classifier,
        config_path,
        accounting,
        sizes,
        policy,
        recheck,
        threads,
        smaps_budget,
        wants_network,
        shows_cmdline,
        targets,
        logger,
        sandbox,
        ..
    } = settings;
    let obstacle = bpf::obstacle(&host);
    let mut start = bpf::start(accounting, obstacle, sizes, host.page_size).map_err(|reason| {
        Error::Accounting {
            tier: accounting.word(),
            reason,
        }
    })?;
    report(&start);
    // Before the first pass, because that starts the threads that read `/proc`, which inherit the sandbox.
    let uses_bpf = start.kernel.is_some();
    sandbox.confine_state(uses_bpf, || {
        start.kernel.as_mut().is_none_or(Kernel::rehearse)
    });
    let shortcomings = if accounting == AccountingRequest::Auto && start.plan.tier != Tier::Iterator
    {
        start.warnings
    } else {
        Vec::new()
    };
    let wants_run_queue = sizes.run_queue_slots.is_some();
    let wants_udp = sizes.has_udp;
    let boot_time = BootTime {
        unix_seconds: host.boot_time,
    };
    let users = UserNames::new(host.passwd());
    let procfs = Procfs::new(host.clone())
        .with_threads(threads)
        .with_cwd(classifier.uses_cwd())
        .with_pods(classifier.uses_pods());
    // The kernel tiers report each exec, so they need no second check.
    let recheck = recheck.filter(|_| start.plan.tier == Tier::Procfs);
    let smaps = smaps_budget.map(|budget| Smaps::new(host.clone(), budget));
    let classifier = Arc::new(classifier);
    let mut grouper =
        Grouper::new(placer(&classifier, boot_time), policy).with_comms(wants_run_queue);
    grouper.announce(classifier.fixed());
    let observer = Observer::new(
        start.kernel,
        procfs,
        NamesById::new(users).with_tree_of(&host),
        smaps,
    )
    .with_run_queue(wants_run_queue)
    .with_network(wants_network, wants_udp)
    .with_requests(sizes.request_owners.is_some());
    let options = Options {
        threads,
        recheck,
        wants_gunicorn: sizes.has_gunicorn,
        shows_cmdline,
        board,
    };
    let output = Output {
        collectors: Collectors::of(PartOf::State, runs),
        logger,
        sandbox,
    };
    Ok(AgentState::start(
        host,
        observer,
        grouper,
        Configuration::new(classifier, targets.fan_in, config_path),
        options,
        output,
        shortcomings,
    ))
}

fn report(start: &bpf::Started) {
    for warning in &start.warnings {
        log::warn!("{warning}");
    }
    log::info!("accounting: {}", start.plan.in_words());
}

/// The limits of the HTTP server, with as many connections as the descriptor limit allows.
fn limits(targets: &TargetSettings) -> http::Limits {
    let descriptors = descriptors::limit();
    let of_instances = targets.fan_in.as_ref();
    let of_instances = of_instances.map_or(0, |fan_in| fan_in.limits.at_once as u64);
    let mut limits = http::Limits::default();
    if let Some(fan_in) = &targets.fan_in {
        limits.merged_bytes = 2 * fan_in.limits.answer_bytes;
    }
    let (limits, wanted) = limits.within(descriptors.saturating_sub(of_instances));
    if let Some(wanted) = wanted {
        let wanted = wanted + of_instances;
        let connections = limits.connections;
        log::warn!(
            "the limit of open files is {descriptors}, so the agent serves {connections} connections at a time; raise it to \
             {wanted} with LimitNOFILE= of its unit or ulimit -n"
        );
    }
    limits
}
