//! Finds the outcome for each process of the node that matches an item with `scrape`, for commands that print it and end. Blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::look::look;
use super::{ProcessOutcome, fan_in_instance};
use crate::host::Host;
use crate::targets::board::{ScrapedProcess, ScrapedProcesses};
use crate::targets::fan_in::table::FanInInstance;

/// Time of the look; processes for which it is not enough have the outcome `limit`.
const PATIENCE: Duration = Duration::from_secs(10);

/// The instance of a process, or the reason why it has none, in the words of `headcount_fan_in_processes`.
#[derive(Debug)]
pub(crate) struct SurveyedProcess {
    pub(crate) process: ScrapedProcess,
    pub(crate) instance: Result<FanInInstance, &'static str>,
}

/// The outcome of a process that the caller may not inspect.
pub(crate) const UNREADABLE: &str = ProcessOutcome::ALL[ProcessOutcome::Unreadable as usize].1;

/// Looks at processes, the oldest first: of several processes with the same listener, the first one is the instance.
pub(crate) fn survey(host: &Host, mut processes: Vec<ScrapedProcess>) -> Vec<SurveyedProcess> {
    processes.sort_unstable_by_key(|one| (one.id.start_ns, one.id.tgid));
    let all = ScrapedProcesses {
        all: Arc::new(processes),
        left_out: 0,
        at: None,
    };
    let look = look(host, &all, Instant::now() + PATIENCE);
    let mut instances = look.instances.into_iter();
    let outcomes = all.all.iter().zip(look.of_each);
    let surveyed = outcomes.map(|(process, outcome)| SurveyedProcess {
        process: process.clone(),
        instance: match outcome {
            // The instances are in the order of their processes.
            ProcessOutcome::Instance => instances.next().map(fan_in_instance).ok_or(UNREADABLE),
            other => Err(ProcessOutcome::ALL[other as usize].1),
        },
    });
    surveyed.collect()
}
