//! Loading and attaching what a plan names.

use super::{
    cause::remedy,
    plan::{Plan, Program},
    undisturbed,
    wire::Wire,
};
use crate::source::Tier;
use agent_common::{Layout, RUN_QUEUE_COMMS, RUN_QUEUE_ENTRIES, RUN_TIMES_ENTRIES, TraceFields};
use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{BtfTracePoint, FEntry, Iter, Program as Loaded, ProgramError, TracePoint},
};

/// The programs, built by the build script.
#[cfg(has_ebpf)]
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/headcount-ebpf"));
#[cfg(not(has_ebpf))]
pub(super) static OBJECT: &[u8] = &[];

/// Whether this binary carries the kernel programs.
pub(super) const IS_BUILT: bool = cfg!(has_ebpf);

/// Sizes that the operator may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Processes in each of the two overflow generations.
    pub overflow_entries: u32,
    /// Slots for run-queue latency; `None`: it is not wanted.
    pub run_queue_slots: Option<u32>,
}

impl Sizes {
    /// Slots for run-queue latency with so many groups: one each, and those of the group that takes the rest and of
    /// unknown ones. Groups beyond 16,384 share the latter.
    pub fn run_queue_slots(max_groups: u32) -> u32 {
        max_groups.min(16_384) + 2
    }
}

/// Where this kernel keeps what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layouts {
    /// By its type information.
    pub(super) types: Layout,
    /// By the descriptions of its tracepoints.
    pub(super) tracepoints: TraceFields,
    /// Its functions by which programs keep their CPU.
    pub(super) undisturbed: Option<undisturbed::Functions>,
}

impl Layouts {
    /// The kernel fields that the records of `plan` are made of.
    pub(super) fn of(&self, plan: Plan) -> Layout {
        if plan.is_traced() {
            Layout::ABSENT
        } else {
            self.types
        }
    }
}

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object as a whole: its maps could not be made, or it does not fit this loader.
    #[error("the kernel programs could not be prepared: {}; {}", chain(.0), remedy(.0))]
    Object(#[from] EbpfError),
    /// One program was refused.
    #[error("the kernel refused the program for {}: {}; {}", .0.hook(), chain(.1), remedy(.1))]
    Refused(Program, ProgramError),
    /// A map is not what it should be.
    #[error("a map of the kernel programs: {}", chain(.0))]
    Map(#[from] MapError),
    /// A program or map is not in the object.
    #[error("the built-in kernel programs lack {0}")]
    Lacking(&'static str),
}

/// All causes of an error in one line; the verifier's log, of which only the end tells, is cut to its last lines.
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
    let is_telling = |line: &&str| {
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
        .filter(is_telling)
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

/// Makes the maps, loads and attaches the programs of `plan`. What was attached before an error is taken back when the
/// object is dropped.
///
/// # Errors
/// See [`Error`].
pub(super) fn load(
    plan: Plan,
    layouts: &Layouts,
    sizes: Sizes,
    btf: Option<&Btf>,
) -> Result<Ebpf, Error> {
    let keeps_run_times = plan.tier == Tier::Switch && !plan.is_traced();
    let layout = Wire(Layout {
        wake_bytes: sizes.ring_bytes / 2,
        keeps_run_times: u32::from(keeps_run_times),
        keeps_run_queue: u32::from(sizes.run_queue_slots.is_some()),
        ..layouts.types
    });
    let fields = Wire(layouts.tracepoints);
    // A map of another plan's is made, too; as small as can be.
    let only_if = |needed: bool| if needed { RUN_TIMES_ENTRIES } else { 1 };
    let [run_queue, comms] = match sizes.run_queue_slots {
        Some(_) => [RUN_QUEUE_ENTRIES, RUN_QUEUE_COMMS],
        None => [1, 1],
    };
    let object = undisturbed::object(layouts.undisturbed);
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
        add(&mut ebpf, program, btf)?;
    }
    Ok(ebpf)
}

/// Loads and attaches one program.
///
/// # Errors
/// The kernel refuses it.
pub(super) fn add(ebpf: &mut Ebpf, program: Program, btf: Option<&Btf>) -> Result<(), Error> {
    let loaded = ebpf
        .program_mut(program.symbol())
        .ok_or(Error::Lacking(program.symbol()))?;
    start(program, loaded, btf).map_err(|error| Error::Refused(program, error))
}

fn start(program: Program, loaded: &mut Loaded, btf: Option<&Btf>) -> Result<(), ProgramError> {
    if let Some((category, event)) = program.tracepoint() {
        let loaded: &mut TracePoint = loaded.try_into()?;
        loaded.load()?;
        loaded.attach(category, event)?;
        return Ok(());
    }
    let Some(btf) = btf else {
        return Err(ProgramError::NotLoaded);
    };
    match program {
        Program::Release => {
            let loaded: &mut FEntry = loaded.try_into()?;
            loaded.load(program.hook(), btf)?;
            loaded.attach()?;
        }
        Program::Snapshot => {
            let loaded: &mut Iter = loaded.try_into()?;
            // Attached by whoever opens it.
            loaded.load("task", btf)?;
        }
        _ => {
            let loaded: &mut BtfTracePoint = loaded.try_into()?;
            // Behind the slash stands which one of its programs it is.
            let (hook, _) = program
                .hook()
                .split_once('/')
                .unwrap_or((program.hook(), ""));
            loaded.load(hook, btf)?;
            loaded.attach()?;
        }
    }
    Ok(())
}
