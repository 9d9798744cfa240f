//! The generator's report, and the comparison of an exposition with it. It does no IO.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::{Context as _, Result, ensure};

use crate::bench::metrics;

/// Counts of the programs with one name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lives {
    pub(super) forks: u64,
    pub(super) execs: u64,
    /// Exits by status, in the order of [`Self::STATUS`].
    pub(super) exits: [u64; Self::ENDS],
}

impl Lives {
    pub(super) const ENDS: usize = 3;
    /// Values of the label `status`.
    const STATUS: [&str; Self::ENDS] = ["success", "failure", "signal"];

    pub(super) fn add(&mut self, end: usize) {
        self.exits[end] += 1;
    }

    /// The samples that show these counts: family, further label, value.
    fn samples(self) -> impl Iterator<Item = (&'static str, String, u64)> {
        let exits = Self::STATUS.into_iter().zip(self.exits);
        let exits = exits.map(|(status, count)| ("exits", format!(",status=\"{status}\""), count));
        [("forks", self.forks), ("execs", self.execs)]
            .into_iter()
            .map(|(what, count)| (what, String::new(), count))
            .chain(exits)
    }
}

/// All counts since the generator's start, as one line: CPU in nanoseconds, then `NAME=FORKS,EXECS,SUCCESS,FAILURE,SIGNAL` for
/// each name, and `NAME/THREAD=NANOSECONDS` for each thread that stays.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Report {
    pub(super) cpu_ns: f64,
    groups: BTreeMap<String, Lives>,
    /// CPU in nanoseconds, by the names of the process and of the thread.
    threads: BTreeMap<(String, String), f64>,
}

/// CPU time of a thread that `/proc` cuts to ticks, of user and system time each, nanoseconds; the iterator cuts none.
const THREAD_CUT_NS: f64 = 20e6;

impl Report {
    pub(super) fn group(&mut self, name: &str) -> &mut Lives {
        self.groups.entry(name.to_owned()).or_default()
    }

    pub(super) fn set_thread(&mut self, name: &str, thread: &str, cpu_ns: f64) {
        let key = (name.to_owned(), thread.to_owned());
        self.threads.insert(key, cpu_ns);
    }

    pub(super) fn parse(line: &str) -> Result<Self> {
        let (cpu_ns, words) = line.split_once(' ').context("two parts")?;
        let mut threads = BTreeMap::new();
        let mut groups = BTreeMap::new();
        let group = |word: &str| -> Result<(String, Lives)> {
            let (name, counts) = word.split_once('=').context("a name and its counts")?;
            let counts: Vec<u64> = counts
                .split(',')
                .map(str::parse)
                .collect::<Result<_, _>>()?;
            let [forks, execs, exits @ ..] = counts.as_slice() else {
                anyhow::bail!("{word:?} has too few counts");
            };
            let lives = Lives {
                forks: *forks,
                execs: *execs,
                exits: exits.try_into()?,
            };
            Ok((name.to_owned(), lives))
        };
        for word in words.split(' ') {
            if let Some((name, rest)) = word.split_once('/') {
                let (thread, ns) = rest.split_once('=').context("a thread and its CPU")?;
                threads.insert((name.to_owned(), thread.to_owned()), ns.parse()?);
                continue;
            }
            let (name, lives) = group(word)?;
            groups.insert(name, lives);
        }
        Ok(Self {
            cpu_ns: cpu_ns.parse()?,
            groups,
            threads,
        })
    }

    pub(super) fn ended(&self) -> u64 {
        self.groups.values().flat_map(|lives| lives.exits).sum()
    }

    /// Checks that all counts are equal, and that the CPU is within the limits of the live tests: from 1 % less to 2 % more.
    pub(super) fn check(&self, body: &str) -> Result<()> {
        for (name, lives) in &self.groups {
            for (what, label, count) in lives.samples() {
                let family = format!("namedprocess_namegroup_{what}_total");
                let labels = format!("{{groupname=\"{name}\"{label}}}");
                let found = metrics::samples(body, &family).find(|(of, _)| *of == labels);
                let found = found.map_or(0.0, |(_, value)| value);
                ensure!(
                    found == count as f64,
                    "{family}{labels} is {found}, and {count} is true"
                );
            }
        }
        let (found_ns, missing_ns) = (groups_cpu_ns(body), self.missing_ns(body));
        let (low, high) = (0.99 * self.cpu_ns - missing_ns, 1.02 * self.cpu_ns);
        ensure!(
            (low..=high).contains(&found_ns),
            "the groups used {found_ns} ns, and {} is true; {missing_ns} may be missing",
            self.cpu_ns
        );
        self.check_threads(body)
    }

