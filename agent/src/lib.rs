//! Headcount: what each group of processes on this node costs.
//!
//! ```text
//!                  agent-ebpf                               agent
//!  kernel  --> hooks, maps, iterator --> source/bpf --+
//!  /proc   --------------------------> source/procfs -+--> process --> group --> collector --> exposition --> http
//! ```
//!
//! `process`, `group` and `exposition` are pure; `source` and `http` do the IO; one thread owns the state
//! (`pipeline`, driven by `owner`). [`run`] is the one place that knows every module.

pub mod check;
pub mod collector;
pub mod config;
pub mod exposition;
pub mod group;
pub mod host;
pub mod http;
pub mod list;
mod owner;
mod pipeline;
pub mod process;
pub mod source;

use collector::Collectors;
use config::logging::Logger;
use group::{BootTime, Classifier, Grouper, Policy};
use host::Host;
use pipeline::{Parts, Pipeline};
use source::{
    Names, Observer, Smaps, Tier, Users,
    bpf::{self, Request, Sizes},
    procfs::Procfs,
};
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

/// What a run is told.
#[derive(Debug)]
pub struct Settings {
    /// Where the host is.
    pub host: Host,
    /// Selectors and names, compiled.
    pub classifier: Classifier,
    /// Which tier is wanted.
    pub accounting: Request,
    /// Sizes of the kernel's buffers.
    pub sizes: Sizes,
    /// What is wanted of groups.
    pub policy: Policy,
    /// Until which age processes in no group are looked at again, where execs are not told; `None`: never.
    pub recheck: Option<Duration>,
    /// Whether threads are shown by name.
    pub threads: bool,
    /// CPU time for reading proportional memory, for each scrape; `None`: it is not read.
    pub smaps_budget: Option<Duration>,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// Who may ask for them; `None`: everybody who can connect.
    pub web: Option<http::Web>,
    /// The log.
    pub logger: &'static Logger,
}

/// Why a run ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tier that was forced cannot work.
    #[error("--accounting={tier}: {reason}")]
    Accounting {
        /// What was asked for.
        tier: &'static str,
        /// Why it cannot work, and what to do.
        reason: String,
    },
    /// The agent's own metrics could not be made.
    #[error(transparent)]
    Registry(#[from] prometheus::Error),
    /// No thread, no runtime, or the ring's descriptor cannot be watched.
    #[error("the owner of the state: {0}")]
    Owner(#[from] io::Error),
    /// The thread that owns the state ended by itself.
    #[error("the owner of the state ended; please report the log lines before this one")]
    OwnerEnded,
}

/// Serves `listener` until `shutdown`.
///
/// # Errors
/// See [`Error`].
pub async fn run(
    mut settings: Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (owner, inbox) = http::owner();
    let statistics = Arc::new(http::Statistics::default());
    let site = Arc::new(http::Site {
        telemetry_path: settings.telemetry_path.clone(),
        owner,
        limits: limits(),
        statistics: Arc::clone(&statistics),
        web: settings.web.take().map(Arc::new),
    });
    let failure = start_owner(settings, statistics, inbox)?;
    tokio::select! {
        () = http::serve(listener, site, shutdown) => Ok(()),
        error = failure => Err(error),
    }
}

/// The exposition of a scrape that comes `delay` after another one, whose own is of no use: it is the baseline.
///
/// # Errors
/// See [`Error`].
pub async fn once(settings: Settings, delay: Duration) -> Result<Vec<u8>, Error> {
    let (owner, inbox) = http::owner();
    let failure = start_owner(settings, Arc::default(), inbox)?;
    let scrapes = async {
        owner.metrics().await?;
        tokio::time::sleep(delay).await;
        owner.metrics().await
    };
    match scrapes.await {
        Ok(exposition) => Ok(exposition.into()),
        Err(http::Unavailable) => Err(failure.await),
    }
}

/// Starts the thread that owns the state and answers what comes into the inbox; why it ends before it is told to.
fn start_owner(
    settings: Settings,
    statistics: Arc<http::Statistics>,
    inbox: mpsc::Receiver<http::Question>,
) -> Result<impl Future<Output = Error>, Error> {
    bound_memory();
    let (ready, is_ready) = oneshot::channel();
    let (hand_over, handed_over) = oneshot::channel();
    let (ended, has_ended) = oneshot::channel();
    let state = move || -> Result<(), Error> {
        let pipeline = prepare(settings, statistics)?;
        give_back_memory();
        // The other side is gone when the run has ended meanwhile.
        let _ = ready.send(());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match handed_over.await {
                Ok((inbox, waiting)) => Ok(owner::own(pipeline, inbox, waiting).await?),
                Err(_) => Ok(()),
            }
        })
    };
    std::thread::Builder::new()
        .name("headcount-state".to_owned())
        .spawn(move || {
            let _ = ended.send(state());
        })?;
    tokio::spawn(async move {
        let _ = hand_over.send(owner::stand_in(inbox, is_ready).await);
    });
    Ok(async move {
        match has_ended.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => Error::OwnerEnded,
        }
    })
}

