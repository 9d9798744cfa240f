//! Counters never fall.

use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::is_here;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ITERATOR, TRACED, Tier};

table![counters_never_fall for &[&ITERATOR, &TRACED]];

/// Between two scrapes; the agent spreads their passes further where they use more than a fifth of a core.
const INTERVAL: Duration = Duration::from_millis(50);

/// A minute of processes that come and go. No counter of any group, or of the agent itself, is ever lower than in the scrape
/// before, or missing, but for those of a thread name, which go with the last thread that has it.
fn counters_never_fall(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let is_short = is_here() || tier.without_types;
    let length = Duration::from_secs(if is_short { 5 } else { 60 });
    let (exec, fork, child) = (
        Program::new("riseE"),
        Program::new("riseF"),
        Program::new("riseC"),
    );
    // More than a minute's worth; dropped, they are killed.
    let churns = [
        exec.start("churn", &["300000", "0", child.path_text()]),
        fork.start("churn", &["300000", "1000000"]),
    ];
    let mut before = agent.scrape();
    let begun = Instant::now();
    while begun.elapsed() < length {
        std::thread::sleep(INTERVAL);
        let now = agent.scrape();
        check(&before, &now);
        before = now;
    }
    assert!(before.group(&child.name).execs() > 0.0);
    assert!(before.group(&fork.name).forks() > 0.0);
    drop(churns);
}

/// No counter is lower than before, or missing.
pub(super) fn check(before: &Samples, now: &Samples) {
    let mut checked = 0;
    for (series, value) in before.counters() {
        let later = now.of(series);
        let may_go = series.name.contains("_namegroup_thread_");
        assert!(
            later.map_or(may_go, |later| later >= value),
            "{series:?} was {value} and is {later:?}"
        );
        checked += 1;
    }
    assert!(checked > 100, "only {checked} counters");
}
