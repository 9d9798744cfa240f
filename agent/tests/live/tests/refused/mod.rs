//! The kernel refuses some requests of the agent: the agent goes on without them, logs why, and counts right. If a flag
//! asks for a tier that the kernel refuses, the agent ends.

pub(super) mod iterator;
pub(super) mod maps;
pub(super) mod programs;
pub(super) mod types;

use std::io::Error;

use super::{between, within};
use crate::agent::Agent;
use crate::bpf_calls::{Call, Judge, Verdict};
use crate::group::Lives;
use crate::program::Program as Scenario;
use crate::surroundings::Surroundings;
use crate::tier::{ITERATOR, Tier};

/// The tier from which the tests take something away.
const NEEDED: &[&Tier] = &[&ITERATOR];

/// The errors with which a kernel refuses programs and maps: the `nth`, in a circle.
fn error(nth: usize) -> i32 {
    let all = [libc::EPERM, libc::ENOMEM, libc::E2BIG, libc::EINVAL];
    all[nth % all.len()]
}

/// The error as the agent's log shows it.
fn text(errno: i32) -> String {
    Error::from_raw_os_error(errno).to_string()
}

/// Gives the verdict on calls that `is_it` selects; all others are let through. There are no tracepoints to fall back to.
pub(super) fn judging(
    is_it: impl Fn(&Call) -> bool + Send + 'static,
    verdict: Verdict,
) -> Surroundings {
    judging_in(&ITERATOR, is_it, verdict)
}

/// The same where this tier has its only way.
fn judging_in(
    tier: &Tier,
    is_it: impl Fn(&Call) -> bool + Send + 'static,
    verdict: Verdict,
) -> Surroundings {
    let judge: Judge = Box::new(move |call| match is_it(call) {
        true => verdict,
        false => Verdict::Allow,
    });
    Surroundings {
        judge: Some(judge),
        ..Surroundings::only_for(tier)
    }
}

/// How an agent accounts: tier and exit hook.
type Way = (&'static Tier, &'static str);

/// The exit hook of the final totals on this kernel.
fn exit_hook() -> &'static str {
    match Agent::start(&ITERATOR).exit_hook() {
        Some("release") => "release",
        _ => "free",
    }
}

/// Whether it works in this way, says so everywhere, and names the missing things: all of `parts` in one warning, and where that
/// takes the best tier away, in one reason of `/health`.
fn goes_on(agent: &Agent, (tier, exit_hook): Way, parts: &[&str]) {
    let found = (agent.tier(), agent.exit_hook());
    assert_eq!(found, (tier.name, Some(exit_hook)), "{parts:?}");
    agent.ask("/ready");
    let has_parts = |text: &String| parts.iter().all(|part| text.contains(part));
    let warnings = agent.warnings();
    assert!(
        parts.is_empty() || warnings.iter().any(has_parts),
        "{parts:?} is not in {warnings:#?}"
    );
    let (status, reasons) = agent.health();
    if tier.name == ITERATOR.name {
        assert_eq!((&*status, &reasons[..]), ("ok", &[][..]));
    } else {
        assert_eq!(status, "degraded");
        assert!(
            reasons.iter().any(has_parts),
            "{parts:?} is not in {reasons:#?}"
        );
    }
    counts(agent, tier);
}

/// Whether a program's life and use are counted as this tier can, from the sources that it has.
fn counts(agent: &Agent, tier: &Tier) {
    let program = Scenario::new("left");
    let mut running = program.work();
    running.ask("spin 30000000");
    let samples = agent.scrape();
    assert_eq!(samples.group(&program.name).processes(), 1.0);
    let is_best = tier.name == ITERATOR.name;
    for (fact, source) in [
        ("cpu", if is_best { "bpf" } else { "procfs" }),
        ("lifecycle", if tier.has_events { "bpf" } else { "absent" }),
    ] {
        let labels = [("fact", fact), ("source", source)];
        assert_eq!(
            samples.value("headcount_source_info", &labels),
            Some(1.0),
            "{labels:?}"
        );
    }
    let used_ns = running.finish().reaped.cpu_ns;
    let samples = agent.await_that(|samples| {
        let group = samples.group(&program.name);
        if !tier.has_events {
            return between(group.cpu_ns(), 0.0, used_ns as f64 * tier.high);
        }
        Lives::ONE_PROGRAM.check(&group)?;
        within(agent, tier, &group, 1, used_ns)
    });
    // A program on a tracepoint is not run where it interrupts another one.
    let lost = samples.value("headcount_events_lost_total", &[]);
    assert!(lost.unwrap_or(0.0) == 0.0 || agent.exit_hook() == Some("last_switch"));
}

/// Whether an agent with a flag for this tier ends with an error that has all of `parts`.
fn ends(surroundings: Surroundings, tier: &Tier, parts: &[&str]) {
    let flag = format!("--accounting={}", tier.name);
    let line = Agent::fail_in(surroundings, &[&flag]);
    assert!(line.contains(" level=error "), "{line}");
    for part in parts.iter().chain([&&*flag]) {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
}