    /// Checks that each thread exists and that its name has the CPU that the thread used, within the same limits.
    fn check_threads(&self, body: &str) -> Result<()> {
        for ((name, thread), told_ns) in &self.threads {
            let labels = [
                format!("groupname=\"{name}\""),
                format!("threadname=\"{thread}\""),
            ];
            let sum = |what: &str| -> f64 {
                let family = format!("namedprocess_namegroup_thread_{what}");
                let samples = metrics::samples(body, &family);
                let of_thread = samples.filter(|(of, _)| labels.iter().all(|one| of.contains(one)));
                of_thread.map(|(_, value)| value).sum()
            };
            let found_ns = sum("cpu_seconds_total") * 1e9;
            let (low, high) = (
                0.99 * told_ns - THREAD_CUT_NS,
                1.02 * told_ns + THREAD_CUT_NS,
            );
            ensure!(
                (low..=high).contains(&found_ns),
                "thread {thread} of {name} used {found_ns} ns, and {told_ns} is true"
            );
            let count = sum("count");
            ensure!(
                count == 1.0,
                "{count} threads {thread} of {name}, and 1 is true"
            );
        }
        Ok(())
    }

    /// CPU time that may be missing: a process whose final totals never came lacks a part of its last tick. Each counts as at
    /// most twice the mean CPU of all processes.
    fn missing_ns(&self, body: &str) -> f64 {
        unconfirmed(body) * 2.0 * self.cpu_ns / self.ended().max(1) as f64
    }
}

/// CPU time, seconds, that may be cut from the columns of `/proc/stat`, and from the times that `/proc` shows for processes older
/// than the agent.
const CUT_SECONDS: f64 = 0.5;

/// The most threads that a hidden process starts in an hour: the init of a sandbox starts a few where it is asked much at once.
const UNSEEN: f64 = 20.0;

/// Checks that the agent accounted for the node: CPU time within 2 %, creations exactly, each apart from known losses.
pub(super) fn check_books(body: &str) -> Result<()> {
    let side = |family: &str, fact: &str| {
        let labels = format!("{{fact=\"{fact}\"}}");
        let family = format!("headcount_balance_{family}_total");
        let mut found = metrics::samples(body, &family).filter(|(of, _)| *of == labels);
        found.next().map(|(_, value)| value)
    };
    let sides = |fact| side("accounted", fact).zip(side("node", fact));
    let (accounted, node) = sides("cpu_seconds").context("no books of CPU time")?;
    let lost = metrics::sum(body, "headcount_lost_cpu_seconds_total");
    let taken = metrics::sum(body, "headcount_balance_taken_total");
    let most = 0.02 * node + CUT_SECONDS;
    // A process that ended without final totals lacks a part of its last tick.
    let missing = most + unconfirmed(body) * 0.01;
    ensure!(
        (node - missing..=node + most + lost + taken).contains(&accounted),
        "of {node} s of CPU {accounted} s are accounted for"
    );
    if let Some((accounted, node)) = sides("creations") {
        let lost = metrics::sum(body, "headcount_events_lost_total");
        // A kernel that hides a process from the iterator runs no programs in its context either: its new threads are not seen.
        let is_hiding = metrics::sum(body, "headcount_processes_hidden") > 0.0;
        let unseen = if is_hiding { UNSEEN } else { 0.0 };
        ensure!(
            (node - lost - unseen..=node).contains(&accounted),
            "of {node} creations {accounted} are accounted for"
        );
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, line: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(line, "{}", self.cpu_ns)?;
        for (name, lives) in &self.groups {
            let [success, failure, signal] = lives.exits;
            let Lives { forks, execs, .. } = lives;
            write!(line, " {name}={forks},{execs},{success},{failure},{signal}")?;
        }
        for ((name, thread), ns) in &self.threads {
            write!(line, " {name}/{thread}={ns}")?;
        }
        Ok(())
    }
}

pub(super) fn groups_cpu_ns(body: &str) -> f64 {
    metrics::sum(body, "namedprocess_namegroup_cpu_seconds_total") * 1e9
}

pub(super) fn unconfirmed(body: &str) -> f64 {
    metrics::sum(body, "headcount_processes_unconfirmed_total")
}

/// Counters by thread name: a name without a thread is not shown until a thread has it again, and must not have fallen by then.
const BY_THREAD: &str = "namedprocess_namegroup_thread_";

/// Replaces the counters before by those of an exposition; an error names a counter that fell or disappeared.
pub(super) fn advance(before: &mut HashMap<String, f64>, body: &str) -> Result<()> {
    let mut counters: HashMap<String, f64> = counters(body).collect();
    for (name, value) in before.drain() {
        let now = match counters.get(&name) {
            None if name.starts_with(BY_THREAD) => {
                counters.insert(name, value);
                continue;
            }
            now => *now.with_context(|| format!("{name} was {value} and is gone"))?,
        };
        ensure!(now >= value, "{name} fell from {value} to {now}");
    }
    *before = counters;
    Ok(())
}

/// Families that the kernel counts only while `kernel.bpf_stats_enabled` is 1, which this program does not control.
const WHILE_ENABLED: &str = "headcount_program_run";

