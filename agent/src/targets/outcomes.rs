//! The results of asking the targets of one kind, and the families that show them, which are the same for all kinds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::Failure;
use crate::exposition::{Descriptor, Kind, Writer};

pub(super) static UP: Descriptor = Descriptor {
    name: "headcount_target_up",
    kind: Kind::Gauge,
    help: "1 if the target answered in this scrape, 0 if it did not; the reasons are in headcount_target_failures_total.",
    labels: &["kind", "target"],
    unit: "-",
    source: "agent",
    fallback: "-",
};

pub(super) static DURATION: Descriptor = Descriptor {
    name: "headcount_target_duration_seconds",
    kind: Kind::Gauge,
    help: "Time from the connection to the target until its answer was read, or until the agent gave up.",
    labels: &["kind", "target"],
    unit: "seconds",
    source: "agent",
    fallback: "left out for targets that have not been asked when the scrape ends",
};

pub(super) static FAILURES: Descriptor = Descriptor {
    name: "headcount_target_failures_total",
    kind: Kind::Counter,
    help: "Targets that could not be found, asked or understood, by reason: gone (disappeared meanwhile), denied (no permission, or its \
           files and its process do not belong to one user), refused (nothing accepts connections), timeout, too_large, status (an HTTP \
           status other than 200), malformed, busy (reading its files has outlived its deadline and has not come back), limit (a bound \
           of the agent was reached), redirected (an instance of an application redirects to another host), tls (its \
           certificate is not acceptable), template (that of an external exporter fails).",
    labels: &["kind", "reason"],
    unit: "failures",
    source: "agent",
    fallback: "-",
};

static HELD_UP: Descriptor = Descriptor {
    name: "headcount_target_readers_held_up",
    kind: Kind::Gauge,
    help: "Threads that read files of targets and do not come back; those for targets of one user other than root are at most 2, of all such \
           users 8, of root 4.",
    labels: &["kind"],
    unit: "threads",
    source: "agent",
    fallback: "-",
};

/// The families that every kind of target has.
pub(crate) const DESCRIPTORS: [&Descriptor; 4] = [&UP, &DURATION, &FAILURES, &HELD_UP];

/// The last question to one target.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    is_up: bool,
    /// `None` until it was asked.
    took: Option<Duration>,
}

/// The outcomes of the last round, and the failures since the start.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// By the label `target`.
    targets: BTreeMap<String, Outcome>,
    /// Whether there ever was a target or a failure. Until then, the kind shows no families.
    has_met_any: bool,
    failures: [u64; Failure::ALL.len()],
}

