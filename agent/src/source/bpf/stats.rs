//! What the programs tell of themselves.

use super::{Error, Kernel, Program, fill::Fill, snapshot::Carried};
use crate::source::{
    Fact, KernelTotals, MapStatistics, Origin, ProgramStatistics, Statistics, Tier,
};

/// Whether the kernel keeps run counts and times of programs.
fn keeps_run_times() -> bool {
    std::fs::read("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.starts_with(b"1"))
}

pub(super) fn describe(kernel: &Kernel, statistics: &mut Statistics) -> Result<(), Error> {
    let node = kernel.overflow.node()?;
    statistics.tier = kernel.plan.tier;
    statistics.rung = kernel.plan.rung;
    statistics.facts = facts(kernel.plan.tier, kernel.carried);
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
    statistics.events_lost = node.lost + kernel.ring.malformed;
    statistics.lost_cpu_ns = node.lost_runtime_ns;
    statistics.switch_map_full = kernel.switch.full()?;
    Ok(())
}

fn maps(kernel: &Kernel) -> Vec<MapStatistics> {
    let overflow = &kernel.overflow;
    let mut fills = vec![&kernel.ring.fill, &overflow.fill, &overflow.sums_fill];
    if kernel.plan.tier == Tier::Switch {
        fills.push(&kernel.switch.fill);
    }
    fills.into_iter().map(Fill::statistics).collect()
}

fn programs(kernel: &Kernel) -> Vec<ProgramStatistics> {
    let attached = kernel.plan.programs();
    let keeps = keeps_run_times();
    Program::ALL
        .into_iter()
        .map(|program| {
            let is_attached = attached.contains(&program);
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

/// Where each fact of a living process comes from; ends, births and final totals are the kernel's in both tiers.
fn facts(tier: Tier, carried: Carried) -> Vec<(Fact, Origin)> {
    let live = if tier == Tier::Iterator {
        Origin::Bpf
    } else {
        Origin::Procfs
    };
    let only_if = |there: bool, otherwise| if there { live } else { otherwise };
    vec![
        (Fact::Cpu, live),
        (Fact::CpuSplit, live),
        (Fact::Io, only_if(carried.io, Origin::Absent)),
        (Fact::Memory, only_if(carried.memory, Origin::Procfs)),
        (Fact::Faults, live),
        (Fact::Switches, live),
        (
            Fact::RunQueueWait,
            if tier == Tier::Iterator && carried.run_delay {
                Origin::Bpf
            } else {
                Origin::Absent
            },
        ),
        (Fact::Threads, live),
        (Fact::Wchan, Origin::Procfs),
        (Fact::OpenFiles, Origin::Procfs),
        (Fact::FileLimit, only_if(carried.fd_limit, Origin::Absent)),
        (Fact::Lifecycle, Origin::Bpf),
        (Fact::Names, Origin::Procfs),
    ]
}