/// Each sample of a counter.
fn counters(body: &str) -> impl Iterator<Item = (String, f64)> {
    let families = body.lines().filter_map(|line| {
        let words = line.strip_prefix("# TYPE ")?;
        let family = words.strip_suffix(" counter")?;
        (!family.starts_with(WHILE_ENABLED)).then_some(family)
    });
    families.flat_map(move |family| {
        metrics::samples(body, family)
            .map(move |(labels, value)| (format!("{family}{labels}"), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report {
            cpu_ns: 2e9,
            ..Report::default()
        };
        *report.group("a") = Lives {
            forks: 1,
            execs: 2,
            exits: [1, 0, 1],
        };
        report.set_thread("a", "t", 1e9);
        report
    }

    const TRUE: &str = "\
namedprocess_namegroup_forks_total{groupname=\"a\"} 1
namedprocess_namegroup_execs_total{groupname=\"a\"} 2
namedprocess_namegroup_exits_total{groupname=\"a\",status=\"success\"} 1
namedprocess_namegroup_exits_total{groupname=\"a\",status=\"signal\"} 1
namedprocess_namegroup_cpu_seconds_total{groupname=\"a\",mode=\"user\"} 1.5
namedprocess_namegroup_cpu_seconds_total{groupname=\"a\",mode=\"system\"} 0.5
namedprocess_namegroup_thread_count{groupname=\"a\",threadname=\"t\"} 1
namedprocess_namegroup_thread_cpu_seconds_total{groupname=\"a\",mode=\"system\",threadname=\"t\"} 0.25
namedprocess_namegroup_thread_cpu_seconds_total{groupname=\"a\",mode=\"user\",threadname=\"t\"} 0.75
namedprocess_namegroup_thread_cpu_seconds_total{groupname=\"a\",mode=\"user\",threadname=\"other\"} 9
";

    #[test]
    fn report_is_one_line_and_parses_back() {
        let line = report().to_string();
        assert_eq!(Report::parse(&line).expect("our own"), report(), "{line}");
        for wrong in [
            "",
            "5",
            "5 a",
            "5 a=1",
            "5 a=1,2,3",
            "5 a/t",
            "5 a/t=x",
            "x a=1,2,3,4,5",
        ] {
            assert!(Report::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn missing_exec_or_second_is_found() {
        report().check(TRUE).expect("it is true");
        for (from, to) in [
            (
                "execs_total{groupname=\"a\"} 2",
                "execs_total{groupname=\"a\"} 1",
            ),
            ("status=\"signal\"} 1", "status=\"failure\"} 1"),
            ("mode=\"user\"} 1.5", "mode=\"user\"} 1.4"),
            ("mode=\"user\"} 1.5", "mode=\"user\"} 1.6"),
            ("threadname=\"t\"} 0.75", "threadname=\"t\"} 0.7"),
            ("threadname=\"t\"} 0.75", "threadname=\"t\"} 0.8"),
            ("threadname=\"t\"} 1", "threadname=\"t\"} 2"),
        ] {
            let wrong = TRUE.replace(from, to);
            assert_ne!(wrong, TRUE);
            assert!(report().check(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counter_that_falls_or_goes_is_found() {
        let body = |value: u32| format!("# TYPE c counter\nc{{x=\"1\"}} {value}\n");
        let mut before = HashMap::new();
        for value in [1, 1, 5] {
            advance(&mut before, &body(value)).expect("it rises");
        }
        let error = advance(&mut before.clone(), &body(4)).expect_err("it fell");
        assert!(error.to_string().contains("from 5 to 4"), "{error}");
        assert!(advance(&mut before, "# TYPE c counter\n").is_err());
    }

    #[test]
    fn thread_name_that_returns_with_less_is_found() {
        let body = |value: u32| {
            let family = "namedprocess_namegroup_thread_cpu_seconds_total";
            format!("# TYPE {family} counter\n{family}{{threadname=\"t\"}} {value}\n")
        };
        let mut before = HashMap::new();
        advance(&mut before, &body(5)).expect("it begins");
        advance(&mut before, "").expect("no thread has the name");
        advance(&mut before.clone(), &body(5)).expect("it is as before");
        advance(&mut before, &body(4)).expect_err("it fell");
    }

    #[test]
    fn books_that_do_not_balance_are_found() {
        let body = |cpu: f64, creations: u64| {
            format!(
                "headcount_balance_accounted_total{{fact=\"cpu_seconds\"}} {cpu}\n\
                 headcount_balance_accounted_total{{fact=\"creations\"}} {creations}\n\
                 headcount_balance_node_total{{fact=\"cpu_seconds\"}} 100\n\
                 headcount_balance_node_total{{fact=\"creations\"}} 50\n"
            )
        };
        check_books(&body(99.0, 50)).expect("within the tolerance");
        let taken = "headcount_balance_taken_total{fact=\"cpu_seconds\"} 2\n";
        check_books(&(body(104.0, 50) + taken)).expect("taken, and counted all the same");
        assert!(check_books(&(body(105.0, 50) + taken)).is_err());
        for wrong in [
            body(97.0, 50),
            body(103.0, 50),
            body(100.0, 49),
            String::new(),
        ] {
            assert!(check_books(&wrong).is_err(), "{wrong}");
        }
    }
}
