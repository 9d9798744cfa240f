//! One process group in one exposition.

use crate::exposition::Samples;
use crate::process::End;
use crate::program::Report;

/// See the module. A counter that is not there is 0: a group appears with its first process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) name: &'a str,
}

impl Samples {
    pub(crate) fn group<'a>(&'a self, name: &'a str) -> Group<'a> {
        Group {
            samples: self,
            name,
        }
    }

    /// All groups whose name starts so.
    pub(crate) fn groups_with_prefix(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .series("namedprocess_namegroup_num_procs")
            .filter_map(|(labels, _)| labels.get("groupname"))
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect();
        names.sort_unstable();
        names
    }
}

impl Group<'_> {
    /// `namedprocess_namegroup_<family>`, without further labels.
    pub(crate) fn value(&self, family: &str) -> f64 {
        self.labelled(family, &[])
    }

    /// The same with further labels.
    pub(crate) fn labelled(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let name = format!("namedprocess_namegroup_{family}");
        let mut all = vec![("groupname", self.name)];
        all.extend_from_slice(labels);
        self.samples.value(&name, &all).unwrap_or(0.0)
    }

    pub(crate) fn cpu_ns(&self) -> f64 {
        self.mode_ns("user") + self.mode_ns("system")
    }

    pub(crate) fn mode_ns(&self, mode: &str) -> f64 {
        self.labelled("cpu_seconds_total", &[("mode", mode)]) * 1e9
    }

    pub(crate) fn forks(&self) -> f64 {
        self.value("forks_total")
    }

    pub(crate) fn execs(&self) -> f64 {
        self.value("execs_total")
    }

    pub(crate) fn exits(&self, end: End) -> f64 {
        self.labelled("exits_total", &[("status", end.word())])
    }

    pub(crate) fn all_exits(&self) -> f64 {
        [End::Success, End::Failure, End::Signal]
            .iter()
            .map(|end| self.exits(*end))
            .sum::<f64>()
            + self.exits_of_unknown_status().unwrap_or(0.0)
    }

    /// Ends with unknown status; `None` where the tier reports the status of all.
    fn exits_of_unknown_status(&self) -> Option<f64> {
        let labels = [("groupname", self.name), ("status", "unknown")];
        let name = "namedprocess_namegroup_exits_total";
        self.samples.value(name, &labels)
    }

    pub(crate) fn processes(&self) -> f64 {
        self.value("num_procs")
    }
}

/// The births, execs and ends that a group must show at the end of a scenario.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lives {
    pub(crate) forks: u64,
    pub(crate) execs: u64,
    pub(crate) success: u64,
    pub(crate) failure: u64,
    pub(crate) signal: u64,
}

impl Lives {
    /// A program that was started, and ended well.
    pub(crate) const ONE_PROGRAM: Self = Self {
        forks: 0,
        execs: 1,
        success: 1,
        failure: 0,
        signal: 0,
    };

    /// The ends that the scenario `churn` reports.
    pub(crate) fn of(report: &Report) -> Self {
        Self {
            success: report.of("success"),
            failure: report.of("failure"),
            signal: report.of("signal"),
            ..Self::default()
        }
    }

    /// Whether the group shows exactly this, except for the loss that the agent has counted: preemptible kernels leave out a run
    /// of a program now and then.
    pub(crate) fn check(&self, group: &Group<'_>) -> Result<(), String> {
        let found = [
            group.forks(),
            group.execs(),
            group.exits(End::Success),
            group.exits(End::Failure),
            group.exits(End::Signal),
        ];
        let expected = [
            self.forks,
            self.execs,
            self.success,
            self.failure,
            self.signal,
        ]
        .map(|n| n as f64);
        let mut expected = expected.to_vec();
        let mut found = found.to_vec();
        if let Some(unknown) = group.exits_of_unknown_status() {
            // No record has their status: only their sum can be right, or wrong.
            let ends = expected[2..].iter_mut().map(std::mem::take).sum();
            expected.push(ends);
            found.push(unknown);
        }
        let lost = group.samples.value("headcount_events_lost_total", &[]);
        let missing: Vec<f64> = expected.iter().zip(&found).map(|(e, f)| e - f).collect();
        let is_more = missing.iter().any(|missing| *missing < 0.0);
        if !is_more && missing.iter().sum::<f64>() <= lost.unwrap_or(0.0) {
            return Ok(());
        }
        let name = group.name;
        Err(format!(
            "group {name}: [forks, execs, success, failure, signal, and those unknown] is {found:?}, expected {expected:?}"
        ))
    }
}
