//! Collects the statistics of the kernel programs and their maps.
//!
//! In: the running programs. Out: fields of [`SourceStatistics`]. Exporting them is left to the collectors.

use super::{
    Error, Kernel,
    map_usage::MapUsage,
    program::{KernelProgram, Moment},
    recursion_misses,
    runqueue::RunQueue,
};
use crate::source::{KernelTotals, MapStatistics, ProgramStatistics, SourceStatistics, Tier};
use std::os::fd::AsFd;

/// Whether the kernel keeps run counts and run times of programs (`kernel.bpf_stats_enabled`).
fn keeps_run_times() -> bool {
    std::fs::read("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.starts_with(b"1"))
}

pub(super) fn describe(kernel: &Kernel, statistics: &mut SourceStatistics) -> Result<(), Error> {
    let node = kernel.overflow.node()?;
    statistics.tier = kernel.plan.tier;
    statistics.exit_hook = kernel.plan.exit_hook;
    statistics.programs = programs(kernel);
    statistics.maps = maps(kernel);
    statistics.kernel = Some(KernelTotals {
        forks: node.forks,
        execs: node.execs,
        exits: node.exits,
        exited_cpu_ns: node.exited_runtime_ns,
    });
    statistics.events_received = kernel.ring.received;
    statistics.events_overflowed = kernel.overflow.entries;
    statistics.events_coarse = node.coarse;
    statistics.events_lost = node.lost + kernel.ring.malformed + unwritten_records(kernel)?;
    statistics.lost_cpu_ns = kernel.lost.bound_ns();
    statistics.switch_map_full = kernel.switch.full()?;
    if kernel.plan.is_traced() {
        statistics.switch_unseen_ns = Some(kernel.switch.unseen_ns()?);
    }
    let run_queue = kernel.run_queue.as_ref();
    statistics.run_queue = run_queue.map(RunQueue::statistics).transpose()?;
    Ok(())
}

/// Records that were never written because the kernel left out a run. Runs of the iterator and the switch program are not
/// counted: their next run corrects what was missed.
fn unwritten_records(kernel: &Kernel) -> Result<u64, Error> {
    let mut unwritten = 0;
    for program in kernel.plan.programs() {
        let refused = |error| Error::Refused(program, error);
        let loaded = kernel.ebpf.program(program.symbol());
        let loaded = loaded.ok_or(Error::Lacking(program.symbol()))?;
        if program.moment() != Moment::Life {
            let fd = loaded.fd().map_err(refused)?.as_fd();
            let misses = recursion_misses::read(fd);
            unwritten += misses.map_err(|error| refused(error.into()))?;
        }
    }
    Ok(unwritten)
}

fn maps(kernel: &Kernel) -> Vec<MapStatistics> {
    let overflow = &kernel.overflow;
    let mut usages = vec![&kernel.ring.usage, &overflow.usage, &overflow.sums_usage];
    if kernel.plan.tier == Tier::Switch {
        usages.push(&kernel.switch.usage);
    }
    usages.into_iter().map(MapUsage::statistics).collect()
}

fn programs(kernel: &Kernel) -> Vec<ProgramStatistics> {
    let attached = kernel.plan.programs();
    let keeps = keeps_run_times();
    KernelProgram::ALL
        .iter()
        .copied()
        .map(|program| {
            let is_attached = match program {
                KernelProgram::RunQueue => kernel.run_queue.is_some(),
                KernelProgram::Thread => kernel.counts_threads && !kernel.plan.is_traced(),
                _ => attached.contains(&program),
            };
            let loaded = kernel
                .ebpf
                .program(program.symbol())
                .filter(|_| is_attached && keeps);
            let info = loaded.and_then(|loaded| loaded.info().ok());
            ProgramStatistics {
                name: program.hook(),
                attached: is_attached,
                run_count: info.as_ref().map(aya::programs::ProgramInfo::run_count),
                run_time_ns: info
                    .map(|info| u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX)),
            }
        })
        .collect()
}