impl Outcomes {
    /// Notes the targets that were found and will be asked.
    pub(crate) fn begin<'a>(&mut self, labels: impl Iterator<Item = &'a str>) {
        self.targets.clear();
        let labels = labels.map(|label| (label.to_owned(), Outcome::default()));
        self.targets.extend(labels);
        self.has_met_any |= !self.targets.is_empty();
    }

    /// Begins a round: expects the targets of the last one again. They count as not answering until they are found.
    pub(crate) fn expect_again(&mut self) {
        self.targets
            .values_mut()
            .for_each(|one| *one = Outcome::default());
    }

    /// Removes a label that turned out to be no target.
    pub(crate) fn forget(&mut self, label: &str) {
        self.targets.remove(label);
    }

    /// Notes the result of asking a target.
    pub(crate) fn note(&mut self, label: &str, is_up: bool, took: Duration) {
        self.has_met_any = true;
        let took = Some(took);
        self.targets
            .insert(label.to_owned(), Outcome { is_up, took });
    }

    /// Counts `targets` that failed for the same reason.
    pub(crate) fn count(&mut self, failure: Failure, targets: u64) {
        self.has_met_any |= targets > 0;
        let all = Failure::ALL.iter().zip(&mut self.failures);
        for (_, count) in all.filter(|(reason, _)| **reason == failure) {
            *count += targets;
        }
    }

    /// Writes the families for the targets of `kind`, of which `held_up` readers do not come back.
    pub(crate) fn write(&self, kind: &str, held_up: usize, out: &mut Writer) {
        if !self.has_met_any {
            return;
        }
        let mut up = out.family(&UP);
        for (label, outcome) in &self.targets {
            up.sample(&[kind, label], u64::from(outcome.is_up));
        }
        let mut duration = out.family(&DURATION);
        for (label, outcome) in &self.targets {
            if let Some(took) = outcome.took {
                duration.sample(&[kind, label], took.as_secs_f64());
            }
        }
        let mut failures = out.family(&FAILURES);
        for (reason, count) in Failure::ALL.iter().zip(self.failures) {
            failures.sample(&[kind, reason.word()], count);
        }
        out.family(&HELD_UP).sample(&[kind], held_up as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_without_targets_shows_nothing() {
        let mut outcomes = Outcomes::default();
        outcomes.begin([].into_iter());
        outcomes.count(Failure::Limit, 0);
        let mut writer = Writer::default();
        outcomes.write("k", 0, &mut writer);
        assert_eq!(writer.samples(), 0);
    }

    #[test]
    fn target_that_is_not_found_again_in_time_is_not_up() {
        let mut outcomes = Outcomes::default();
        outcomes.begin(["a"].into_iter());
        outcomes.note("a", true, Duration::from_millis(2));
        outcomes.expect_again();
        let shown = |outcomes: &Outcomes| {
            let mut writer = Writer::default();
            outcomes.write("k", 0, &mut writer);
            let body = String::from_utf8(writer.finish()).unwrap();
            let of_target = |line: &&str| line.contains("target=");
            let shown: Vec<String> = body.lines().filter(of_target).map(str::to_owned).collect();
            shown
        };
        let wanted = r#"headcount_target_up{kind="k",target="a"} 0"#;
        assert_eq!(shown(&outcomes), [wanted]);
        outcomes.begin([].into_iter());
        assert_eq!(shown(&outcomes), [""; 0], "it is gone");
    }

    #[test]
    fn families_show_the_last_round_and_all_failures() {
        let mut outcomes = Outcomes::default();
        outcomes.begin(["old"].into_iter());
        outcomes.count(Failure::Limit, 3);
        outcomes.begin(["a", "b", "c"].into_iter());
        outcomes.note("a", true, Duration::from_millis(2));
        outcomes.note("b", false, Duration::from_secs(1));
        outcomes.count(Failure::Timeout, 1);
        let mut writer = Writer::default();
        outcomes.write("k", 2, &mut writer);
        let body = String::from_utf8(writer.finish()).unwrap();
        let samples: Vec<&str> = body.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            r#"headcount_target_duration_seconds{kind="k",target="a"} 0.002"#,
            r#"headcount_target_duration_seconds{kind="k",target="b"} 1"#,
            r#"headcount_target_failures_total{kind="k",reason="gone"} 0"#,
            r#"headcount_target_failures_total{kind="k",reason="denied"} 0"#,
            r#"headcount_target_failures_total{kind="k",reason="refused"} 0"#,
            r#"headcount_target_failures_total{kind="k",reason="timeout"} 1"#,
            r#"headcount_target_failures_total{kind="k",reason="too_large"} 0"#,
            r#"headcount_target_failures_total{kind="k",reason="status"} 0"#,
            r#"headcount_target_failures_total{kind="k",reason="malformed"} 0"#,
            r#"headcount_target_failures_total{kind="k",reason="busy"} 0"#,
            r#"headcount_target_failures_total{kind="k",reason="limit"} 3"#,
            r#"headcount_target_readers_held_up{kind="k"} 2"#,
            r#"headcount_target_up{kind="k",target="a"} 1"#,
            r#"headcount_target_up{kind="k",target="b"} 0"#,
            r#"headcount_target_up{kind="k",target="c"} 0"#,
        ];
        assert_eq!(samples, expected);
    }
}
