//! The configuration file of the groups: read at the start, and again at each reload, which replaces the configuration in force.
//!
//! A file that cannot be used changes nothing. The answer to the request, the log, the metrics and `/health` report the failure,
//! the latter two until a reload succeeds.
//!
//! A reload first takes a pass, which books all use so far to the old groups. Then each living process gets the group that the
//! new configuration decides, as soon as it is classified. Existing groups stay, with their counters. A reload costs as much as
//! the start, because it reads the names of all processes.

use std::convert::Infallible;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::signal::unix::Signal;

use super::Pipeline;
use super::handle::Handle;
use crate::collector::ReloadStatistics;
use crate::config::{Config, FanInConfig};
use crate::group::{BootTime, Classifier, Placer};
use crate::runtime::Manager;

/// The contents of the file.
#[derive(Debug)]
pub struct Loaded {
    /// The items, compiled.
    pub classifier: Classifier,
    /// The section `fan_in`; `None` without one, or if it names no source.
    pub fan_in: Option<FanInConfig>,
}

/// Reads and compiles the file. Logs warnings for settings that are valid but probably not intended.
///
/// # Errors
/// The mistake, with file and line, and the expected value.
pub fn load(path: &Path) -> Result<Loaded, String> {
    let config = Config::load(path).map_err(|error| error.to_string())?;
    for warning in config.warning_lines() {
        log::warn!("{warning}");
    }
    Ok(Loaded {
        classifier: Classifier::new(&config).map_err(|error| error.to_string())?,
        fan_in: config.fan_in.filter(FanInConfig::has_source),
    })
}

/// As [`load`], for a reload. A pipe is refused: it is empty by then or has no writer, so reading it would block the agent.
pub(super) fn load_again(path: &Path) -> Result<Loaded, String> {
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    if kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device()) {
        return Err(format!(
            "{}: found a pipe or a device, which is read at the start only; expected a regular file",
            path.display()
        ));
    }
    load(path)
}

/// Reloads at each signal of `hangups`; signals that arrive during a reload cause one more reload.
pub(crate) async fn at_each(mut hangups: Signal, state: &Handle, manager: &Manager) -> Infallible {
    while hangups.recv().await.is_some() {
        log::info!("SIGHUP: reloading the configuration");
        manager.reloading().await;
        // The result is in the log. If the state thread has ended, the agent is stopping.
        let _ = state.reload().await;
        manager.reloaded().await;
    }
    std::future::pending().await
}

/// The configuration file, and the result of the last reload.
#[derive(Debug)]
pub(crate) struct Reloads {
    path: Option<PathBuf>,
    /// Why the last reload failed; `None` if it succeeded.
    failure: Option<String>,
    succeeded_at: SystemTime,
    failures: u64,
}

impl Reloads {
    /// To be created after the file, if there is one, was read for the first time.
    pub(crate) fn of(path: Option<PathBuf>) -> Self {
        Self {
            path,
            failure: None,
            succeeded_at: SystemTime::now(),
            failures: 0,
        }
    }

    /// The configuration file; `None` without one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Remembers and logs the result of a reload.
    pub(crate) fn note(&mut self, result: Result<(), String>) -> Result<(), String> {
        match (&result, &self.path) {
            (Ok(()), Some(path)) => log::info!("{}: reloaded", path.display()),
            (Ok(()), None) => log::info!(
                "nothing to reload: there is no --config.path, and flags are read at the start only"
            ),
            (Err(error), _) => {
                log::error!("not reloaded, the former configuration still applies: {error}");
                self.failures += 1;
            }
        }
        if result.is_ok() {
            self.succeeded_at = SystemTime::now();
        }
        self.failure = result.clone().err();
        result
    }

    /// The reason for a degraded health.
    pub(crate) fn reason(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(format!(
            "the configuration was not reloaded, the former one still applies: {failure}"
        ))
    }

    /// Values for the metrics.
    pub(crate) fn statistics(&self) -> ReloadStatistics {
        let since_epoch = self.succeeded_at.duration_since(SystemTime::UNIX_EPOCH);
        ReloadStatistics {
            is_successful: self.failure.is_none(),
            // A clock that shows a time before 1970 was never set.
            success_unix_seconds: since_epoch.map_or(0.0, |since| since.as_secs_f64()),
            failures: self.failures,
        }
    }
}

/// The configuration in force.
pub(crate) struct Configuration {
    pub(super) classifier: Arc<Classifier>,
    pub(super) reloads: Reloads,
    fan_in: Option<FanInConfig>,
    /// Failures of name templates that were logged, by item.
    failures_logged: Vec<u64>,
}

impl Configuration {
    /// To be created after the file at `path`, if there is one, was read for the first time.
    pub(crate) fn new(
        classifier: Arc<Classifier>,
        fan_in: Option<FanInConfig>,
        path: Option<PathBuf>,
    ) -> Self {
        Self {
            classifier,
            reloads: Reloads::of(path),
            fan_in,
            failures_logged: Vec::new(),
        }
    }

    /// Refuses a section `fan_in` other than that of the start: the targets thread has its rights and its sources from there.
    pub(super) fn refuse_other_fan_in(&self, loaded: &Loaded) -> Result<(), String> {
        let without_line = |fan_in: &Option<FanInConfig>| {
            let fan_in = fan_in.clone();
            fan_in.map(|fan_in| FanInConfig { line: 0, ..fan_in })
        };
        match without_line(&self.fan_in) == without_line(&loaded.fan_in) {
            true => Ok(()),
            false => Err(
                "fan_in has changed, and the agent reads it at the start only: restart the agent"
                    .to_owned(),
            ),
        }
    }

    /// Puts `classifier` in force. Regrouping the processes is left to the caller.
    pub(super) fn replace(&mut self, classifier: Classifier, pipeline: &mut Pipeline) {
        let boot = BootTime {
            unix_seconds: pipeline.host.boot_time,
        };
        pipeline.observer.want_cwd(classifier.uses_cwd());
        pipeline.observer.want_pods(classifier.uses_pods());
        pipeline.publication.scrape(classifier.scrapes());
        let former = std::mem::replace(&mut self.classifier, Arc::new(classifier));
        let classifier = &self.classifier;
        let keeps = |item| classifier.decides_as(&former, item);
        pipeline
            .grouper
            .reconfigure(placer(classifier, boot), classifier.fixed(), keeps);
        self.failures_logged.clear();
    }

    /// Logs the first failure of each item whose template fails at run time.
    pub(super) fn log_template_failures(&mut self) {
        for failure in self.classifier.template_failures() {
            if self.failures_logged.len() <= failure.item {
                self.failures_logged.resize(failure.item + 1, 0);
            }
            if self.failures_logged[failure.item] == 0 {
                self.failures_logged[failure.item] = failure.count;
                log::warn!(
                    "a template of item {} of process_names fails at run time, and its text ends there: {}",
                    failure.item + 1,
                    failure.cause
                );
            }
        }
    }
}

/// The function that decides the group of a process, by `classifier`.
pub(crate) fn placer(classifier: &Arc<Classifier>, boot: BootTime) -> Placer {
    let classifier = Arc::clone(classifier);
    Box::new(move |facts| classifier.classify(facts, boot))
}
