//! The statistics of the sources, which the collectors export. Data only; the sources fill it in.

use std::collections::HashMap;

pub use agent_common::{RUN_QUEUE_BOUNDS, RunQueueWaits};

use super::facts::{ExitHook, Fact, Origin, Tier};

/// The result of the self-test at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SelfTest {
    /// There are no kernel programs to test.
    #[default]
    None,
    /// No child's final record has been right yet, and the test is not over.
    Pending,
    /// The CPU time in the final record equals that of `wait4` within the tolerance.
    Passed,
    /// For each of three children it did not, or the record never came.
    Failed,
}

/// Statistics of one kernel program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Its name: the hook that it is attached to.
    pub name: &'static str,
    /// Whether it is attached.
    pub attached: bool,
    /// Number of runs; `None` if the kernel does not count them (`kernel.bpf_stats_enabled=0`).
    pub run_count: Option<u64>,
    /// Total time of these runs, nanoseconds; `None` as above.
    pub run_time_ns: Option<u64>,
}

/// How full a map of the kernel programs is, in bytes (ring) or entries (other maps).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MapStatistics {
    /// Its name.
    pub name: &'static str,
    /// Use at the last reading.
    pub used: u64,
    /// The largest use at any reading.
    pub peak: u64,
    /// Size of the map; never 0.
    pub capacity: u64,
}

/// Exact totals of the node since the programs were attached, from a per-CPU array.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelTotals {
    /// Processes forked.
    pub forks: u64,
    /// Execs.
    pub execs: u64,
    /// Processes released.
    pub exits: u64,
    /// CPU time of the released processes since their birth, nanoseconds.
    pub exited_cpu_ns: u64,
}

/// Counts of the kernel programs for the whole node since they were attached, for the balances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Processes created.
    pub processes: u64,
    /// Threads created, without the first one of each process; `None` if no program counts them.
    pub threads: Option<u64>,
    /// Upper bound of the CPU time in lost records, nanoseconds.
    pub lost_cpu_ns: u64,
}

/// One quantity of the whole node since the agent's start, measured in two independent ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sides {
    /// The sum of the agent's bookings, plus its own counters of losses.
    pub accounted: u64,
    /// The sum that the kernel reports for the whole node.
    pub node: u64,
}

/// The balances of the node at the end of the last pass: the agent's bookings against the kernel's totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balances {
    /// CPU time, nanoseconds; `None` if `/proc` is not that of this machine.
    pub cpu_ns: Option<Sides>,
    /// Time that interrupts and the hypervisor took from the CPUs since the agent's start, nanoseconds; `None` if there is no
    /// balance of CPU time. The node's side of the balance does not include it. A part of it may also be in the scheduler's
    /// account of tasks, or in idle time.
    pub taken_cpu_ns: Option<u64>,
    /// Processes and threads created; `None` if the tier does not see all of them.
    pub creations: Option<Sides>,
}

/// Run-queue latency: how long threads waited for a CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQueueStatistics {
    /// Waits by the id of the process's group. A group without a slot has no entry.
    pub by_group: HashMap<u64, RunQueueWaits>,
    /// Waits of processes whose group was unknown.
    pub unknown: RunQueueWaits,
    /// Number of waits whose length is unknown.
    pub missed: u64,
    /// Number of new processes that found the map of slots full.
    pub full: u64,
}

/// Live processes that the iterator did not show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HiddenStatistics {
    /// Read from `/proc` at each pass.
    pub read: u64,
    /// Not read, because there are more than the bound; as of the last comparison.
    pub omitted: u64,
}

/// Readings of proportional memory since the agent's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmapsStatistics {
    /// Successful readings of a process.
    pub readings: u64,
    /// Failed readings of a process.
    pub failures: u64,
    /// Processes that ran since their last reading and wait for the next one.
    pub waiting: u64,
    /// Reader threads that one process has blocked for 1 s or longer.
    pub held_up: u64,
    /// Readings left out, because processes of the same user block as many readers as they may.
    pub refused: u64,
    /// Age of the oldest reading of a live process, nanoseconds; `None` before the first.
    pub oldest_age_ns: Option<u64>,
}

/// The statistics of all sources together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatistics {
    /// The tier that runs.
    pub tier: Tier,
    /// The hook of the final totals; `None` without kernel programs.
    pub exit_hook: Option<ExitHook>,
    /// The self-test at the start.
    pub self_test: SelfTest,
    /// Each fact and its source.
    pub facts: Vec<(Fact, Origin)>,
    /// The kernel programs, in the order of their list; empty without kernel programs.
    pub programs: Vec<ProgramStatistics>,
    /// The maps whose use is measured; empty without kernel programs.
    pub maps: Vec<MapStatistics>,
    /// Exact totals of the node; `None` without kernel programs.
    pub kernel: Option<KernelTotals>,
    /// The balances of the node.
    pub balances: Balances,
    /// Records received through the ring.
    pub events_received: u64,
    /// Records that came through the overflow hash, because the ring was full.
    pub events_overflowed: u64,
    /// Records added to the sums by comm, because the hash was full too.
    pub events_coarse: u64,
    /// Records lost for good: release records of older processes that found ring and hash full, records of unknown kind, and
    /// those of program runs that the kernel left out.
    pub events_lost: u64,
    /// Upper bound of the CPU time in lost records that the next pass could not recover, nanoseconds.
    pub lost_cpu_ns: u64,
    /// Switch tier: number of switches (on classic tracepoints, births) that found the map of processes full.
    pub switch_map_full: u64,
    /// Upper bound of the CPU time that may be missing for processes that ended, because the kernel ran no program when they came
    /// on the CPU, nanoseconds. `None` if the scheduler's own account is used.
    pub switch_unseen_ns: Option<u64>,
    /// Run-queue latency; `None` if it is not counted.
    pub run_queue: Option<RunQueueStatistics>,
    /// Runs of the UDP programs that the kernel left out; `None` if UDP is not counted.
    pub udp_missed: Option<u64>,
    /// Processes that the task iterator does not show; `None` in other tiers.
    pub hidden: Option<HiddenStatistics>,
    /// Readings of proportional memory; `None` if it is not read.
    pub smaps: Option<SmapsStatistics>,
    /// Number of passes that failed.
    pub scrape_errors: u64,
    /// Number of failed reads of `stat`, `status`, `limits` or `cmdline` of processes that were there.
    pub procread_errors: u64,
    /// Number of processes of which `io`, `fd`, `wchan` or `task` could not be read, once for each process and pass.
    pub partial_errors: u64,
    /// Number of reader threads that are held up by a file of a process now.
    pub held_up: u64,
    /// Number of readings that were skipped, because processes of the same user hold up as many reader threads as they may.
    pub reads_refused: u64,
    /// Number of listings of the kubelet's log links that failed or were cut; `None` if no template uses names of pods.
    pub pod_link_failures: Option<u64>,
}

impl SourceStatistics {
    /// Whether `fact` has a source on this node.
    pub fn has(&self, fact: Fact) -> bool {
        let mut facts = self.facts.iter();
        facts.any(|(known, origin)| *known == fact && *origin != Origin::Absent)
    }
}
