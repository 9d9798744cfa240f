//! Loading and attaching what a plan names.

use super::{
    plan::{Plan, Program},
    wire::Wire,
};
use agent_common::{Layout, RUN_QUEUE_COMMS, RUN_QUEUE_ENTRIES};
use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{BtfTracePoint, FEntry, Iter, Program as Loaded, ProgramError},
};

/// The programs, built by the build script.
#[cfg(has_ebpf)]
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/headcount-ebpf"));
#[cfg(not(has_ebpf))]
static OBJECT: &[u8] = &[];

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

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object as a whole: its maps could not be made, or it does not fit this loader.
    #[error("the kernel programs could not be prepared: {}", chain(.0))]
    Object(#[from] EbpfError),
    /// One program was refused.
    #[error("the kernel refused the program for {}: {}", .0.hook(), chain(.1))]
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
pub(super) fn load(plan: Plan, layout: &Layout, sizes: Sizes, btf: &Btf) -> Result<Ebpf, Error> {
    let is_switch = plan.tier == crate::source::Tier::Switch;
    let layout = Wire(Layout {
        wake_bytes: sizes.ring_bytes / 2,
        keeps_run_times: u32::from(is_switch),
        keeps_run_queue: u32::from(sizes.run_queue_slots.is_some()),
        ..*layout
    });
    // A map of the other tier's is made, too; as small as can be.
    let run_times = if is_switch { 16384 } else { 1 };
    let [run_queue, comms] = match sizes.run_queue_slots {
        Some(_) => [RUN_QUEUE_ENTRIES, RUN_QUEUE_COMMS],
        None => [1, 1],
    };
    let mut ebpf = EbpfLoader::new()
        .btf(Some(btf))
        .override_global("LAYOUT", &layout, true)
        .map_max_entries("RING", sizes.ring_bytes)
        .map_max_entries("OVERFLOW_0", sizes.overflow_entries)
        .map_max_entries("OVERFLOW_1", sizes.overflow_entries)
        .map_max_entries("RUN_TIMES", run_times)
        .map_max_entries("RUN_QUEUE", sizes.run_queue_slots.unwrap_or(1))
        .map_max_entries("RUN_QUEUE_SLOTS", run_queue)
        .map_max_entries("RUN_QUEUE_THREADS", run_queue)
        .map_max_entries("RUN_QUEUE_COMM_SLOTS", comms)
        .map_max_entries("AYA_LOGS", 16 * 1024)
        .load(OBJECT)?;
    for program in plan.programs() {
        add(&mut ebpf, program, btf)?;
    }
    Ok(ebpf)
}

/// Loads and attaches one program.
///
/// # Errors
/// The kernel refuses it.
pub(super) fn add(ebpf: &mut Ebpf, program: Program, btf: &Btf) -> Result<(), Error> {
    let loaded = ebpf
        .program_mut(program.symbol())
        .ok_or(Error::Lacking(program.symbol()))?;
    start(program, loaded, btf).map_err(|error| Error::Refused(program, error))
}

fn start(program: Program, loaded: &mut Loaded, btf: &Btf) -> Result<(), ProgramError> {
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
        Program::RunQueue => {
            let loaded: &mut BtfTracePoint = loaded.try_into()?;
            loaded.load(Program::Switch.hook(), btf)?;
            loaded.attach()?;
        }
        Program::Fork | Program::Exec | Program::Exit | Program::Free | Program::Switch => {
            let loaded: &mut BtfTracePoint = loaded.try_into()?;
            loaded.load(program.hook(), btf)?;
            loaded.attach()?;
        }
    }
    Ok(())
}
