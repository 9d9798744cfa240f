//! What the sources tell about themselves.

use super::{HiddenStatistics, SmapsStatistics};
use std::collections::HashMap;

pub use agent_common::{RUN_QUEUE_BOUNDS, RunQueueWaits};

/// How process accounting is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    /// Lifecycle hooks and a task iterator pass per scrape.
    Iterator,
    /// Lifecycle hooks and scheduler time per process; `/proc` for processes that ran.
    Switch,
    /// `/proc` only.
    #[default]
    Procfs,
}

impl Tier {
    /// The word for it in flags, labels and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Iterator => "iterator",
            Self::Switch => "switch",
            Self::Procfs => "procfs",
        }
    }
}

/// Where final totals of a process come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// `fentry/release_task`: at once.
    Release,
    /// `tp_btf/sched_process_free`: after an RCU grace period.
    Free,
    /// `tracepoint/sched/sched_switch`, when the last thread goes: at once, but CPU time and switches only.
    LastSwitch,
}

impl Rung {
    /// The word for it in labels and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Free => "free",
            Self::LastSwitch => "last_switch",
        }
    }
}

/// What the start-up self-test found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SelfTest {
    /// Not needed: no kernel programs.
    #[default]
    None,
    /// No child's final record has been right yet, and there may be another child.
    Pending,
    /// Counted CPU equals `wait4`'s within the tolerance.
    Passed,
    /// It does not, or the record never came, for each of three children.
    Failed,
}

/// One kind of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// CPU time.
    Cpu,
    /// Split of CPU time in user and system.
    CpuSplit,
    /// Storage IO.
    Io,
    /// Resident, virtual and swapped memory.
    Memory,
    /// Page faults.
    Faults,
    /// Context switches.
    Switches,
    /// Run-queue wait.
    RunQueueWait,
    /// Run-queue wait by length.
    RunQueueLatency,
    /// Thread count and states.
    Threads,
    /// Wait channels.
    Wchan,
    /// Open file descriptors.
    OpenFiles,
    /// Limit of open file descriptors.
    FileLimit,
    /// Births, images and deaths.
    Lifecycle,
    /// How processes ended.
    ExitStatus,
    /// Storage IO and page faults of a process after the last pass that saw it.
    FinalIoFaults,
    /// Names at classification.
    Names,
    /// Proportional memory.
    Proportional,
}

/// Where a fact came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Kernel programs.
    Bpf,
    /// `/proc`.
    Procfs,
    /// Nowhere: families made of it are left out.
    Absent,
}

/// One kernel program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Its name: the hook it sits on.
    pub name: &'static str,
    /// Whether it is attached.
    pub attached: bool,
    /// Runs; `None` where the kernel does not keep them (`kernel.bpf_stats_enabled=0`).
    pub run_count: Option<u64>,
    /// Time of these runs, nanoseconds.
    pub run_time_ns: Option<u64>,
}

/// How full a map of the kernel programs is; bytes or entries, by map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MapStatistics {
    /// Its name.
    pub name: &'static str,
    /// What the last reading found.
    pub used: u64,
    /// The most that any reading found.
    pub peak: u64,
    /// What there is room for; never 0.
    pub capacity: u64,
}

/// True totals of the node since the programs were attached, from per-CPU arrays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelTotals {
    /// Processes forked.
    pub forks: u64,
    /// Programs started by exec.
    pub execs: u64,
    /// Processes released.
    pub exits: u64,
    /// CPU time of the released ones, nanoseconds, from birth.
    pub exited_cpu_ns: u64,
}

/// What the kernel programs count of the node as a whole, since they were attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Processes that began.
    pub processes: u64,
    /// Threads that began, beside the first one of a process; `None` where no program counts them.
    pub threads: Option<u64>,
    /// CPU time of records that were lost, at most; nanoseconds.
    pub lost_cpu_ns: u64,
}

/// One quantity of the whole node since the agent's start, from two independent sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sides {
    /// The sum of what the agent booked and of its own loss counters.
    pub accounted: u64,
    /// What the kernel says of the node as a whole.
    pub node: u64,
}

/// The node's books at the end of the last pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balances {
    /// CPU time, nanoseconds; `None` where `/proc` is not this machine's.
    pub cpu_ns: Option<Sides>,
    /// Time that interrupts and the hypervisor took from the CPUs since the agent's start, nanoseconds; `None` where there are no
    /// books of CPU time. The node's side is without it. A part of it may be in the scheduler's account of tasks, or in idle time,
    /// too.
    pub taken_cpu_ns: Option<u64>,
    /// Processes and threads created; `None` where the tier does not see all of them.
    pub creations: Option<Sides>,
}

/// How long threads waited for a CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQueueStatistics {
    /// By the number of their process's group; a group that has no slot is not in it.
    pub by_group: HashMap<u64, RunQueueWaits>,
    /// Of processes of which nobody knew the group.
    pub unknown: RunQueueWaits,
    /// Waits whose length is not known.
    pub missed: u64,
    /// Births of processes that found no place in the map of slots.
    pub full: u64,
}

/// All that a source tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// How accounting is done.
    pub tier: Tier,
    /// Where final totals come from; `None` without kernel programs.
    pub rung: Option<Rung>,
    /// Start-up self-test.
    pub self_test: SelfTest,
    /// Each fact and where it comes from, in the order of [`Fact`].
    pub facts: Vec<(Fact, Origin)>,
    /// Kernel programs, in the order of their list.
    pub programs: Vec<ProgramStatistics>,
    /// Maps that can be full; empty without kernel programs.
    pub maps: Vec<MapStatistics>,
    /// True totals of the node; `None` without kernel programs.
    pub kernel: Option<KernelTotals>,
    /// The node's books.
    pub balances: Balances,
    /// Records received through the ring.
    pub events_received: u64,
    /// Records that came through the overflow hash, because the ring was full.
    pub events_overflowed: u64,
    /// Records added to the sums by comm, because the hash was full too.
    pub events_coarse: u64,
    /// Records lost beyond recovery: of older processes where there was no room, and of runs that the kernel left out.
    pub events_lost: u64,
    /// CPU time in lost records that the next pass could not recover, at most; nanoseconds.
    pub lost_cpu_ns: u64,
    /// Switch tier: times that the map of running processes was full.
    pub switch_map_full: u64,
    /// CPU time that may be missing of processes that ended, because no program was run when they came on the CPU;
    /// nanoseconds, at most. `None` where the scheduler tells it.
    pub switch_unseen_ns: Option<u64>,
    /// Run-queue latency; `None` where it is not counted.
    pub run_queue: Option<RunQueueStatistics>,
    /// Processes that the task iterator does not show; `None` in the other tiers.
    pub hidden: Option<HiddenStatistics>,
    /// Readings of proportional memory; `None` where it is not read.
    pub smaps: Option<SmapsStatistics>,
    /// Passes that could not list the processes.
    pub scrape_errors: u64,
    /// Processes that could not be read.
    pub procread_errors: u64,
    /// Processes of which something could not be read, once per process and pass.
    pub partial_errors: u64,
    /// Threads that a file of a process holds up.
    pub held_up: u64,
    /// Readings that were left out, because the processes of their user hold up as many threads as they may.
    pub reads_refused: u64,
    /// Listings of the kubelet's log links that failed or were cut; `None` where nobody asks for names of pods.
    pub pod_link_failures: Option<u64>,
}
