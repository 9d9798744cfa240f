//! Converts the iterator's bytes to a pass.
//!
//! In: records of all live tasks, in the order of thread ids; the kernel (`seq_file`) returns up to 32 KiB for each read. Out:
//! a [`Pass`]. Computing differences and booking them is left to the process table.

use std::collections::HashMap;
use std::io::{self, Read};
use std::num::NonZeroU64;

use agent_common::{
    ABSENT, DeadThreadsRecord, Identity, Layout, LeaderRecord, ThreadRecord, Totals, kind,
};

use super::visited::{Visited, totals};
use crate::process::{
    Counters, Cpu, Faults, Io, Memory, Pass, ProcessId, Sample, State, Switches, ThreadSample,
};
use crate::source::Fact;

/// Maximum bytes that the kernel returns for one read.
const READ_BYTES: usize = 32 * 1024;
/// Kernel: `TASK_*` and `EXIT_*` bits of include/linux/sched.h, the same from 5.8 to 7.2.
const TASK_REPORT: u32 = 0x7f;
const TASK_IDLE: u32 = 0x402;
const TASK_FROZEN: u32 = 0x8000;
const TASK_RTLOCK_WAIT: u32 = 0x1000;

/// The facts that the records of this kernel carry.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    io: bool,
    run_delay: bool,
    fd_limit: bool,
    memory: bool,
    page_bytes: u64,
}

impl Carried {
    /// The facts for which this kernel has the fields.
    pub fn new(layout: &Layout, page_bytes: u64) -> Self {
        let offsets = &layout.offsets;
        Self {
            io: [
                offsets.task_read_bytes,
                offsets.task_write_bytes,
                offsets.signal_read_bytes,
                offsets.signal_write_bytes,
            ]
            .iter()
            .all(|offset| *offset != ABSENT),
            run_delay: offsets.task_run_delay != ABSENT,
            fd_limit: offsets.signal_rlim != ABSENT,
            memory: layout.rss_stride != ABSENT && offsets.mm_total_vm != ABSENT,
            page_bytes,
        }
    }

    /// Whether the records lack `fact`, which those of other kernels carry.
    pub(super) const fn lacks(self, fact: Fact) -> bool {
        match fact {
            Fact::Io => !self.io,
            Fact::Memory => !self.memory,
            Fact::RunQueueWait => !self.run_delay,
            Fact::FileLimit => !self.fd_limit,
            _ => false,
        }
    }

    fn bytes(self, pages: u64) -> u64 {
        pages.saturating_mul(self.page_bytes)
    }

    /// Converts totals to the counters of the process table. Facts that the records do not carry are `None`.
    pub(super) fn counters(self, totals: &Totals) -> Counters {
        Counters {
            cpu: shown_cpu(totals),
            faults: Faults {
                major: totals.major_faults,
                minor: totals.minor_faults,
            },
            io: self.io.then_some(Io {
                read_bytes: totals.read_bytes,
                write_bytes: totals.write_bytes,
            }),
            switches: Some(Switches {
                voluntary: totals.voluntary_switches,
                nonvoluntary: totals.nonvoluntary_switches,
            }),
            run_queue_wait_ns: self.run_delay.then_some(totals.run_delay_ns),
        }
    }
}

/// The split of CPU time as `/proc/<pid>/stat` would show it now (kernel: `cputime_adjust`): the precise run time, split in the
/// ratio of the sampled times, with neither part below the kernel's former value.
pub(super) fn shown_cpu(totals: &Totals) -> Cpu {
    let runtime = totals.runtime_ns;
    let (shown_user, shown_system) = (totals.shown_utime_ns, totals.shown_stime_ns);
    if shown_user.saturating_add(shown_system) >= runtime {
        return Cpu {
            user_ns: shown_user,
            system_ns: shown_system,
        };
    }
    let system = if totals.stime_ns == 0 {
        0
    } else if totals.utime_ns == 0 {
        runtime
    } else {
        let sampled = u128::from(totals.utime_ns) + u128::from(totals.stime_ns);
        let scaled = u128::from(totals.stime_ns) * u128::from(runtime) / sampled;
        u64::try_from(scaled).unwrap_or(runtime)
    };
    let system = system.max(shown_system);
    let user = runtime.saturating_sub(system).max(shown_user);
    Cpu {
        user_ns: user,
        system_ns: runtime.saturating_sub(user),
    }
}

/// The state of a task, as the kernel's `task_state_index` computes it, mapped to [`State`].
fn state(state: u32, exit_state: u32) -> State {
    let shown = if state & TASK_IDLE == TASK_IDLE {
        return State::Other;
    } else if state & (TASK_RTLOCK_WAIT | TASK_FROZEN) != 0 {
        2
    } else {
        (state | exit_state) & TASK_REPORT
    };
    // The highest bit decides.
    match 32 - shown.leading_zeros() {
        0 => State::Running,
        1 => State::Sleeping,
        2 => State::Waiting,
        6 => State::Zombie,
        _ => State::Other,
    }
}

