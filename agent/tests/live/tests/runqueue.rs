//! Run-queue latency: a group shows the waits that the scheduler counts for its threads.

use std::fs;

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::scaled;
use crate::program::{Program, Running};
use crate::runner::table;
use crate::tier::{PROCFS, TYPED, Tier};

table![
    two_hogs_on_one_cpu_wait_for_each_other for TYPED,
    a_sleeper_waits_as_the_scheduler_says for TYPED,
    short_processes_wait_in_their_own_group for TYPED,
    waits_stay_with_their_group_over_a_reload for TYPED,
    procfs_tier_reports_run_queue_latency_as_absent,
];

const FLAGS: [&str; 2] = ["--collector.runqueue", "--web.enable-lifecycle"];
const FAMILY: &str = "namedprocess_namegroup_run_queue_latency_seconds";
const UNATTRIBUTED: &str = "headcount_runqueue_unattributed_seconds";
/// CPU time of one hog: many slices of the scheduler.
const HOG_NS: u64 = 600_000_000;

/// The values of `/proc/<pid>/task/*/schedstat`: time that the threads waited, and how often they were given a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Waits {
    seconds: f64,
    count: f64,
}

impl Waits {
    /// Of all living threads of a process.
    fn of(running: &Running) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
        let mut all = Self::default();
        for task in tasks {
            let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            let mut words = text.split_whitespace().skip(1);
            let mut next = || words.next().unwrap().parse::<f64>().unwrap();
            all.seconds += next() / 1e9;
            all.count += next();
        }
        all
    }

    fn shown(samples: &Samples, family: &str, labels: &[(&str, &str)]) -> Self {
        let part = |suffix| samples.value(&format!("{family}{suffix}"), labels);
        Self {
            seconds: part("_sum").unwrap_or(0.0),
            count: part("_count").unwrap_or(0.0),
        }
    }

    fn of_group(samples: &Samples, name: &str) -> Self {
        Self::shown(samples, FAMILY, &[("groupname", name)])
    }

    fn since(self, before: Self) -> Self {
        Self {
            seconds: self.seconds - before.seconds,
            count: self.count - before.count,
        }
    }
}

/// Waits of the group that were longer than `bound`.
fn longer_than(samples: &Samples, name: &str, bound: &str) -> f64 {
    let labels = [("groupname", name), ("le", bound)];
    let within = samples.the(&format!("{FAMILY}_bucket"), &labels);
    Waits::of_group(samples, name).count - within
}

/// The waits of the processes, once all are asleep: the kernel reports a wait at the end of the run after it.
fn settled(running: &[Running]) -> Result<Waits, String> {
    let mut all = Waits::default();
    for one in running {
        let stat = fs::read_to_string(format!("/proc/{}/stat", one.pid())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        if !rest.starts_with('S') {
            return Err(format!("not asleep: {stat}"));
        }
        let waits = Waits::of(one);
        all.seconds += waits.seconds;
        all.count += waits.count;
    }
    Ok(all)
}

/// The waits that the group shows and those in `schedstat`, both of one moment at which the processes were asleep.
fn both(agent: &Agent, name: &str, running: &[Running], before: [Waits; 2]) -> [Waits; 2] {
    let found = std::cell::Cell::new(before);
    agent.await_that(|samples| {
        let told = settled(running)?;
        let shown = Waits::of_group(samples, name);
        found.set([shown, told]);
        let (shown, told) = (shown.since(before[0]), told.since(before[1]));
        let is_first = before == [Waits::default(); 2];
        let are_same = shown.count == told.count && (shown.seconds - told.seconds).abs() < 1e-6;
        if is_first || are_same {
            return Ok(());
        }
        let missed = samples.the("headcount_runqueue_missed_total", &[]);
        Err(format!(
            "{name}: {shown:?}, the scheduler says {told:?}; {missed} missed"
        ))
    });
    found.get()
}

/// The first such moment: from then on the agent knows the groups of the processes.
fn first(agent: &Agent, name: &str, running: &[Running]) -> [Waits; 2] {
    loop {
        let told = settled(running);
        let [shown, again] = both(agent, name, running, [Waits::default(); 2]);
        if told == Ok(again) {
            return [shown, again];
        }
    }
}

fn two_hogs_on_one_cpu_wait_for_each_other(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &FLAGS, None);
    let program = Program::new("hog");
    let mut hogs = [program.work(), program.work()];
    for hog in &mut hogs {
        hog.ask("pin");
    }
    let before = first(&agent, &program.name, &hogs);
    for hog in &mut hogs {
        hog.tell(&format!("spin {HOG_NS}"));
    }
    for hog in &mut hogs {
        hog.await_line("cpu_ns");
    }
    let [shown, _] = both(&agent, &program.name, &hogs, before);
    let long = longer_than(&agent.scrape(), &program.name, "0.0009765625");
    let seconds = shown.since(before[0]).seconds;
    assert!(
        long >= 10.0 && seconds >= HOG_NS as f64 / 2e9,
        "{long} waits of a slice, {seconds} s"
    );
}

