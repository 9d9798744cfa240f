//! Detects the features of this kernel and the offsets of its fields.
//!
//! In: `/sys/kernel/btf/vmlinux`, tracefs, and the obstacle that the caller knows. Out: [`Support`] and [`Layouts`]. Deciding the
//! choice of programs is left to `plan`.

use std::fs::File;
use std::io::{self, Read as _};

use agent_common::{ABSENT, ARGV_NONE, ARGV_READ, Layout, RSS_HELPER, RSS_PLAIN, TraceFields};

use super::load::{self, BpfError, Layouts};
use super::network_way::Way;
use super::plan::AccountingRequest;
use super::program::KernelProgram;
use super::request_offsets::NoRequests;
use super::socket_offsets::NoNetwork;
use super::support::{self, Obstacle, Support};
use super::{btf, no_preempt, request_offsets, socket_offsets, tracepoint};
use crate::source::Tier;

/// The largest type information that the agent reads: several times that of kernels with everything built in.
const BTF_BYTES: u64 = 64 << 20;

/// Warnings that say why the agent does not even try the best plan for `request`.
pub(super) fn shortcomings(request: AccountingRequest, support: &Support) -> Vec<String> {
    let Support {
        obstacle,
        no_types,
        no_tracepoints,
        ..
    } = support;
    let mut warnings: Vec<_> = obstacle.iter().chain(no_types).collect();
    // Missing tracepoints matter only where they would be used: without types, and unless the iterator tier is forced.
    let would_do = no_types.is_some() && request != AccountingRequest::Only(Tier::Iterator);
    warnings.extend(no_tracepoints.as_ref().filter(|_| would_do));
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    if warnings.is_empty() && !support.task_iterator {
        warnings.push("this kernel has no task iterator; 5.8 or later has".to_owned());
    }
    if warnings.is_empty() && support::is_ftrace_off() {
        warnings.push(
            "kernel.ftrace_enabled is 0, so no program runs at release_task; final totals come at sched_process_free, as \
             exact, but later"
                .to_owned(),
        );
    }
    warnings
}

/// The features of this kernel, its layouts, and the type information from which they come (empty if there is none).
pub(super) fn probe(obstacle: Option<Obstacle>) -> (Support, Layouts, Vec<u8>) {
    let mut layouts = Layouts {
        types: Layout::ABSENT,
        tracepoints: TraceFields::ABSENT,
        no_preempt: None,
        network: Way::ALL.map(|_| Err(NoNetwork::Untyped)),
        requests: Err(NoRequests::Untyped),
    };
    let known = if load::IS_BUILT {
        obstacle
    } else {
        Some(Obstacle::NotBuilt)
    };
    if let Some(obstacle) = known {
        return (Support::none(obstacle), layouts, Vec::new());
    }
    let (mut support, raw) = probe_types(&mut layouts);
    layouts.no_preempt = support.no_preempt;
    match tracepoint::fields() {
        Ok(fields) => layouts.tracepoints = fields,
        Err(obstacle) => support.no_tracepoints = Some(obstacle),
    }
    (support, layouts, raw)
}

/// The part of [`probe`] that needs the kernel's type information.
fn probe_types(layouts: &mut Layouts) -> (Support, Vec<u8>) {
    let probed = read_btf()
        .map_err(|error| error.to_string())
        .and_then(|raw| {
            let btf = btf::Btf::parse(&raw).map_err(|error| error.to_string())?;
            let (support, layout) = Support::of(&btf);
            layouts.types = layout;
            layouts.network = Way::ALL.map(|way| socket_offsets::resolve(&btf, way));
            layouts.requests = request_offsets::resolve(&btf);
            Ok((support, raw))
        });
    probed.unwrap_or_else(|text| {
        let support = Support::without_types(Obstacle::NoBtf(text));
        (support, Vec::new())
    })
}

fn read_btf() -> io::Result<Vec<u8>> {
    let file = File::open("/sys/kernel/btf/vmlinux")?;
    let length = file.metadata()?.len();
    if length > BTF_BYTES {
        let text = format!("{length} bytes, and no kernel's has more than {BTF_BYTES}");
        return Err(io::Error::other(text));
    }
    let mut raw = Vec::new();
    file.take(BTF_BYTES).read_to_end(&mut raw)?;
    Ok(raw)
}

/// Removes from `layouts` one optional part that the refused program uses: the functions that disable preemption, or helpers that
/// read memory. Returns the text of a warning about the effects, or `None` if the program uses no optional part.
pub(super) fn remove_optional(layouts: &mut Layouts, refused: &BpfError) -> Option<&'static str> {
    let BpfError::Refused(program, error) = refused else {
        return None;
    };
    if no_preempt::is_refused(error) && layouts.no_preempt.take().is_some() {
        return Some(
            "trying it without the kernel functions that disable preemption: a preemptible kernel then leaves out some \
             births and ends, and the agent counts them as lost",
        );
    }
    without_helpers(&mut layouts.types, *program).then_some(
        "trying it without the helpers that lockdown forbids: the arguments of a process that ends before the next scrape \
         are then unknown, and before Linux 6.2 resident memory comes from /proc",
    )
}

/// Removes from `layout` the features that need helpers that read memory, if program `refused` uses such helpers. Returns whether
/// it did.
fn without_helpers(layout: &mut Layout, refused: KernelProgram) -> bool {
    let uses_them = match refused {
        KernelProgram::Exec => layout.argv_access == ARGV_READ,
        KernelProgram::Snapshot => layout.rss_access == RSS_HELPER,
        _ => false,
    };
    if uses_them {
        layout.argv_access = ARGV_NONE;
        if layout.rss_access == RSS_HELPER {
            layout.rss_access = RSS_PLAIN;
            layout.rss_stride = ABSENT;
        }
    }
    uses_them
}