pub(super) fn process_id(id: &Identity) -> ProcessId {
    ProcessId {
        tgid: id.tgid,
        start_ns: id.start_ns,
    }
}

/// The records read from the iterator so far. Processes with several threads are completed at the end, because their threads may
/// come before or after the leader.
#[derive(Debug)]
pub struct Snapshot {
    carried: Carried,
    processes: Vec<Sample>,
    leaders: Vec<LeaderRecord>,
    threads: Vec<ThreadSample>,
    /// The use of the threads of each process, by its tgid.
    visited: HashMap<u32, Visited>,
}

impl Snapshot {
    /// An empty snapshot. `expected`: about how many processes will come.
    pub fn new(carried: Carried, expected: usize) -> Self {
        Self {
            carried,
            processes: Vec::with_capacity(expected),
            leaders: Vec::new(),
            threads: Vec::new(),
            visited: HashMap::new(),
        }
    }

    /// Reads the iterator to its end.
    ///
    /// # Errors
    /// When a read fails, or a record is cut or of an unknown kind.
    pub fn read(&mut self, iterator: &mut impl Read) -> io::Result<()> {
        // A buffer of words, so that records are aligned and need not be copied.
        let mut words = vec![0_u64; READ_BYTES / size_of::<u64>()];
        let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        loop {
            match iterator.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => self.take(&buffer[..len]).ok_or_else(|| {
                    io::Error::other("the task iterator gave a record of no known kind")
                })?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let first = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
            let len = match first {
                kind::LEADER => size_of::<LeaderRecord>(),
                kind::THREAD => size_of::<ThreadRecord>(),
                kind::DEAD_THREADS => size_of::<DeadThreadsRecord>(),
                _ => return None,
            };
            let record = bytes.get(..len)?;
            if first == kind::THREAD {
                let thread: &ThreadRecord = bytemuck::try_from_bytes(record).ok()?;
                self.visited.entry(thread.tgid).or_default().add(thread);
                self.threads.push(thread_sample(thread, self.carried));
            } else if first == kind::DEAD_THREADS {
                let sums: &DeadThreadsRecord = bytemuck::try_from_bytes(record).ok()?;
                let visited = self.visited.entry(sums.id.tgid).or_default();
                visited.dead.get_or_insert((sums.id, sums.totals));
            } else {
                let leader: &LeaderRecord = bytemuck::try_from_bytes(record).ok()?;
                if leader.threads > 1 {
                    self.leaders.push(*leader);
                } else {
                    self.processes.push(sample(leader, self.carried));
                }
            }
            bytes = &bytes[len..];
        }
        Some(())
    }

    /// Converts the records to a pass that began at `started_ns`.
    pub fn pass(mut self, started_ns: u64) -> Pass {
        for mut leader in self.leaders {
            if let Some(visited) = self.visited.get(&leader.id.tgid) {
                leader.totals = visited.complete(&leader);
            }
            self.processes.push(sample(&leader, self.carried));
        }
        self.threads
            .sort_unstable_by_key(|thread| (thread.tgid, thread.tid));
        Pass {
            started_ns,
            finals_follow: true,
            processes: self.processes,
            threads: self.threads,
            switches_by_thread: false,
            unread: Vec::new(),
            from_procfs: Vec::new(),
            in_no_group: Vec::new(),
            memory_elsewhere: !self.carried.memory,
        }
    }
}

fn sample(leader: &LeaderRecord, carried: Carried) -> Sample {
    Sample {
        effective_uid: None,
        has_borrowed_ids: leader.borrows_ids != 0,
        id: process_id(&leader.id),
        parent: leader.parent_tgid,
        state: state(leader.state, leader.exit_state),
        counters: carried.counters(&leader.totals),
        memory: Memory {
            resident_bytes: carried.bytes(leader.rss_pages),
            virtual_bytes: carried.bytes(leader.total_vm_pages),
            swapped_bytes: carried.bytes(leader.swap_pages),
        },
        threads: leader.threads,
        fd_limit: carried.fd_limit.then_some(leader.fd_limit),
        cgroup_id: NonZeroU64::new(leader.cgroup_id),
        // The sum over all threads, so it changes when any thread of the process ran.
        ran_marker: leader.totals.runtime_ns,
    }
}

