//! The families that arbiters' answers make, by application, and the reloads that were counted so far.
//!
//! Several arbiters may have the name of one application. Their workers and reloads are added up, as those of the collector
//! `gunicorn` are. A value is shown only if all of them have answered; reloads are a counter, and stay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::answer::ControlAnswer;
use super::find::NoControl;
use crate::exposition::{Descriptor, Kind, Writer};
use crate::process::ProcessId;
use crate::targets::board::ArbiterCandidate;

const FALLBACK: &str =
    "left out where an arbiter of the application has no control socket, or the agent may not ask";

static TARGET: Descriptor = Descriptor {
    name: "gunicorn_workers_target",
    kind: Kind::Gauge,
    help: "Workers that the arbiter of the application keeps running: the configured number, changed by TTIN and TTOU.",
    labels: &["app"],
    unit: "workers",
    source: "show stats: workers_target",
    fallback: FALLBACK,
};

static RELOADS: Descriptor = Descriptor {
    name: "gunicorn_reloads_total",
    kind: Kind::Counter,
    help: "Reloads (HUP) of the application since the agent's start, as its arbiter counts them.",
    labels: &["app"],
    unit: "reloads",
    source: "show stats: reloads",
    fallback: FALLBACK,
};

static HEARTBEAT: Descriptor = Descriptor {
    name: "gunicorn_worker_heartbeat_age_seconds",
    kind: Kind::Gauge,
    help: "Seconds since the last heartbeat of a worker to its arbiter, of the worker that has been silent longest. The arbiter ends a worker at --timeout.",
    labels: &["app"],
    unit: "seconds",
    source: "show workers: last_heartbeat",
    fallback: FALLBACK,
};

static NOT_ASKED: Descriptor = Descriptor {
    name: "headcount_gunicorn_arbiters_not_asked",
    kind: Kind::Gauge,
    help: "Arbiters of Gunicorn that could not be asked in this scrape: no_socket (it listens on no control socket, or on one whose name the agent does not know), denied (the agent may not look at its sockets, or not connect), not_the_target (another process has taken the path of its socket).",
    labels: &["reason"],
    unit: "arbiters",
    source: "agent",
    fallback: "left out until the first arbiter is found",
};

/// Bytes of the heads of these families, and more than those of [`NOT_ASKED`].
const HEADS: usize = 4096;
/// Bytes of all samples of an application and its arbiter, those about it as a target included, with the longest names.
const ARBITER_BYTES: usize = 1536;

/// The state of the families from round to round.
#[derive(Debug)]
pub(super) struct ControlFamilies {
    /// When the agent started, nanoseconds since boot: earlier counts of arbiters are left out.
    since_ns: u64,
    /// The reloads that each living arbiter has reported so far.
    reported: HashMap<ProcessId, u64>,
    /// By application. The state bounds the number of their names.
    reloads: BTreeMap<Arc<str>, u64>,
    /// Arbiters that this round has found, and the answers that have arrived.
    arbiters: Vec<(ArbiterCandidate, Option<ControlAnswer>)>,
    /// In the order of [`NoControl::REASONS`].
    not_asked: [u64; NoControl::REASONS.len()],
    has_met_any: bool,
}

impl ControlFamilies {
    pub(super) fn new(since_ns: u64) -> Self {
        Self {
            since_ns,
            reported: HashMap::new(),
            reloads: BTreeMap::new(),
            arbiters: Vec::new(),
            not_asked: Default::default(),
            has_met_any: false,
        }
    }

