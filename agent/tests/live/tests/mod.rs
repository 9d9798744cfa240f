//! The tests, by topic, and their tolerances.

mod arguments;
mod cgroups;
mod churn;
mod descriptors;
mod images;
mod launch;
mod lineage;
mod listed;
mod machine;
mod memory;
mod names;
mod network;
mod overload;
mod pressure;
mod refused;
mod reload;
mod requests;
mod rise;
mod runqueue;
mod sandbox;
mod start;
mod stat;
mod stopped;
mod stuck;
mod threads;

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::group::{Group, Lives};
use crate::guest;
use crate::runner::Test;
use crate::tier::{
    LAST_SWITCH_NS, TICK_NS, Tier, UNWAITED_END_NS, border_ns, left_out_by_free, unwaited_end_ns,
};

pub(crate) fn all() -> impl Iterator<Item = Test> {
    [
        arguments::TESTS,
        cgroups::TESTS,
        churn::TESTS,
        descriptors::TESTS,
        images::TESTS,
        // Only root makes files of root's.
        if guest::is_unprivileged() {
            &[]
        } else {
            launch::TESTS
        },
        lineage::TESTS,
        listed::TESTS,
        memory::TESTS,
        names::TESTS,
        network::apart::TESTS,
        network::ends::TESTS,
        network::faults::TESTS,
        network::handed::TESTS,
        network::hashed::TESTS,
        network::plain::TESTS,
        network::udp::TESTS,
        overload::TESTS,
        pressure::TESTS,
        refused::iterator::TESTS,
        refused::maps::TESTS,
        refused::programs::TESTS,
        refused::types::TESTS,
        reload::TESTS,
        requests::ends::TESTS,
        requests::exchanges::TESTS,
        requests::gunicorn::TESTS,
        requests::pipelines::TESTS,
        requests::settings::TESTS,
        requests::times::TESTS,
        rise::TESTS,
        runqueue::TESTS,
        sandbox::TESTS,
        start::TESTS,
        stat::TESTS,
        stopped::TESTS,
        // An emulated machine has no FUSE.
        if guest::is_here() { &[] } else { stuck::TESTS },
        threads::TESTS,
    ]
    .into_iter()
    .chain(guest::is_here().then_some(machine::TESTS))
    .flatten()
    .copied()
}

/// Whether a group's CPU equals the sum that `wait4` reported for its `count` processes.
fn within(
    agent: &Agent,
    tier: &Tier,
    group: &Group<'_>,
    count: u64,
    true_ns: u64,
) -> Result<(), String> {
    sum_within(agent, tier, group.samples, group.cpu_ns(), count, true_ns)
        .map_err(|complaint| format!("{}: {complaint}", group.name))
}

/// Whether the shown CPU of a living process equals its own report, which comes later.
fn alive_within(tier: &Tier, found_ns: f64, told_ns: u64) -> Result<(), String> {
    let told_ns = told_ns as f64;
    let most_ns = told_ns * tier.high + tier.cut_ns() + unwaited_end_ns();
    between(found_ns, tier.least_alive(told_ns), most_ns)
}

/// The same as [`within`] for several groups together.
fn sum_within(
    agent: &Agent,
    tier: &Tier,
    samples: &Samples,
    found_ns: f64,
    count: u64,
    true_ns: u64,
) -> Result<(), String> {
    let missing_ns = missing_ns(agent, samples, count)?;
    let slack = match agent.exit_hook() {
        Some("free") => LAST_SWITCH_NS * count as f64,
        _ => 0.0,
    };
    let noise_ns = tier.noise_ns(agent, true_ns as f64);
    let low = tier.low * true_ns as f64 - missing_ns - noise_ns;
    let high = tier.high * true_ns as f64 + slack + tier.cut_ns() + noise_ns;
    between(found_ns, low, high)
}