fn thread_sample(thread: &ThreadRecord, carried: Carried) -> ThreadSample {
    ThreadSample {
        tgid: thread.tgid,
        tid: thread.tid,
        start_ns: thread.start_ns,
        state: state(thread.state, thread.exit_state),
        ran_marker: thread.runtime_ns,
        name: thread.comm,
        counters: carried.counters(&totals(thread)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn states_are_grouped_as_their_letters() {
        // Kernel values: R, S, D, T, t, X, Z, P, I (idle kernel thread), D (frozen).
        let cases = [
            (0, 0, State::Running),
            (1, 0, State::Sleeping),
            (2, 0, State::Waiting),
            (4, 0, State::Other),
            (8, 0, State::Other),
            (0x80, 0x10, State::Other),
            (0x80, 0x20, State::Zombie),
            (0x40, 0, State::Other),
            (TASK_IDLE, 0, State::Other),
            (TASK_FROZEN, 0, State::Waiting),
        ];
        for (bits, exit, expected) in cases {
            assert_eq!(state(bits, exit), expected, "{bits:#x} {exit:#x}");
        }
    }

    #[test]
    fn the_split_follows_the_kernel() {
        let totals = |utime_ns, stime_ns, runtime_ns| Totals {
            utime_ns,
            stime_ns,
            runtime_ns,
            ..Totals::default()
        };
        let cpu = |user_ns, system_ns| Cpu { user_ns, system_ns };
        assert_eq!(shown_cpu(&totals(0, 0, 700)), cpu(700, 0));
        assert_eq!(shown_cpu(&totals(0, 5, 700)), cpu(0, 700));
        assert_eq!(shown_cpu(&totals(30, 10, 800)), cpu(600, 200));
        let shown = Totals {
            shown_utime_ns: 10,
            shown_stime_ns: 500,
            ..totals(30, 10, 800)
        };
        assert_eq!(shown_cpu(&shown), cpu(300, 500));
        let stale = Totals {
            shown_utime_ns: 500,
            shown_stime_ns: 500,
            ..totals(30, 10, 800)
        };
        assert_eq!(shown_cpu(&stale), cpu(500, 500));
    }

    #[test]
    fn foreign_or_cut_records_are_refused() {
        let carried = Carried::new(&Layout::ABSENT, 4096);
        let mut snapshot = Snapshot::new(carried, 0);
        assert!(snapshot.take(&[9, 0, 0, 0]).is_none());
        let record = LeaderRecord {
            kind: kind::LEADER,
            ..bytemuck::Zeroable::zeroed()
        };
        let bytes = bytemuck::bytes_of(&record);
        assert!(snapshot.take(bytes).is_some());
        assert!(snapshot.take(&bytes[..bytes.len() - 1]).is_none());
        let pass = snapshot.pass(0);
        assert_eq!(pass.processes.len(), 1);
        let wanted = HashSet::from([pass.processes[0].id]);
        assert!(pass.cgroup_ids(&wanted).is_empty(), "0 is none");
    }

    #[test]
    fn impossible_numbers_of_a_record_saturate() {
        let mut leader = LeaderRecord {
            kind: kind::LEADER,
            threads: 2,
            rss_pages: u64::MAX,
            ..bytemuck::Zeroable::zeroed()
        };
        leader.totals.minor_faults = u64::MAX;
        let thread = ThreadRecord {
            kind: kind::THREAD,
            tid: 1,
            minor_faults: 1,
            ..bytemuck::Zeroable::zeroed()
        };
        let mut snapshot = Snapshot::new(Carried::new(&Layout::ABSENT, 4096), 0);
        for bytes in [bytemuck::bytes_of(&leader), bytemuck::bytes_of(&thread)] {
            assert!(snapshot.take(bytes).is_some());
        }
        let pass = snapshot.pass(5);
        assert_eq!(pass.processes[0].counters.faults.minor, u64::MAX);
        assert_eq!(pass.processes[0].memory.resident_bytes, u64::MAX);
    }

    #[test]
    fn threads_are_added_to_their_leader_whichever_comes_first() {
        let thread = |tid| ThreadRecord {
            kind: kind::THREAD,
            tgid: 7,
            tid,
            runtime_ns: 10,
            comm: *b"worker\0\0\0\0\0\0\0\0\0\0",
            ..bytemuck::Zeroable::zeroed()
        };
        let mut leader = LeaderRecord {
            kind: kind::LEADER,
            threads: 3,
            ..bytemuck::Zeroable::zeroed()
        };
        leader.id.tgid = 7;
        leader.totals.runtime_ns = 1;
        leader.cgroup_id = 21;
        let mut snapshot = Snapshot::new(Carried::new(&Layout::ABSENT, 4096), 0);
        for bytes in [
            bytemuck::bytes_of(&thread(3)),
            bytemuck::bytes_of(&leader),
            bytemuck::bytes_of(&thread(7)),
            bytemuck::bytes_of(&thread(9)),
        ] {
            assert!(snapshot.take(bytes).is_some());
        }
        let pass = snapshot.pass(5);
        assert_eq!(
            pass.processes[0].ran_marker, 21,
            "the main thread's own is in the leader's record"
        );
        let id = process_id(&leader.id);
        assert_eq!(
            pass.cgroup_ids(&HashSet::from([id])),
            HashMap::from([(id, 21)])
        );
        assert!(pass.cgroup_ids(&HashSet::new()).is_empty());
        let tids: Vec<u32> = pass.threads.iter().map(|thread| thread.tid).collect();
        assert_eq!(tids, [3, 7, 9]);
        assert!(
            pass.threads
                .iter()
                .all(|thread| &thread.name == b"worker\0\0\0\0\0\0\0\0\0\0")
        );
    }
}
