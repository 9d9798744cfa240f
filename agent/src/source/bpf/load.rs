//! Loads the object and attaches the programs of a plan.
//!
//! In: a plan, layouts, sizes. Out: aya's object with its maps, or a [`BpfError`] with advice. Trying the next plan is left to
//! the parent module.

use std::io;

use agent_common::{
    Layout, NetworkLayout, RUN_QUEUE_COMMS, RUN_QUEUE_ENTRIES, RUN_TIMES_ENTRIES, RequestLayout,
    TraceFields,
};
use aya::maps::{Map, MapError};
use aya::programs::{BtfTracePoint, FEntry, FExit, Iter, Program, ProgramError, TracePoint};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader};

use super::load_remedy::remedy;
use super::network_way::Way;
use super::no_preempt;
use super::plan::Plan;
use super::program::{KernelProgram, ProgramKind};
use super::request_offsets::NoRequests;
use super::socket_offsets::NoNetwork;
use super::wire::Wire;
use crate::source::Tier;

/// The object file of the programs, made by the build script; empty if it could not be built.
#[cfg(has_ebpf)]
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/headcount-ebpf"));
#[cfg(not(has_ebpf))]
pub(super) static OBJECT: &[u8] = &[];

/// Whether this binary contains the kernel programs.
pub(super) const IS_BUILT: bool = cfg!(has_ebpf);

/// Sizes of maps that the operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the ring: a power of two, at least one page.
    pub ring_bytes: u32,
    /// Maximum number of processes in each of the two overflow generations.
    pub overflow_entries: u32,
    /// Slots for run-queue latency; `None` if the collector is off.
    pub run_queue_slots: Option<u32>,
    /// Maximum number of owners of sockets, one for each process and scope; `None` if the network collector is off.
    pub network_owners: Option<u32>,
    /// Whether the network collector also counts UDP.
    pub has_udp: bool,
    /// Maximum number of processes that have served HTTP requests; `None` if no group counts them.
    pub request_owners: Option<u32>,
    /// Whether the request programs also note which processes their parents kill, as Gunicorn does with workers.
    pub has_gunicorn: bool,
}

impl Sizes {
    /// [`Sizes::network_owners`] if the collector is on.
    pub const NETWORK_OWNERS: u32 = agent_common::NETWORK_OWNERS;

    /// [`Sizes::request_owners`] if a group counts requests.
    pub const REQUEST_OWNERS: u32 = agent_common::REQUEST_OWNERS;

    /// Slots for run-queue latency with `max_groups` groups: one for each, one for the group that takes the rest, and one for
    /// processes of unknown groups. Groups beyond 16,384 share the last one.
    pub fn run_queue_slots(max_groups: u32) -> u32 {
        max_groups.min(16_384) + 2
    }
}

/// Offsets and functions of this kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layouts {
    /// Offsets by its type information.
    pub(super) types: Layout,
    /// Offsets by the descriptions of its tracepoints.
    pub(super) tracepoints: TraceFields,
    /// The functions by which programs disable preemption; `None` if the kernel has none or refused them.
    pub(super) no_preempt: Option<no_preempt::Functions>,
    /// Offsets for the network programs, for each [`Way`].
    pub(super) network: [Result<NetworkLayout, NoNetwork>; Way::ALL.len()],
    /// The same for the request programs.
    pub(super) requests: Result<RequestLayout, NoRequests>,
}

impl Layouts {
    /// The kernel fields from which the programs of `plan` build their records.
    pub(super) fn of(&self, plan: Plan) -> Layout {
        if plan.is_traced() {
            Layout::ABSENT
        } else {
            self.types
        }
    }
}

/// Why a plan failed.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// The object as a whole: the kernel refused to create its maps, or aya refused the object.
    #[error("the kernel programs could not be prepared: {}; {}", chain(.0), remedy(.0))]
    Object(#[from] EbpfError),
    /// The kernel refused one program.
    #[error("the kernel refused the program for {}: {}; {}", .0.hook(), chain(.1), remedy(.1))]
    Refused(KernelProgram, ProgramError),
    /// A map has an unexpected type, or an operation on it failed.
    #[error("a map of the kernel programs: {}", chain(.0))]
    Map(#[from] MapError),
    /// An iterator over files or sockets could not be read, or the map of the traffic of sockets.
    #[error("the kernel's sockets cannot be read: {0}")]
    Look(io::Error),
    /// The object lacks a program or map.
    #[error("the built-in kernel programs lack {0}")]
    Lacking(&'static str),
}

/// All causes of an error in one line. Of the verifier's log only the last two lines are kept, because they say why it refused
/// the program.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    let says_why = |line: &&str| {
        !line.is_empty()
            && !["verification time", "stack depth", "processed"]
                .iter()
                .any(|word| line.starts_with(word))
    };
    let lines: Vec<_> = text
        .lines()
        .map(|line| {
            line.trim_end()
                .trim_end_matches("Verifier output:")
                .trim_end_matches(['.', ' '])
        })
        .filter(says_why)
        .collect();
    let tail = lines.len().saturating_sub(2).max(1);
    let last = lines.iter().skip(tail);
    lines
        .iter()
        .take(1)
        .chain(last)
        .copied()
        .collect::<Vec<_>>()
        .join(" | ")
}