/// Whether a group's CPU equals the reports of its `count` processes, each made just before its end, for which no parent waited.
fn unwaited_within(
    agent: &Agent,
    tier: &Tier,
    group: &Group<'_>,
    count: u64,
    told_ns: u64,
) -> Result<(), String> {
    let noise_ns = tier.noise_ns(agent, told_ns as f64);
    let low = tier.low * told_ns as f64 - missing_ns(agent, group.samples, count)? - noise_ns;
    let high = tier.high * told_ns as f64 + count as f64 * unwaited_end_ns() + noise_ns;
    between(group.cpu_ns(), low, high)
}

/// Whether a living process shows all that it reported, and no more.
fn lives_on(tier: &Tier, samples: &Samples, name: &str, told_ns: u64) -> Result<(), String> {
    let found_ns = samples.group(name).cpu_ns();
    alive_within(tier, found_ns, told_ns)?;
    match tier.has_events {
        true => Ok(()),
        false => between(found_ns, told_ns as f64 - 2.0 * TICK_NS, f64::MAX),
    }
}

/// Whether so many programs that ended well show the CPU that they used; sampling has seen none of them, or some.
fn have_ended(
    agent: &Agent,
    tier: &Tier,
    samples: &Samples,
    (name, count, true_ns): (&str, u64, u64),
) -> Result<(), String> {
    if !tier.has_events {
        return Ok(());
    }
    let expected = Lives {
        execs: count,
        success: count,
        ..Lives::default()
    };
    let group = samples.group(name);
    expected.check(&group)?;
    // If a pass finds one of them before its exec, its use up to then is booked to its parent's group.
    let found_ns = group.cpu_ns();
    let parents_ns = (true_ns as f64 - found_ns).clamp(0.0, border_ns());
    sum_within(agent, tier, samples, found_ns + parents_ns, count, true_ns)
}

/// The CPU that may be missing of processes whose final totals never came: some of the last tick and the end itself.
fn missing_ns(agent: &Agent, samples: &Samples, count: u64) -> Result<f64, String> {
    let ends = unconfirmed(agent, samples)?.min(count as f64);
    Ok(ends * (TICK_NS + UNWAITED_END_NS) + unseen_ns(samples))
}

/// Stretches that no program saw begin, by the agent's own count.
fn unseen_ns(samples: &Samples) -> f64 {
    let unseen = samples.value("headcount_switch_unseen_seconds_total", &[]);
    unseen.unwrap_or(0.0) * 1e9
}

/// Whether an image's CPU equals its own report just before the next image took its place.
fn up_to_exec(agent: &Agent, tier: &Tier, group: &Group<'_>, used_ns: f64) -> Result<(), String> {
    let border_ns = border_ns() + tier.noise_ns(agent, used_ns);
    let low_ns = used_ns - border_ns - unseen_ns(group.samples);
    between(group.cpu_ns(), low_ns, used_ns + border_ns)
        .map_err(|complaint| format!("the first image: {complaint}"))
}

/// Processes whose final totals never came, by the agent's own count, which is of the whole node. Many more than
/// [`left_out_by_free`] are an error.
fn unconfirmed(agent: &Agent, samples: &Samples) -> Result<f64, String> {
    let unconfirmed = samples.the("headcount_processes_unconfirmed_total", &[]);
    let exits = samples
        .value("headcount_kernel_exits_total", &[])
        .unwrap_or(0.0);
    let left_out = match agent.exit_hook() {
        Some("free") => left_out_by_free(),
        _ => 0.0,
    };
    if unconfirmed > left_out + 2.0 + exits / 50.0 {
        return Err(format!("{unconfirmed} of {exits} ends are unconfirmed"));
    }
    Ok(unconfirmed)
}

fn between(found_ns: f64, low_ns: f64, high_ns: f64) -> Result<(), String> {
    if (low_ns..=high_ns).contains(&found_ns) {
        return Ok(());
    }
    Err(format!(
        "{found_ns} ns of CPU, expected {low_ns} to {high_ns}"
    ))
}
