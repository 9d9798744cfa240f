//! The kernel tiers: detects the features of this kernel (`support`), selects the programs (`plan`), loads them, and reads their
//! output.
//!
//! In: the kernel's type information, records, the iterator's bytes. Out: [`Event`]s, sums by comm and passes. Only this
//! folder uses aya. Assigning use to groups is left to `process` and `group`.

mod abandoned;
mod attached;
mod btf;
#[cfg(has_ebpf)]
#[cfg(test)]
mod btf_tests;
mod call_hooks;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod iterator;
mod kernel;
mod load;
mod load_remedy;
mod lost;
mod map_usage;
mod network;
mod network_way;
mod no_preempt;
mod offsets;
mod overflow;
mod pieces;
mod plan;
mod probe;
mod program;
mod records;
mod recursion_misses;
mod request_offsets;
mod requests;
mod runqueue;
mod self_test;
mod slots;
mod snapshot;
mod socket_offsets;
mod sums_map;
mod support;
mod switch;
mod tracepoint;
mod visited;
mod wire;

pub use events::{Timed, from_ring};
pub use kernel::Kernel;
pub use load::{BpfError, Sizes};
pub use pieces::Pieces;
pub use plan::{AccountingRequest, Plan};
use probe::{probe, remove_optional, shortcomings};
pub use program::KernelProgram;
pub use snapshot::{Carried, Snapshot};
pub use support::{Obstacle, Support};
pub use switch::RunTimes;

use super::Tier;
use crate::host::Host;
use crate::process::{Coarse, Event};

/// One item that a drain hands over.
#[derive(Debug)]
pub enum Found {
    /// An event of one process.
    Event(Event),
    /// A sum over processes that found ring and hash full, so that their records were added up by comm.
    Coarse(Coarse),
}

/// The result of [`start`].
#[derive(Debug)]
pub struct Started {
    /// The plan that works.
    pub plan: Plan,
    /// The running programs; `None` in the procfs tier.
    pub kernel: Option<Kernel>,
    /// Why better plans were not chosen, the best plan first; empty if the best plan works.
    pub warnings: Vec<String>,
}

/// Loads the best plan for `request` that works here. `obstacle`: a reason against kernel programs that the caller knows.
///
/// # Errors
/// When a tier was forced and cannot work; the message says why and what to do.
pub fn start(
    request: AccountingRequest,
    obstacle: Option<Obstacle>,
    sizes: Sizes,
    page_bytes: u64,
) -> Result<Started, String> {
    if request == AccountingRequest::Only(Tier::Procfs) {
        return Ok(procfs_only(sizes, Vec::new()));
    }
    let (support, mut layouts, raw) = probe(obstacle);
    let mut plans = plan::candidates(request, &support);
    let mut warnings = shortcomings(request, &support);
    let sizes = runqueue::if_possible(sizes, &support, &mut warnings);
    let btf = if plans.iter().any(|plan| plan.needs_types()) {
        aya::Btf::parse(&raw, aya::Endianness::default())
            .map_err(|error| warnings.push(error.to_string()))
            .ok()
    } else {
        None
    };
    drop(raw);
    while let Some(plan) = plans.first().copied() {
        if plan.exit_hook.is_none() {
            break;
        }
        if plan.needs_types() && btf.is_none() {
            plans.retain(|plan| !plan.needs_types());
            continue;
        }
        let carried = Carried::new(&layouts.of(plan), page_bytes);
        match load::load(plan, &layouts, sizes, btf.as_ref())
            .and_then(|ebpf| Kernel::new(ebpf, plan, sizes, carried))
        {
            Ok(mut kernel) => {
                warnings.extend(kernel.add_optional(sizes, btf.as_ref()));
                // No shortcoming of the plan: the collector is on without being asked for.
                if let Some(owners) = sizes.network_owners
                    && let Err(why) = kernel.add_network(owners, &layouts, btf.as_ref())
                {
                    log::warn!("{}", network::without(&why));
                }
                if sizes.has_udp
                    && let Err(why) = kernel.add_udp(btf.as_ref())
                {
                    warnings.push(network::without_udp(&why));
                }
                if let Some(owners) = sizes.request_owners
                    && let Err(why) =
                        kernel.add_requests(owners, sizes.has_gunicorn, &layouts, btf.as_ref())
                {
                    warnings.push(requests::without(&why));
                }
                return Ok(Started {
                    plan,
                    kernel: Some(kernel),
                    warnings,
                });
            }
            Err(error) => {
                if let Some(without) = remove_optional(&mut layouts, &error) {
                    warnings.push(format!("{error}; {without}"));
                    continue;
                }
                match &error {
                    BpfError::Refused(program, _) => plans = plan::without(&plans, *program),
                    _ => plans.retain(|plan| plan.exit_hook.is_none()),
                }
                warnings.push(format!("{error}{}", plan::next(&plans, plan)));
            }
        }
    }
    if plans.contains(&Plan::PROCFS) {
        return Ok(procfs_only(sizes, warnings));
    }
    Err(warnings.join("; "))
}

fn procfs_only(sizes: Sizes, mut warnings: Vec<String>) -> Started {
    if sizes.run_queue_slots.is_some() {
        warnings.push(runqueue::without(&"/proc does not show it"));
    }
    if sizes.network_owners.is_some() {
        log::info!("{}", network::without("/proc does not show it"));
    }
    if sizes.request_owners.is_some() {
        warnings.push(requests::without("/proc does not show it"));
    }
    Started {
        plan: Plan::PROCFS,
        kernel: None,
        warnings,
    }
}

/// The obstacle to any kernel tier in this thread's environment, if there is one.
pub fn obstacle(host: &Host) -> Option<Obstacle> {
    if !host.is_procfs_mount() {
        return Some(Obstacle::NotProcfs(host.procfs.display().to_string()));
    }
    if host.in_initial_pid_namespace() == Some(false) {
        return Some(Obstacle::OtherPidNamespace);
    }
    // The status of this thread, not of the process's main thread, which serves HTTP and has given up its
    // capabilities by now.
    std::fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| support::missing_capability(&status))
}
