//! The node's books: at the end of each test, the agent's bookings equal the node's totals.

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest;
use crate::tier::TICK_NS;

const ACCOUNTED: &str = "headcount_balance_accounted_total";
const NODE: &str = "headcount_balance_node_total";
const TAKEN: &str = "headcount_balance_taken_total";

/// How far CPU time may be off.
#[derive(Debug)]
struct Tolerance {
    /// Of the node's.
    share: f64,
    fixed_ns: f64,
}

/// By the way the agent counts. Values of `/proc` are cut to ticks, and a process older than the agent has its first reading
/// from there in both cases.
fn tolerance(agent: &Agent) -> Tolerance {
    // Five columns of each CPU are cut to ticks.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let cut_ns = 5.0 * TICK_NS * cpus;
    let (share, fixed_ns) = match (agent.tier(), agent.exit_hook()) {
        (_, Some("last_switch")) => (0.04, 0.4e9),
        ("iterator", _) => (0.01, 0.0),
        _ => (0.02, 0.4e9),
    };
    let factor = if guest::is_here() { 5.0 } else { 1.0 };
    Tolerance {
        share: share * factor,
        fixed_ns: cut_ns + fixed_ns * factor,
    }
}

/// Whether the agent's bookings alone are behind the node between two scrapes, by more than the tolerance. The loss counter makes
/// up for that.
pub(crate) fn check_loss(agent: &Agent, before: &Samples, after: &Samples) -> Result<(), String> {
    let grown = |of: &dyn Fn(&Samples) -> f64| of(after) - of(before);
    let of_cpu = |family: &'static str| {
        move |samples: &Samples| samples.the(family, &[("fact", "cpu_seconds")])
    };
    let node = grown(&of_cpu(NODE));
    let lost = grown(&|samples| samples.the("headcount_lost_cpu_seconds_total", &[]));
    let booked = grown(&of_cpu(ACCOUNTED)) - lost;
    let Tolerance { share, fixed_ns } = tolerance(agent);
    let tolerance = share * node + fixed_ns / 1e9;
    if node - booked > tolerance {
        return Ok(());
    }
    Err(format!(
        "of {node} s the agent booked {booked} s, and {lost} s are lost: {tolerance} s may be missing anyway"
    ))
}

/// The sides that do not balance; `None` where no books are kept.
pub(crate) fn complaint(agent: &Agent, samples: &Samples) -> Option<String> {
    let cpu = cpu(agent, samples);
    let creations = creations(agent, samples);
    let complaints: Vec<String> = cpu.into_iter().chain(creations).collect();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}

fn sides(samples: &Samples, fact: &str) -> Option<(f64, f64)> {
    let of = |family| samples.value(family, &[("fact", fact)]);
    of(ACCOUNTED).zip(of(NODE))
}

fn cpu(agent: &Agent, samples: &Samples) -> Option<String> {
    let (accounted, node) = sides(samples, "cpu_seconds")?;
    // Where programs read CPU time wrongly, the agent says so: no books of theirs can balance.
    if samples.the("headcount_self_test_state", &[("state", "failed")]) == 1.0 {
        return None;
    }
    let missing_ns = (node - accounted) * 1e9;
    let Tolerance { share, fixed_ns } = tolerance(agent);
    let tolerance_ns = share * node * 1e9 + fixed_ns;
    let value = |name| samples.value(name, &[]).unwrap_or(0.0);
    // Each of these says how much it may be at most. Three columns of each CPU are cut to ticks: within the tolerance.
    let lost_ns = value("headcount_lost_cpu_seconds_total") * 1e9;
    let taken_ns = samples.the(TAKEN, &[("fact", "cpu_seconds")]) * 1e9;
    let most_above_ns = tolerance_ns + lost_ns + taken_ns;
    // A process that ended without final totals misses some of its last tick and its end.
    let most_below_ns = tolerance_ns
        + value("headcount_processes_unconfirmed_total") * 1.1 * TICK_NS
        + value("headcount_switch_unseen_seconds_total") * 1e9;
    let samples_only = agent.tier() == "procfs";
    let is_balanced = -most_above_ns <= missing_ns && (samples_only || missing_ns <= most_below_ns);
    (!is_balanced).then(|| {
        format!(
            "of {node} s of CPU {accounted} s are accounted for; {} ns may be too much, {} ns may be missing",
            most_above_ns, most_below_ns
        )
    })
}

/// Threads of the init of a sandbox whose kernel runs no programs there (see [`crate::tier::left_out_by_free`]): a soak of 294,426
/// creations lacked one.
const UNSEEN: f64 = 8.0;

/// Exact, apart from records that are known to be lost, and from [`UNSEEN`] ones, but not on a kernel of Debian's.
fn creations(agent: &Agent, samples: &Samples) -> Option<String> {
    let (accounted, node) = sides(samples, "creations")?;
    // On tracepoints a birth that finds its map full is counted as that, and is no lost record.
    let unplaced = samples.value("headcount_switch_map_full_total", &[]);
    let lost = samples.the("headcount_events_lost_total", &[]) + unplaced.unwrap_or(0.0);
    let unseen = if guest::is_here() { 0.0 } else { UNSEEN };
    // On tracepoints a process of which a record is missing may appear under two start times.
    let twice = if agent.exit_hook() == Some("last_switch") {
        lost
    } else {
        0.0
    };
    let is_balanced = (node - lost - unseen..=node + twice).contains(&accounted);
    (!is_balanced).then(|| {
        format!("of {node} creations {accounted} are accounted for, and {lost} records are lost")
    })
}
