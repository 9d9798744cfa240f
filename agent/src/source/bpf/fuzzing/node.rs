//! A model of a small node: the use of its processes, and the bytes that the kernel programs write about them.

use std::collections::BTreeMap;

use agent_common::{
    ARGV_CUT, ExecHead, ExecRecord, ExitRecord, ForkRecord, Identity, LeaderRecord,
    OVERFLOW_EXECED, OVERFLOW_EXITED, OVERFLOW_FORKED, OVERFLOW_RELEASED, OverflowRecord,
    ReleaseRecord, ThreadRecord, Totals, kind,
};
use bytemuck::Zeroable;

/// A process: the use of its main thread and its dead threads (`own`), and its other threads (id, start, use).
#[derive(Debug, Clone)]
pub(super) struct NodeProcess {
    pub(super) id: Identity,
    pub(super) own: Totals,
    pub(super) threads: Vec<(u32, u64, Totals)>,
}

/// Adds word by word.
pub(super) fn add(sum: &mut Totals, more: &Totals) {
    let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(sum));
    let more: &[u64] = bytemuck::cast_slice(std::slice::from_ref(more));
    words
        .iter_mut()
        .zip(more)
        .for_each(|(word, more)| *word += more);
}

impl NodeProcess {
    pub(super) fn new(tgid: u32, start_ns: u64) -> Self {
        let id = Identity {
            tgid,
            start_ns,
            zero: 0,
        };
        Self {
            id,
            own: Totals::default(),
            threads: Vec::new(),
        }
    }

    /// The use of all threads, live and dead.
    pub(super) fn all(&self) -> Totals {
        let mut all = self.own;
        self.threads
            .iter()
            .for_each(|(.., used)| add(&mut all, used));
        all
    }

    /// Appends the records that the iterator returns for this process.
    pub(super) fn records(&self, out: &mut Vec<u8>) {
        let threads = u32::try_from(self.threads.len()).unwrap_or_default() + 1;
        let leader = LeaderRecord {
            kind: kind::LEADER,
            state: 1,
            parent_tgid: 1,
            id: self.id,
            totals: self.own,
            threads,
            ..LeaderRecord::zeroed()
        };
        out.extend(bytemuck::bytes_of(&leader));
        if threads > 1 {
            out.extend(bytemuck::bytes_of(&self.thread(
                self.id.tgid,
                self.id.start_ns,
                &self.own,
            )));
        }
        for (tid, start_ns, used) in &self.threads {
            out.extend(bytemuck::bytes_of(&self.thread(*tid, *start_ns, used)));
        }
    }

    fn thread(&self, tid: u32, start_ns: u64, used: &Totals) -> ThreadRecord {
        ThreadRecord {
            kind: kind::THREAD,
            state: 1,
            tid,
            tgid: self.id.tgid,
            start_ns,
            utime_ns: used.utime_ns,
            stime_ns: used.stime_ns,
            runtime_ns: used.runtime_ns,
            minor_faults: used.minor_faults,
            major_faults: used.major_faults,
            voluntary_switches: used.voluntary_switches,
            nonvoluntary_switches: used.nonvoluntary_switches,
            read_bytes: used.read_bytes,
            write_bytes: used.write_bytes,
            run_delay_ns: used.run_delay_ns,
            ..ThreadRecord::zeroed()
        }
    }
}

/// A record that has not reached the agent yet.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Fork(ForkRecord),
    Exec(Box<ExecRecord>, Vec<u8>),
    Exit(ExitRecord),
    Release(ReleaseRecord),
}

impl Record {
    pub(super) fn fork(child: Identity, parent: Identity) -> Self {
        let kind = kind::FORK;
        Self::Fork(ForkRecord {
            kind,
            zero: 0,
            child,
            parent,
        })
    }

    pub(super) fn exec(id: Identity, time_ns: u64, totals: Totals, argv: &[u8]) -> Self {
        let mut record = ExecRecord {
            kind: kind::EXEC,
            id,
            time_ns,
            totals,
            ..ExecRecord::zeroed()
        };
        record.head = ExecHead {
            comm: *b"program\0\0\0\0\0\0\0\0\0",
            parent_tgid: 1,
            argv_len: u32::try_from(argv.len()).unwrap_or_default(),
            ..ExecHead::zeroed()
        };
        Self::Exec(Box::new(record), argv.to_vec())
    }

    pub(super) fn exit(id: Identity, time_ns: u64, totals: Totals, wait_status: u32) -> Self {
        Self::Exit(ExitRecord {
            kind: kind::EXIT,
            id,
            time_ns,
            totals,
            wait_status,
            ..ExitRecord::zeroed()
        })
    }

    pub(super) fn release(id: Identity, time_ns: u64, totals: Totals) -> Self {
        Self::Release(ReleaseRecord {
            kind: kind::RELEASE,
            id,
            time_ns,
            totals,
            parent_tgid: 1,
            ..ReleaseRecord::zeroed()
        })
    }

    /// The bytes of the record in the ring.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Fork(record) => bytemuck::bytes_of(record).to_vec(),
            Self::Exec(record, argv) => {
                let mut bytes = [bytemuck::bytes_of(&**record), argv].concat();
                bytes.resize(bytes.len().next_multiple_of(8), 0);
                bytes
            }
            Self::Exit(record) => bytemuck::bytes_of(record).to_vec(),
            Self::Release(record) => bytemuck::bytes_of(record).to_vec(),
        }
    }

    fn id(&self) -> Identity {
        match self {
            Self::Fork(record) => record.child,
            Self::Exec(record, _) => record.id,
            Self::Exit(record) => record.id,
            Self::Release(record) => record.id,
        }
    }

    /// Merges the record into the overflow hash, as the programs in agent-ebpf do.
    pub(super) fn merge(&self, hash: &mut BTreeMap<(u64, u32), OverflowRecord>) {
        let id = self.id();
        let merged = hash
            .entry((id.start_ns, id.tgid))
            .or_insert_with(OverflowRecord::zeroed);
        match self {
            Self::Fork(record) => {
                merged.flags |= OVERFLOW_FORKED;
                merged.parent = record.parent;
            }
            Self::Exec(record, _) => {
                if merged.flags & OVERFLOW_EXECED == 0 {
                    merged.exec_totals = record.totals;
                    merged.exec_flags = record.head.flags;
                }
                merged.last_exec_totals = record.totals;
                merged.flags |= OVERFLOW_EXECED;
                merged.execs += 1;
                merged.exec_time_ns = record.time_ns;
                merged.head = ExecHead {
                    argv_len: 0,
                    flags: record.head.flags | ARGV_CUT,
                    ..record.head
                };
            }
            Self::Exit(record) => {
                merged.flags |= OVERFLOW_EXITED;
                merged.exit_time_ns = record.time_ns;
                merged.wait_status = record.wait_status;
                merged.totals = record.totals;
            }
            Self::Release(record) => {
                merged.flags |= OVERFLOW_RELEASED;
                merged.release_time_ns = record.time_ns;
                merged.totals = record.totals;
                merged.parent_tgid = record.parent_tgid;
            }
        }
    }
}
