//! The attached programs: the plan's, those beside it, the messages that they log, and the kernel's statistics about them.

use std::os::fd::AsFd;

use aya::programs::{Program, ProgramInfo};
use aya::{Btf, Ebpf};
use aya_log::EbpfLogger;

use super::iterator::IteratorLink;
use super::load::{self, BpfError};
use super::plan::Plan;
use super::program::{KernelProgram, Moment};
use super::recursion_misses;
use crate::source::{ProgramStatistics, Tier};

/// Dropping it detaches the programs.
pub(super) struct Attached {
    pub(super) ebpf: Ebpf,
    pub(super) plan: Plan,
    programs: Vec<KernelProgram>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

impl Attached {
    /// `ebpf`: the object, with the programs of `plan` attached.
    pub(super) fn new(ebpf: Ebpf, plan: Plan) -> Self {
        Self {
            ebpf,
            plan,
            programs: plan.programs(),
            logger: None,
        }
    }

    /// Begins to read the messages of the programs. If they cannot be read, the programs count all the same.
    pub(super) fn begin_logging(&mut self) {
        self.logger = EbpfLogger::init(&mut self.ebpf)
            .map_err(|error| {
                log::warn!("messages of the kernel programs cannot be read: {error}");
            })
            .ok();
    }

    /// Logs the messages of the programs.
    pub(super) fn log_messages(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Loads and attaches a program beside those of the plan.
    pub(super) fn add(
        &mut self,
        program: KernelProgram,
        btf: Option<&Btf>,
    ) -> Result<(), BpfError> {
        load::add(&mut self.ebpf, &[program], btf)?;
        self.programs.push(program);
        Ok(())
    }

    pub(super) fn contains(&self, program: KernelProgram) -> bool {
        self.programs.contains(&program)
    }

    /// Attaches the task iterator; `None` in the switch tier, which has none.
    pub(super) fn task_iterator(&self) -> Result<Option<IteratorLink>, BpfError> {
        if self.plan.tier != Tier::Iterator {
            return Ok(None);
        }
        IteratorLink::of(&self.ebpf, KernelProgram::Snapshot, None).map(Some)
    }

    fn loaded(&self, program: KernelProgram) -> Result<&Program, BpfError> {
        let symbol = program.symbol();
        self.ebpf.program(symbol).ok_or(BpfError::Lacking(symbol))
    }

    /// Number of records that were never written because the kernel left out a run of a program of the plan. Runs of programs
    /// that see live processes are not counted: their next run corrects the missed ones.
    pub(super) fn unwritten_records(&self) -> Result<u64, BpfError> {
        let mut unwritten = 0;
        for program in self.plan.programs() {
            let refused = |error| BpfError::Refused(program, error);
            let loaded = self.loaded(program)?;
            if program.moment() != Moment::Life {
                let fd = loaded.fd().map_err(refused)?.as_fd();
                let misses = recursion_misses::read(fd);
                unwritten += misses.map_err(|error| refused(error.into()))?;
            }
        }
        Ok(unwritten)
    }

    /// The statistics of each program, attached or not. `others`: objects with further programs; those that are loaded are
    /// attached.
    pub(super) fn statistics(&self, others: &[&Ebpf]) -> Vec<ProgramStatistics> {
        let keeps = keeps_run_times();
        let statistics = |program: &KernelProgram| {
            let own = self.contains(*program).then_some(&self.ebpf);
            let others = others.iter().copied().filter(|_| program.is_apart());
            let mut objects = own.into_iter().chain(others);
            let loaded = objects.find_map(|ebpf| ebpf.program(program.symbol()));
            let loaded = loaded.filter(|loaded| loaded.fd().is_ok());
            let info = loaded.filter(|_| keeps);
            let info = info.and_then(|loaded| loaded.info().ok());
            ProgramStatistics {
                name: program.hook(),
                attached: loaded.is_some(),
                run_count: info.as_ref().map(ProgramInfo::run_count),
                run_time_ns: info
                    .map(|info| u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX)),
            }
        };
        KernelProgram::ALL.iter().map(statistics).collect()
    }
}

/// Whether the kernel keeps run counts and run times of programs (`kernel.bpf_stats_enabled`).
fn keeps_run_times() -> bool {
    std::fs::read("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.starts_with(b"1"))
}
