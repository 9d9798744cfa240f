//! Every map: its content, the reason for its size, and the effect when it is full.

use agent_common::{
    ARGV_BYTES, COARSE_ENTRIES, CoarseSums, Comm, Control, ExecRecord, Identity, NodeTotals,
    OverflowRecord, RUN_QUEUE_COMMS, RUN_QUEUE_ENTRIES, RUN_TIMES_ENTRIES, RunQueueThread,
    RunQueueTotals, RunQueueWaits, RunTime, SwitchTotals, Traced,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};

use crate::exec::PAGE_BYTES;

/// Records on their way to user space. 1 MiB holds the records (fork, exec, exit, release) of about 1,500 processes; user
/// space may set another size. Full: the record goes to the overflow hash.
#[map]
pub(crate) static RING: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Records that found the ring full, merged into one entry for each process. There are two generations, so that user space
/// can empty one while the programs fill the other. With the agent stopped, 8,192 entries last a minute at 136 short
/// processes a second; user space may set another size. Full: the record goes to the sums by comm.
#[map]
pub(crate) static OVERFLOW_0: HashMap<Identity, OverflowRecord> =
    HashMap::with_max_entries(8192, 0);
/// The other generation.
#[map]
pub(crate) static OVERFLOW_1: HashMap<Identity, OverflowRecord> =
    HashMap::with_max_entries(8192, 0);

/// Records that found the overflow hash full as well, summed by comm on each CPU. There are two generations, which are
/// exchanged together with those of the hash. 84 KiB on each CPU. Full: the record goes to [`COARSE_REST`].
#[map]
pub(crate) static COARSE_0: PerCpuHashMap<Comm, CoarseSums> =
    PerCpuHashMap::with_max_entries(COARSE_ENTRIES, 0);
/// The other generation.
#[map]
pub(crate) static COARSE_1: PerCpuHashMap<Comm, CoarseSums> =
    PerCpuHashMap::with_max_entries(COARSE_ENTRIES, 0);

/// The sum of records of all comms that found no place in the sums by comm. Cannot be full.
#[map]
pub(crate) static COARSE_REST: PerCpuArray<CoarseSums> = PerCpuArray::with_max_entries(1, 0);

/// Exact totals of the node, and counts of lost records. Cannot be full.
#[map]
pub(crate) static NODE: PerCpuArray<NodeTotals> = PerCpuArray::with_max_entries(1, 0);

/// Processes whose exit record was sent lately. Two threads of a process that exit at the same time may both find that no
/// other thread lives; the second one finds the process here and sends no record. A process that never had a second thread
/// gets an entry on classic tracepoints only.
///
/// Full: the kernel removes the least recently used entry. If 1,024 processes end between the exits of two such threads,
/// both threads send a record. User space counts only one of two records in the ring or the hash; the sums by comm count
/// both.
#[map]
pub(crate) static ENDED: LruHashMap<Identity, u32> = LruHashMap::with_max_entries(1024, 0);

/// Processes whose leader is exiting, or is a zombie, while the kernel releases another thread. The kernel may release such a
/// leader where no program runs; then the free of the leader reports the end of the process. An entry lasts from the release
/// of the first such thread to the release or free of the leader. The value is 1 if a record has reported the totals
/// already.
///
/// Full: the kernel removes the least recently used entry, and the next pass ends such a process.
#[map]
pub(crate) static LEFT_LEADERS: LruHashMap<Identity, u32> = LruHashMap::with_max_entries(1024, 0);

/// The settings that user space changes while the programs run. Cannot be full.
#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// An exec record, its arguments, and a page of slack behind them. The verifier bounds the position of a copied part and its
/// length separately, each by a mask, but never their sum; the slack covers the sum. A per-CPU value may have at most 32 KiB.
#[repr(C)]
pub(crate) struct ExecScratch {
    pub(crate) record: ExecRecord,
    pub(crate) argv: [u8; ARGV_BYTES],
    slack: [u8; PAGE_BYTES],
}

