//! A node in bytes: the output of its task iterator and its ring, in the same records as those of the kernel programs.
//!
//! Made and not recorded: the bytes are the same on every machine and for every commit, so the instructions that they cost
//! can be compared.

use agent_common::{
    Comm, ExecHead, ExecRecord, ExitRecord, ForkRecord, Identity, LeaderRecord, ReleaseRecord,
    ThreadRecord, Totals, kind,
};
use bytemuck::{Zeroable as _, bytes_of};

/// Most bytes that the kernel gives for one read.
const READ_BYTES: usize = 32 * 1024;
/// Names that processes and programs share.
const COMMS: u32 = 50;
/// One process in so many has [`THREADS`] threads.
const THREADED: u32 = 50;
const THREADS: u32 = 8;
/// One process in so many runs between two scrapes of a node that is not idle.
const RUNNING: u32 = 100;
/// Between the births of two processes.
const APART_NS: u64 = 1_000_003;
/// Between the process numbers of two processes: there is room for the threads of the first.
const NUMBERS: u32 = 10;
/// The parent of all programs.
const SHELL: u32 = 100;

/// Live processes, with their use.
#[derive(Debug)]
pub struct Recording {
    leaders: Vec<LeaderRecord>,
}

impl Recording {
    /// `processes` of them, older than the agent.
    pub fn new(processes: u32) -> Self {
        Self {
            leaders: (0..processes).map(leader).collect(),
        }
    }

    /// Some of them run: every hundredth, at each call others.
    pub fn run(&mut self, round: usize) {
        let first = round % RUNNING as usize;
        for leader in self
            .leaders
            .iter_mut()
            .skip(first)
            .step_by(RUNNING as usize)
        {
            leader.totals.runtime_ns += 2_000_000;
            leader.totals.utime_ns += 2_000_000;
            leader.totals.voluntary_switches += 1;
        }
    }

    /// The output of the iterator, read by read: as many whole records as fit.
    pub fn tasks(&self) -> Vec<Vec<u8>> {
        let mut reads = vec![Vec::new()];
        let mut add = |record: &[u8]| {
            if reads
                .last()
                .is_none_or(|read| read.len() + record.len() > READ_BYTES)
            {
                reads.push(Vec::new());
            }
            if let Some(read) = reads.last_mut() {
                read.extend_from_slice(record);
            }
        };
        for leader in &self.leaders {
            add(bytes_of(leader));
            if leader.threads > 1 {
                (0..leader.threads).for_each(|number| add(bytes_of(&thread(leader, number))));
            }
        }
        reads
    }
}

/// The name of the process with this number.
pub fn comm(tgid: u32) -> Comm {
    let mut comm = Comm::default();
    let name = format!("replay-{}", tgid / NUMBERS % COMMS);
    comm[..name.len()].copy_from_slice(name.as_bytes());
    comm
}

fn leader(number: u32) -> LeaderRecord {
    let is_threaded = number % THREADED == THREADED - 1;
    LeaderRecord {
        kind: kind::LEADER,
        state: 1,
        parent_tgid: 1,
        id: Identity {
            start_ns: 1_000_000_000 + u64::from(number) * APART_NS,
            tgid: SHELL + number * NUMBERS,
            zero: 0,
        },
        totals: totals(number),
        rss_pages: 500,
        total_vm_pages: 2000,
        fd_limit: 1024,
        cgroup_id: 1,
        threads: if is_threaded { THREADS } else { 1 },
        ..LeaderRecord::zeroed()
    }
}

fn thread(leader: &LeaderRecord, number: u32) -> ThreadRecord {
    ThreadRecord {
        kind: kind::THREAD,
        state: 1,
        tid: leader.id.tgid + number,
        tgid: leader.id.tgid,
        start_ns: leader.id.start_ns + u64::from(number),
        utime_ns: 3_000_000,
        stime_ns: 1_000_000,
        runtime_ns: 4_100_000,
        comm: comm(leader.id.tgid),
        ..ThreadRecord::zeroed()
    }
}

fn totals(number: u32) -> Totals {
    let number = u64::from(number);
    Totals {
        utime_ns: 4_000_000 * (number % 7),
        stime_ns: 4_000_000 * (number % 3),
        runtime_ns: 5_000_000 + 1_000 * number,
        minor_faults: 100 + number,
        voluntary_switches: 3,
        read_bytes: 4096 * number,
        run_delay_ns: 10_000,
        ..Totals::default()
    }
}

/// The records in the ring for the life of program number `number`: fork, exec, exit, final totals.
pub fn launch(number: u32) -> [Vec<u8>; 4] {
    // Above all numbers of processes that live on.
    let tgid = 3_000_000 + number * NUMBERS;
    let start_ns = 1_000_000_000_000 + u64::from(number) * APART_NS;
    let id = Identity {
        start_ns,
        tgid,
        zero: 0,
    };
    let fork = ForkRecord {
        kind: kind::FORK,
        child: id,
        parent: leader(0).id,
        zero: 0,
    };
    let argv = b"/bin/true\0--some\0argument\0";
    let exec = ExecRecord {
        kind: kind::EXEC,
        old_tid: tgid,
        id,
        time_ns: start_ns + 100_000,
        totals: totals(1),
        head: ExecHead {
            cgroup_id: 1,
            comm: comm(tgid),
            parent_tgid: SHELL,
            argv_len: 26,
            ..ExecHead::zeroed()
        },
    };
    let exit = ExitRecord {
        kind: kind::EXIT,
        id,
        time_ns: start_ns + 500_000,
        totals: totals(2),
        ..ExitRecord::zeroed()
    };
    let release = ReleaseRecord {
        kind: kind::RELEASE,
        id,
        time_ns: start_ns + 600_000,
        totals: totals(3),
        comm: comm(tgid),
        parent_tgid: SHELL,
        ..ReleaseRecord::zeroed()
    };
    let mut exec = [bytes_of(&exec), argv].concat();
    exec.resize(exec.len().next_multiple_of(8), 0);
    [bytes_of(&fork), &exec, bytes_of(&exit), bytes_of(&release)].map(<[u8]>::to_vec)
}