/// A process older than the agent: its waits count from the start of the agent.
fn a_sleeper_waits_as_the_scheduler_says(tier: &'static Tier) {
    let program = Program::new("nap");
    let mut running = [program.work()];
    running[0].ask("nap 10");
    let agent = Agent::start_with(tier, &FLAGS, None);
    // Its first run under the agent is where counting begins.
    running[0].ask("nap 1");
    let before = first(&agent, &program.name, &running);
    let naps = scaled(2000);
    running[0].ask(&format!("nap {naps}"));
    let [shown, _] = both(&agent, &program.name, &running, before);
    let count = shown.since(before[0]).count;
    // A nap is no wait where its time is over before the thread has been switched out: 7 of 2,000 in a machine that its hypervisor stopped.
    assert!(count >= 0.9 * naps as f64, "{count} waits");
    let beyond = longer_than(&agent.scrape(), &program.name, "+Inf");
    assert_eq!(beyond, 0.0, "the last bucket is the count");
}

/// A process that lives shorter than a scrape interval is attributed by its comm, once the agent knows that comm.
fn short_processes_wait_in_their_own_group(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &FLAGS, None);
    let (parent, child) = (Program::new("paren"), Program::new("short"));
    let count = scaled(500);
    let churn = |count: u64| {
        parent.run("churn", &[&count.to_string(), "100000", child.path_text()]);
    };
    churn(3);
    agent.await_settled(|samples| match samples.group(&child.name).execs() {
        3.0 => Ok(()),
        other => Err(format!("{other} execs")),
    });
    let before = Waits::of_group(&agent.scrape(), &child.name).count;
    churn(count);
    // Each ran once at least after its exec: its end is a switch.
    let samples = agent.await_that(|samples| {
        let waits = Waits::of_group(samples, &child.name).count - before;
        if waits < count as f64 * 0.98 {
            return Err(format!("{waits} waits of {count} processes"));
        }
        Ok(())
    });
    assert_eq!(samples.the("headcount_runqueue_full_total", &[]), 0.0);
}

fn waits_stay_with_their_group_over_a_reload(tier: &'static Tier) {
    let program = Program::new("moved");
    let named = |group: &str| {
        let name = &program.name;
        format!("process_names:\n  - name: {group}\n    comm: [{name}]\n")
    };
    let agent = Agent::start_with(tier, &FLAGS, Some(&named("before")));
    let mut running = program.work();
    // A look during its exec leaves it to the next one.
    agent.await_one("before");
    running.ask("nap 300");
    let samples = agent.await_that(|samples| at_least(samples, "before", NAPS));
    let unattributed = Waits::shown(&samples, UNATTRIBUTED, &[]);
    agent.reload(&named("after"));
    let first = agent.scrape();
    running.ask("nap 300");
    let last = agent.await_that(|samples| at_least(samples, "after", NAPS));
    let [then, now] = [&first, &last].map(|samples| Waits::of_group(samples, "before"));
    assert_eq!(then, now, "what was before, is");
    assert!(now.count >= NAPS);
    super::rise::check(&samples, &first);
    super::rise::check(&first, &last);
    assert!(Waits::shown(&last, UNATTRIBUTED, &[]).count >= unattributed.count);
}

/// Of 300: a nap that is over before the thread has gone to sleep is none.
const NAPS: f64 = 250.0;

fn at_least(samples: &Samples, group: &str, count: f64) -> Result<(), String> {
    let waits = Waits::of_group(samples, group);
    match waits.count >= count {
        true => Ok(()),
        false => Err(format!("{group}: {waits:?}")),
    }
}

fn procfs_tier_reports_run_queue_latency_as_absent() {
    let agent = Agent::start_with(&PROCFS, &FLAGS, None);
    let samples = agent.scrape();
    let labels = [("fact", "run_queue_latency"), ("source", "absent")];
    assert_eq!(samples.the("headcount_source_info", &labels), 1.0);
    for family in [FAMILY, UNATTRIBUTED] {
        assert_eq!(samples.series(&format!("{family}_count")).count(), 0);
    }
    let log = agent.log();
    assert_eq!(log.matches("--collector.runqueue: ").count(), 1, "{log}");
}