/// The buffer in which the exec program builds its record, which is larger than a program's stack. Only one program uses it,
/// and the kernel never runs a program twice at the same time on one CPU. 20 KiB on each CPU.
#[map]
pub(crate) static EXEC_SCRATCH: PerCpuArray<ExecScratch> = PerCpuArray::with_max_entries(1, 0);

/// Ids of cgroups in which an exec was reported lately. An exec in any other cgroup wakes the reader, so that user space can
/// look up the cgroup's path while the cgroup exists. Full: the kernel removes the least recently used entry.
#[map]
pub(crate) static CGROUPS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(4096, 0);

/// The time up to which the allowance of immediate wakes (`may_wake` in exec.rs) is used up, nanoseconds since boot. Cannot
/// be full.
#[map]
pub(crate) static WOKEN: Array<u64> = Array::with_max_entries(1, 0);

/// On-CPU time of processes by CPU (switch tier with type information). An entry is made at the fork, or at the first switch
/// of a process that is older, and removed with the process. Full: the switch is counted in [`SWITCH`], and the next pass of
/// user space reads every process from `/proc`.
#[map]
pub(crate) static RUN_TIMES: PerCpuHashMap<Identity, RunTime> =
    PerCpuHashMap::with_max_entries(RUN_TIMES_ENTRIES, 0);

/// The entry of each process in the switch tier without type information. The program makes it at the birth of the process,
/// or user space does if the process is older; it is removed with the process. Full: the birth is counted in [`SWITCH`], and
/// user space reads the process from `/proc` at each pass until the entry finds a place.
#[map]
pub(crate) static TRACED: HashMap<u32, Traced> = HashMap::with_max_entries(RUN_TIMES_ENTRIES, 0);

/// The switch program's own state. Cannot be full.
#[map]
pub(crate) static SWITCH: PerCpuArray<SwitchTotals> = PerCpuArray::with_max_entries(1, 0);

/// Waits by slot (collector of run-queue latency). User space sets the number of slots, by the number of groups that it may
/// have, and assigns them; a slot takes 184 bytes on each CPU. Cannot be full.
#[map]
pub(crate) static RUN_QUEUE: PerCpuArray<RunQueueWaits> = PerCpuArray::with_max_entries(1, 0);

/// The slot of each process, by tgid. From birth it is the slot of the parent; an exec sets the slot of its comm; after each
/// pass user space sets the slot of the process's group. The entry is removed with the process. Full: the process counts for
/// the unknown group, and its birth is counted in [`RUN_QUEUE_TOTALS`].
#[map]
pub(crate) static RUN_QUEUE_SLOTS: HashMap<u32, u32> =
    HashMap::with_max_entries(RUN_QUEUE_ENTRIES, 0);

/// The slot that an exec of a comm gives to its process, as user space has set it. Full: a comm that user space cannot add
/// has no entry, and an exec of it gives the slot of the unknown group; user space tries again after each pass.
#[map]
pub(crate) static RUN_QUEUE_COMM_SLOTS: HashMap<Comm, u32> =
    HashMap::with_max_entries(RUN_QUEUE_COMMS, 0);

/// A number that user space changes whenever it changes the slot of a process. A slot that is stored with a thread is valid
/// only while this number is the same. Cannot be full.
#[map]
pub(crate) static RUN_QUEUE_GENERATION: Array<u32> = Array::with_max_entries(1, 0);

/// Each thread at its last switch, by tid. An entry lasts from the first switch of the thread to its last one. Full: of
/// further threads only the first wait is counted by slot; the others are counted in [`RUN_QUEUE_TOTALS`] only.
#[map]
pub(crate) static RUN_QUEUE_THREADS: HashMap<u32, RunQueueThread> =
    HashMap::with_max_entries(RUN_QUEUE_ENTRIES, 0);

/// Waits and births that the programs could not count properly. Cannot be full.
#[map]
pub(crate) static RUN_QUEUE_TOTALS: PerCpuArray<RunQueueTotals> =
    PerCpuArray::with_max_entries(1, 0);
