//! Every map: why this size, and what happens when it is full.

use crate::exec::PAGE_BYTES;
use agent_common::{
    ARGV_BYTES, COARSE_ENTRIES, CoarseSums, Comm, Control, ExecRecord, Identity, NodeTotals,
    OverflowRecord, RUN_QUEUE_COMMS, RUN_QUEUE_ENTRIES, RUN_TIMES_ENTRIES, RunQueueThread,
    RunQueueTotals, RunQueueWaits, RunTime, SwitchTotals, Traced,
};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};

/// Records on their way to user space. 1 MiB holds about 1,500 lives of fork, exec, exit and release; user space may
/// set another size. Full: the overflow hash.
#[map]
pub(crate) static RING: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Records that found the ring full, one entry a process; two generations, so that user space empties one while the
/// other fills. 8,192 entries are a minute of 136 short processes a second with the agent stopped; user space may set
/// another size. Full: the sums by comm.
#[map]
pub(crate) static OVERFLOW_0: HashMap<Identity, OverflowRecord> =
    HashMap::with_max_entries(8192, 0);
/// The other generation.
#[map]
pub(crate) static OVERFLOW_1: HashMap<Identity, OverflowRecord> =
    HashMap::with_max_entries(8192, 0);

/// Sums by comm, per CPU: what found the hash full too. Two generations, which change places with those of the hash: user space
/// empties one while the other fills. 84 KiB on each CPU. Full: [`COARSE_REST`].
#[map]
pub(crate) static COARSE_0: PerCpuHashMap<Comm, CoarseSums> =
    PerCpuHashMap::with_max_entries(COARSE_ENTRIES, 0);
/// The other generation.
#[map]
pub(crate) static COARSE_1: PerCpuHashMap<Comm, CoarseSums> =
    PerCpuHashMap::with_max_entries(COARSE_ENTRIES, 0);

/// The sum without a name. Cannot be full.
#[map]
pub(crate) static COARSE_REST: PerCpuArray<CoarseSums> = PerCpuArray::with_max_entries(1, 0);

/// True totals of the node, and what was lost. Cannot be full.
#[map]
pub(crate) static NODE: PerCpuArray<NodeTotals> = PerCpuArray::with_max_entries(1, 0);

/// Processes whose exit record was sent lately. Two threads of a process that exit at once may both find that no other thread lives; the
/// second one finds the process here and sends nothing. A process that never had a second thread is here on tracepoints only.
/// Full: the kernel removes the entry that was used least recently. If 1,024 processes end between the exits of two such threads, both
/// send a record: of two in the ring or the hash user space counts one, in the sums by comm both count.
#[map]
pub(crate) static ENDED: LruHashMap<Identity, u32> = LruHashMap::with_max_entries(1024, 0);

/// Processes whose leader ends, or has ended, before another thread: the kernel may release such a leader where no program runs,
/// and then its free is the end of the process. From the release of the first such thread to that of the leader. The value is 1
/// where the totals are told already. Full: the kernel forgets the one that came longest ago, and the next pass closes such a process.
#[map]
pub(crate) static LEFT_LEADERS: LruHashMap<Identity, u32> = LruHashMap::with_max_entries(1024, 0);

/// What user space tells the running programs.
#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// An exec record, its arguments, and room for one more piece of them: the verifier bounds the place of a piece and its
/// length each by itself, by a mask, and never their sum. A per-CPU value may have 32 KiB.
#[repr(C)]
pub(crate) struct ExecScratch {
    pub(crate) record: ExecRecord,
    pub(crate) argv: [u8; ARGV_BYTES],
    slack: [u8; PAGE_BYTES],
}

/// Where an exec record is put together: it is larger than a program's stack. One program uses it, and the kernel
/// never runs a program twice at once on one CPU. 20 KiB on each CPU.
#[map]
pub(crate) static EXEC_SCRATCH: PerCpuArray<ExecScratch> = PerCpuArray::with_max_entries(1, 0);

/// Cgroups in which an exec was told: one in another wakes the reader, so that it finds out which that is while it is there. The
/// kernel forgets the one that was used longest ago.
#[map]
pub(crate) static CGROUPS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(4096, 0);

/// Up to when wakes of the reader for what only it can find out are used up, nanoseconds since boot. Cannot be full.
#[map]
pub(crate) static WOKEN: Array<u64> = Array::with_max_entries(1, 0);

/// On-CPU time of processes by CPU (switch tier). Entries are made at the fork, or at the first switch of an older process,
/// and go with the process. Full: counted in [`SWITCH`], and user space reads every process once.
#[map]
pub(crate) static RUN_TIMES: PerCpuHashMap<Identity, RunTime> =
    PerCpuHashMap::with_max_entries(RUN_TIMES_ENTRIES, 0);

/// What is known of each process (switch tier without type information): made at its birth, or by user space if it is
/// older, and gone with it. Full: counted in [`SWITCH`], and user space reads it at each pass until it finds a place.
#[map]
pub(crate) static TRACED: HashMap<u32, Traced> = HashMap::with_max_entries(RUN_TIMES_ENTRIES, 0);

/// The switch program's own state. Cannot be full.
#[map]
pub(crate) static SWITCH: PerCpuArray<SwitchTotals> = PerCpuArray::with_max_entries(1, 0);

/// Waits by slot (collector of run-queue latency). User space sets the number of slots, one more for each group there may
/// be, and hands them out; a slot takes 184 bytes on each CPU. Cannot be full.
#[map]
pub(crate) static RUN_QUEUE: PerCpuArray<RunQueueWaits> = PerCpuArray::with_max_entries(1, 0);

/// The slot of each process, by tgid: its parent's from its birth, what its comm says from an exec, else what user space
/// says, which looks at all processes at each scrape. Goes with the process. Full: the process is of no known group,
/// counted in [`RUN_QUEUE_TOTALS`].
#[map]
pub(crate) static RUN_QUEUE_SLOTS: HashMap<u32, u32> =
    HashMap::with_max_entries(RUN_QUEUE_ENTRIES, 0);

/// What an exec of a comm does with the process's slot, as user space says. Full: user space begins anew.
#[map]
pub(crate) static RUN_QUEUE_COMM_SLOTS: HashMap<Comm, u32> =
    HashMap::with_max_entries(RUN_QUEUE_COMMS, 0);

/// How often user space has changed slots since the start: what is remembered with a thread is of one such time.
#[map]
pub(crate) static RUN_QUEUE_GENERATION: Array<u32> = Array::with_max_entries(1, 0);

/// Each thread at its last switch, by tid; from its first switch to its last one. Full: the waits of further threads but
/// their first are counted in [`RUN_QUEUE_TOTALS`] only.
#[map]
pub(crate) static RUN_QUEUE_THREADS: HashMap<u32, RunQueueThread> =
    HashMap::with_max_entries(RUN_QUEUE_ENTRIES, 0);

/// What could not be counted. Cannot be full.
#[map]
pub(crate) static RUN_QUEUE_TOTALS: PerCpuArray<RunQueueTotals> =
    PerCpuArray::with_max_entries(1, 0);