/// Chooses the tier, loads the programs, takes the first pass.
fn prepare(settings: Settings, http: Arc<http::Statistics>) -> Result<Pipeline, Error> {
    let Settings {
        host,
        classifier,
        accounting,
        sizes,
        policy,
        recheck,
        threads,
        smaps_budget,
        logger,
        ..
    } = settings;
    let obstacle = obstacle(&host);
    let start = bpf::start(accounting, obstacle, sizes, host.page_size).map_err(|reason| {
        Error::Accounting {
            tier: word(accounting),
            reason,
        }
    })?;
    report(&start);
    let shortcomings = if accounting == Request::Auto && start.plan.tier != Tier::Iterator {
        start.warnings
    } else {
        Vec::new()
    };
    let boot_time = BootTime {
        unix_seconds: host.boot_time,
    };
    let users = Users::new(host.passwd());
    let procfs = Procfs::new(host.clone())
        .with_threads(threads)
        .with_cwd(classifier.uses_cwd());
    // Who is told of each exec needs no second look.
    let recheck = recheck.filter(|_| start.plan.tier == Tier::Procfs);
    let smaps = smaps_budget.map(|budget| Smaps::new(host.clone(), budget));
    let classifier = Arc::new(classifier);
    let placing = Arc::clone(&classifier);
    let placer = Box::new(move |facts: &process::Facts| placing.classify(facts, boot_time));
    let mut grouper = Grouper::new(placer, policy);
    grouper.announce(classifier.fixed());
    Ok(Pipeline::start(Parts {
        observer: Observer::new(start.kernel, procfs, Names::new(users), smaps),
        grouper,
        classifier,
        collectors: Collectors::new()?,
        threads,
        http,
        logger,
        shortcomings,
        recheck,
        host,
    }))
}

/// What stands in the way of any kernel tier, as far as this process's surroundings tell.
fn obstacle(host: &Host) -> Option<bpf::Obstacle> {
    if !host.is_procfs_mount() {
        return Some(bpf::Obstacle::NotProcfs(host.procfs.display().to_string()));
    }
    if host.in_initial_pid_namespace() == Some(false) {
        return Some(bpf::Obstacle::OtherPidNamespace);
    }
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| bpf::missing_capability(&status))
}

fn word(accounting: Request) -> &'static str {
    match accounting {
        Request::Auto => "auto",
        Request::Only(tier) => tier.word(),
    }
}

fn report(start: &bpf::Start) {
    for warning in &start.warnings {
        log::warn!("{warning}");
    }
    match start.plan.rung {
        Some(rung) => {
            let (tier, rung) = (start.plan.tier.word(), rung.word());
            log::info!("accounting: {tier} tier, final totals at {rung}");
        }
        None => log::info!(
            "accounting: /proc only; processes that live between two scrapes are not seen"
        ),
    }
}

/// The bounds of the HTTP side, with as many descriptors as the administrator allows.
fn limits() -> http::Limits {
    let descriptors = descriptors();
    let (limits, wanted) = http::Limits::default().within(descriptors);
    if let Some(wanted) = wanted {
        let connections = limits.connections;
        log::warn!(
            "the agent may open {descriptors} files, so it serves {connections} connections at a time; {wanted} would do, set by \
             LimitNOFILE= of its unit or ulimit -n"
        );
    }
    limits
}

/// The descriptors that this process may have; the soft limit is raised to the hard one first.
fn descriptors() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes one structure, which outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: reads one structure, which outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => limit.rlim_cur,
        _ => soft,
    }
}

/// Keeps the C library's allocator to one heap, of which free memory is given back: with one per thread,
/// `malloc_trim` would leave the end of the state thread's heap, where the loader has worked, resident for good. A fixed
/// limit from which on memory is mapped is not raised by the loader's large blocks.
fn bound_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: both take numbers and are called before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
    }
}

/// Loading needs ten times the memory that running does; the allocator would keep it.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number and touches only the allocator's own state, which it locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