    /// All families, in the order in which METRICS.md lists them.
    pub(super) fn descriptors() -> impl Iterator<Item = &'static Descriptor> {
        [&TARGET, &RELOADS, &HEARTBEAT, &NOT_ASKED].into_iter()
    }

    /// Most arbiters that have room in so many bytes.
    pub(super) const fn fitting(bytes: usize) -> usize {
        bytes.saturating_sub(HEADS) / ARBITER_BYTES
    }

    /// A round begins: these arbiters live.
    pub(super) fn begin(&mut self, arbiters: &[ArbiterCandidate]) {
        let arbiters = arbiters.iter().map(|one| (one.clone(), None));
        self.arbiters = arbiters.collect();
        self.arbiters
            .sort_by(|(one, _), (other, _)| one.app.cmp(&other.app));
        let living = &self.arbiters;
        self.reported
            .retain(|id, _| living.iter().any(|(one, _)| one.id == *id));
        self.not_asked = Default::default();
        self.has_met_any |= !self.arbiters.is_empty();
    }

    /// An arbiter has answered.
    pub(super) fn note(&mut self, id: ProcessId, answer: ControlAnswer) {
        let mut arbiters = self.arbiters.iter_mut();
        let Some((arbiter, said)) = arbiters.find(|(one, _)| one.id == id) else {
            return;
        };
        *said = Some(answer);
        let count = answer.stats.reloads;
        let first = if id.start_ns < self.since_ns {
            count
        } else {
            0
        };
        let reported = self.reported.entry(id).or_insert(first);
        let total = self.reloads.entry(Arc::clone(&arbiter.app)).or_default();
        *total = total.saturating_add(count.saturating_sub(*reported));
        *reported = count.max(*reported);
    }

    /// An arbiter could not be asked, for one of [`NoControl::REASONS`].
    pub(super) fn note_not_asked(&mut self, why: NoControl) {
        let reasons = NoControl::REASONS.iter().zip(&mut self.not_asked);
        for (_, count) in reasons.filter(|((reason, _), _)| *reason == why) {
            *count += 1;
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        if !self.has_met_any {
            return;
        }
        let apps = self
            .arbiters
            .chunk_by(|(one, _), (other, _)| one.app == other.app);
        let answered = apps.filter_map(|arbiters| {
            let (first, _) = arbiters.first()?;
            let answers: Option<Vec<_>> = arbiters.iter().map(|(_, said)| *said).collect();
            Some((&*first.app, answers?))
        });
        let whole: Vec<(&str, Vec<ControlAnswer>)> = answered.collect();
        let mut target = out.family(&TARGET);
        for (app, answers) in &whole {
            let of_each = answers.iter().map(|answer| answer.stats.workers_target);
            target.sample(&[app], of_each.fold(0, u64::saturating_add));
        }
        let mut heartbeat = out.family(&HEARTBEAT);
        for (app, answers) in &whole {
            let ages = answers.iter().filter_map(|answer| answer.oldest_heartbeat);
            if let Some(age) = ages.reduce(f64::max) {
                heartbeat.sample(&[app], age);
            }
        }
        let mut reloads = out.family(&RELOADS);
        for (app, count) in &self.reloads {
            reloads.sample(&[app], *count);
        }
        let mut not_asked = out.family(&NOT_ASKED);
        for ((_, reason), count) in NoControl::REASONS.iter().zip(self.not_asked) {
            not_asked.sample(&[reason], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::answer::ControlStats;
    use super::*;
    use crate::targets::failure::Failure;

    const STARTED: u64 = 1_000;

    fn arbiter(tgid: u32, start_ns: u64, app: &str) -> ArbiterCandidate {
        ArbiterCandidate {
            id: ProcessId { tgid, start_ns },
            app: app.into(),
        }
    }

    const fn said(workers_target: u64, reloads: u64, oldest: Option<f64>) -> ControlAnswer {
        ControlAnswer {
            stats: ControlStats {
                workers_target,
                reloads,
            },
            oldest_heartbeat: oldest,
        }
    }

    fn samples(families: &ControlFamilies) -> Vec<String> {
        let mut writer = Writer::default();
        families.write(&mut writer);
        let body = String::from_utf8(writer.finish()).unwrap();
        let samples = body.lines().filter(|line| line.starts_with("gunicorn_"));
        samples.map(str::to_owned).collect()
    }

    #[test]
    fn nothing_is_shown_before_the_first_arbiter() {
        let mut families = ControlFamilies::new(STARTED);
        let bytes = |families: &ControlFamilies| {
            let mut writer = Writer::default();
            families.write(&mut writer);
            writer.bytes()
        };
        families.begin(&[]);
        assert_eq!(bytes(&families), 0);
        families.begin(&[arbiter(1, 2_000, "a")]);
        for (reason, _) in NoControl::REASONS {
            families.note_not_asked(reason);
        }
        families.note_not_asked(NoControl::Failed(Failure::Timeout));
        let mut writer = Writer::default();
        families.write(&mut writer);
        let body = String::from_utf8(writer.finish()).unwrap();
        assert_eq!(body.matches("} 1\n").count(), 3, "{body}");
        families.begin(&[]);
        assert_ne!(bytes(&families), 0, "it was there");
    }

    #[test]
    fn arbiters_of_one_name_are_added_up_if_all_have_answered() {
        let mut families = ControlFamilies::new(STARTED);
        let [one, other, alone] = [
            arbiter(1, 2_000, "a"),
            arbiter(2, 3_000, "a"),
            arbiter(3, 2_000, "b"),
        ];
        families.begin(&[one.clone(), alone.clone(), other.clone()]);
        families.note(one.id, said(2, 1, Some(0.5)));
        families.note(alone.id, said(7, 4, None));
        let expected = [
            r#"gunicorn_reloads_total{app="a"} 1"#,
            r#"gunicorn_reloads_total{app="b"} 4"#,
            r#"gunicorn_workers_target{app="b"} 7"#,
        ];
        assert_eq!(samples(&families), expected);
        families.note(other.id, said(3, 2, Some(0.25)));
        let expected = [
            r#"gunicorn_reloads_total{app="a"} 3"#,
            r#"gunicorn_reloads_total{app="b"} 4"#,
            r#"gunicorn_worker_heartbeat_age_seconds{app="a"} 0.5"#,
            r#"gunicorn_workers_target{app="a"} 5"#,
            r#"gunicorn_workers_target{app="b"} 7"#,
        ];
        assert_eq!(samples(&families), expected);
    }

    #[test]
    fn reloads_before_the_agents_start_are_not_counted() {
        let mut families = ControlFamilies::new(STARTED);
        let (old, new) = (arbiter(1, 500, "old"), arbiter(2, 1_500, "new"));
        let shown = |families: &mut ControlFamilies, reloads| {
            families.begin(&[old.clone(), new.clone()]);
            families.note(old.id, said(1, reloads, None));
            families.note(new.id, said(1, reloads, None));
            let mut all = samples(families);
            all.truncate(2);
            all
        };
        let expected = |new, old| {
            [
                format!("gunicorn_reloads_total{{app=\"new\"}} {new}"),
                format!("gunicorn_reloads_total{{app=\"old\"}} {old}"),
            ]
        };
        assert_eq!(shown(&mut families, 5), expected(5, 0));
        assert_eq!(shown(&mut families, 6), expected(6, 1));
        assert_eq!(shown(&mut families, 2), expected(6, 1), "it lies");
        assert_eq!(shown(&mut families, 7), expected(7, 2));
    }

    #[test]
    fn arbiter_with_the_longest_name_fits_its_bound() {
        use crate::targets::outcomes::Outcomes;
        let name = "\"".repeat(64);
        let one = arbiter(1, 2_000, &name);
        let mut families = ControlFamilies::new(STARTED);
        families.begin(std::slice::from_ref(&one));
        families.note(
            one.id,
            said(u64::MAX, u64::MAX, Some(0.123_456_789_012_345_6)),
        );
        let mut outcomes = Outcomes::default();
        let label = format!("{name}@4294967295-4096");
        outcomes.note(&label, true, std::time::Duration::from_nanos(123_456_789));
        let written = |families: &ControlFamilies, outcomes: &Outcomes| {
            let mut writer = Writer::default();
            let start = writer.mark();
            families.write(&mut writer);
            outcomes.write("gunicorn_control", 0, &mut writer);
            writer.written(start)
        };
        let with = written(&families, &outcomes);
        assert!(with.bytes <= HEADS + ARBITER_BYTES, "{with:?}");
        outcomes.forget(&label);
        let without = written(&ControlFamilies::new(STARTED), &outcomes);
        let samples = with.sample_bytes - without.sample_bytes;
        assert!(
            samples <= ARBITER_BYTES && samples > ARBITER_BYTES / 2,
            "{samples}"
        );
        assert_eq!(ControlFamilies::fitting(HEADS + 3 * ARBITER_BYTES), 3);
        assert_eq!(ControlFamilies::fitting(0), 0);
    }

    proptest! {
        #[test]
        fn reloads_never_fall(steps in prop::collection::vec((0_u32..3, 0_u64..4, any::<bool>()), 0..40)) {
            let mut families = ControlFamilies::new(STARTED);
            let mut last = 0;
            for (tgid, reloads, is_old) in steps {
                let one = arbiter(tgid, if is_old { 500 } else { 1_500 }, "a");
                families.begin(std::slice::from_ref(&one));
                families.note(one.id, said(1, reloads, None));
                let total = families.reloads["a"];
                prop_assert!(total >= last);
                last = total;
            }
        }
    }
}