/// Creates the maps, and loads and attaches the programs of `plan`. After an error, dropping the object detaches the programs
/// that were attached before.
///
/// # Errors
/// When the object, a map or a program of the plan is refused or missing.
pub(super) fn load(
    plan: Plan,
    layouts: &Layouts,
    sizes: Sizes,
    btf: Option<&Btf>,
) -> Result<Ebpf, BpfError> {
    let keeps_run_times = plan.tier == Tier::Switch && !plan.is_traced();
    let layout = Wire(Layout {
        wake_bytes: sizes.ring_bytes / 2,
        keeps_run_times: u32::from(keeps_run_times),
        keeps_run_queue: u32::from(sizes.run_queue_slots.is_some()),
        ..layouts.types
    });
    let fields = Wire(layouts.tracepoints);
    // The maps of other plans are created too, each with one entry.
    let only_if = |needed: bool| if needed { RUN_TIMES_ENTRIES } else { 1 };
    let [run_queue, comms] = match sizes.run_queue_slots {
        Some(_) => [RUN_QUEUE_ENTRIES, RUN_QUEUE_COMMS],
        None => [1, 1],
    };
    let object = no_preempt::object(OBJECT, layouts.no_preempt);
    let mut ebpf = EbpfLoader::new()
        .btf(btf)
        .override_global("LAYOUT", &layout, true)
        .override_global("TRACEPOINTS", &fields, true)
        .map_max_entries("RING", sizes.ring_bytes)
        .map_max_entries("OVERFLOW_0", sizes.overflow_entries)
        .map_max_entries("OVERFLOW_1", sizes.overflow_entries)
        .map_max_entries("RUN_TIMES", only_if(keeps_run_times))
        .map_max_entries("TRACED", only_if(plan.is_traced()))
        .map_max_entries("RUN_QUEUE", sizes.run_queue_slots.unwrap_or(1))
        .map_max_entries("RUN_QUEUE_SLOTS", run_queue)
        .map_max_entries("RUN_QUEUE_THREADS", run_queue)
        .map_max_entries("RUN_QUEUE_COMM_SLOTS", comms)
        .map_max_entries("AYA_LOGS", 16 * 1024)
        .load(bytemuck::cast_slice(&object))?;
    for program in plan.programs() {
        add(&mut ebpf, &[program], btf)?;
    }
    Ok(ebpf)
}

/// Loads all of `programs`, and then attaches them in this order. After an error none of them is loaded; if the kernel refused to
/// load one, none was attached.
///
/// # Errors
/// When the kernel refuses one, or the object lacks it.
pub(super) fn add(
    ebpf: &mut Ebpf,
    programs: &[KernelProgram],
    btf: Option<&Btf>,
) -> Result<(), BpfError> {
    let mut each = |step: &dyn Fn(KernelProgram, &mut Program) -> Result<(), ProgramError>| {
        programs.iter().try_for_each(|&program| {
            let found = ebpf.program_mut(program.symbol());
            let found = found.ok_or(BpfError::Lacking(program.symbol()))?;
            step(program, found).map_err(|error| BpfError::Refused(program, error))
        })
    };
    let added = each(&|program, found| verify(program, found, btf)).and_then(|()| each(&attach));
    if added.is_err() {
        // One that was not loaded refuses; there is nothing to unload then.
        let _ = each(&|_, found| {
            let _ = unload(found);
            Ok(())
        });
    }
    added
}

fn unload(found: &mut Program) -> Result<(), ProgramError> {
    match found {
        Program::BtfTracePoint(found) => found.unload(),
        Program::FEntry(found) => found.unload(),
        Program::FExit(found) => found.unload(),
        Program::Iter(found) => found.unload(),
        Program::TracePoint(found) => found.unload(),
        _ => Ok(()),
    }
}

/// The hook of a program without the part that only distinguishes it, and the other part.
fn hook(program: KernelProgram) -> (&'static str, &'static str) {
    program
        .hook()
        .split_once('/')
        .unwrap_or((program.hook(), ""))
}

/// Has the kernel check and compile the program.
fn verify(
    program: KernelProgram,
    found: &mut Program,
    btf: Option<&Btf>,
) -> Result<(), ProgramError> {
    let btf = || btf.ok_or(ProgramError::NotLoaded);
    let (first, rest) = hook(program);
    match program.kind() {
        ProgramKind::TpBtf => <&mut BtfTracePoint>::try_from(found)?.load(first, btf()?),
        ProgramKind::Fentry => <&mut FEntry>::try_from(found)?.load(first, btf()?),
        ProgramKind::Fexit => <&mut FExit>::try_from(found)?.load(first, btf()?),
        ProgramKind::Iter => {
            let (element, _) = rest.split_once('/').unwrap_or((rest, ""));
            <&mut Iter>::try_from(found)?.load(element, btf()?)
        }
        ProgramKind::Tracepoint => <&mut TracePoint>::try_from(found)?.load(),
    }
}

fn attach(program: KernelProgram, found: &mut Program) -> Result<(), ProgramError> {
    let (category, event) = hook(program);
    match program.kind() {
        ProgramKind::TpBtf => <&mut BtfTracePoint>::try_from(found)?.attach().map(drop),
        ProgramKind::Fentry => <&mut FEntry>::try_from(found)?.attach().map(drop),
        ProgramKind::Fexit => <&mut FExit>::try_from(found)?.attach().map(drop),
        // `IteratorLink` attaches it.
        ProgramKind::Iter => Ok(()),
        ProgramKind::Tracepoint => {
            let found: &mut TracePoint = found.try_into()?;
            found.attach(category, event).map(drop)
        }
    }
}

/// Takes a map out of the object.
pub(super) fn take<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, BpfError> {
    Ok(T::try_from(
        ebpf.take_map(name).ok_or(BpfError::Lacking(name))?,
    )?)
}
