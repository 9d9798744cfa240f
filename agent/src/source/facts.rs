//! Where each fact comes from: the one table of facts.
//!
//! In: the tier and the exit hook that run, and the missing features of this node. Out: the origin of each fact, for
//! `headcount_source_info` and for the families that are left out where a fact has no source.

/// How the agent accounts the use of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    /// Kernel programs report births, execs and ends; each scrape reads all live tasks through the task iterator.
    Iterator,
    /// Kernel programs report births, execs and ends, and add up the on-CPU time of each process; each scrape reads processes
    /// that ran from `/proc`.
    Switch,
    /// `/proc` only.
    #[default]
    Procfs,
}

impl Tier {
    /// Its name in flags, labels and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Iterator => "iterator",
            Self::Switch => "switch",
            Self::Procfs => "procfs",
        }
    }
}

/// The hook from which the final totals of a process come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitHook {
    /// `fentry/release_task`: at once.
    Release,
    /// `tp_btf/sched_process_free`: after an RCU grace period.
    Free,
    /// `tracepoint/sched/sched_switch`, when the last thread is switched out for the last time: at once, but CPU time and
    /// context switches only.
    LastSwitch,
}

impl ExitHook {
    /// Its name in labels and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Free => "free",
            Self::LastSwitch => "last_switch",
        }
    }
}

/// The source of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The kernel programs.
    Bpf,
    /// The kernel programs, which keep the payload of sockets in a hash, because the kernel cannot keep it with the socket.
    BpfHash,
    /// `/proc`.
    Procfs,
    /// No source: the metric families that need the fact are left out.
    Absent,
}

impl Origin {
    /// Its name in labels.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::BpfHash => "bpf_hash",
            Self::Procfs => "procfs",
            Self::Absent => "absent",
        }
    }
}

/// Makes [`Fact`] from one row for each fact.
macro_rules! facts {
    ($(
        $(#[doc = $doc:literal])+
        $fact:ident $word:literal $iterator:ident $switch:ident $traced:ident $procfs:ident $fallback:ident;
    )+) => {
        /// One kind of fact.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fact {
            $( $(#[doc = $doc])+ $fact, )+
        }

        impl Fact {
            /// All facts, in the order in which `headcount_source_info` lists them.
            pub const ALL: &[Self] = &[$(Self::$fact),+];

            /// Its name in labels.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$fact => $word,)+ }
            }

            /// Its origin in each of the four setups, and its fallback.
            const fn origins(self) -> Origins {
                match self {
                    $(Self::$fact => Origins {
                        iterator: Origin::$iterator,
                        switch: Origin::$switch,
                        traced: Origin::$traced,
                        procfs: Origin::$procfs,
                        fallback: Origin::$fallback,
                    },)+
                }
            }
        }
    };
}

/// The columns of the table.
struct Origins {
    iterator: Origin,
    /// The switch tier with the kernel's type information.
    switch: Origin,
    /// The switch tier on classic tracepoints.
    traced: Origin,
    procfs: Origin,
    /// The origin on a node that lacks the fact's source in the columns before: the kernel is built without the fields, a CPU
    /// has no tick, or the operator has not turned the source on. A fact that no node lacks never uses it.
    fallback: Origin,
}

facts! {
    // fact          word                  iterator switch traced procfs fallback
    /// CPU time.
    Cpu             "cpu"                  Bpf    Procfs Procfs Procfs Absent;
    /// Split of CPU time into user and system time. Where a CPU has no tick, only `/proc` splits it right.
    CpuSplit        "cpu_split"            Bpf    Procfs Procfs Procfs Procfs;
    /// Storage IO.
    Io              "io"                   Bpf    Procfs Procfs Procfs Absent;
    /// Resident, virtual and swapped memory.
    Memory          "memory"               Bpf    Procfs Procfs Procfs Procfs;
    /// Page faults.
    Faults          "faults"               Bpf    Procfs Procfs Procfs Absent;
    /// Context switches.
    Switches        "switches"             Bpf    Procfs Procfs Procfs Absent;
    /// Total time that threads waited for a CPU.
    RunQueueWait    "run_queue_wait"       Bpf    Absent Absent Absent Absent;
    /// Thread count and states.
    Threads         "threads"              Bpf    Procfs Procfs Procfs Absent;
    /// Wait channels.
    Wchan           "wchan"                Procfs Procfs Procfs Procfs Absent;
    /// Open file descriptors.
    OpenFiles       "open_files"           Procfs Procfs Procfs Procfs Absent;
    /// Limit of open file descriptors.
    FileLimit       "file_limit"           Bpf    Procfs Procfs Procfs Absent;
    /// Births, execs and ends of processes.
    Lifecycle       "lifecycle"            Bpf    Bpf    Bpf    Absent Absent;
    /// How processes ended: exit code, signal, OOM kill.
    ExitStatus      "exit_status"          Bpf    Bpf    Absent Absent Absent;
    /// Storage IO and page faults of a process after the last pass that saw it.
    FinalIoFaults   "final_io_faults"      Bpf    Bpf    Absent Absent Absent;
    /// The names by which a process is assigned to a group.
    Names           "names"                Procfs Procfs Procfs Procfs Absent;
    /// Proportional memory (`smaps_rollup`).
    Proportional    "proportional_memory"  Procfs Procfs Procfs Procfs Absent;
    /// Waits for a CPU by length (histogram).
    RunQueueLatency "run_queue_latency"    Bpf    Bpf    Absent Absent Absent;
    /// The payload of sockets.
    Network         "network"              Bpf    Bpf    Absent Absent Absent;
    /// Bytes sent and received over UDP.
    Udp             "network_udp"          Bpf    Bpf    Absent Absent Absent;
    /// HTTP requests that are served.
    Http            "http"                 Bpf    Bpf    Absent Absent Absent;
    /// Responses behind the first one in a send.
    HttpPipelines   "http_pipelines"       Bpf    Bpf    Absent Absent Absent;
}

impl Fact {
    /// Its origin where this tier and exit hook run. `is_lacking`: this node lacks the source that the fact would have.
    pub const fn origin(self, tier: Tier, exit_hook: Option<ExitHook>, is_lacking: bool) -> Origin {
        let origins = self.origins();
        match (tier, exit_hook) {
            _ if is_lacking => origins.fallback,
            (Tier::Iterator, _) => origins.iterator,
            (Tier::Switch, Some(ExitHook::LastSwitch)) => origins.traced,
            (Tier::Switch, _) => origins.switch,
            (Tier::Procfs, _) => origins.procfs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_have_words_of_their_own() {
        for (index, fact) in Fact::ALL.iter().enumerate() {
            let later = &Fact::ALL[index + 1..];
            assert!(later.iter().all(|other| other.word() != fact.word()));
        }
    }

    #[test]
    fn each_setup_takes_its_facts_from_its_own_sources() {
        let free = Some(ExitHook::Free);
        let traced = Some(ExitHook::LastSwitch);
        let words = |tier, exit_hook| {
            let of = |fact: &Fact| fact.origin(tier, exit_hook, false).word();
            [Fact::Cpu, Fact::Lifecycle, Fact::ExitStatus].map(|fact| of(&fact))
        };
        assert_eq!(words(Tier::Iterator, free), ["bpf", "bpf", "bpf"]);
        assert_eq!(words(Tier::Switch, free), ["procfs", "bpf", "bpf"]);
        assert_eq!(words(Tier::Switch, traced), ["procfs", "bpf", "absent"]);
        assert_eq!(words(Tier::Procfs, None), ["procfs", "absent", "absent"]);
        let lacking = |fact: Fact| fact.origin(Tier::Iterator, free, true);
        assert_eq!(lacking(Fact::Memory), Origin::Procfs);
        assert_eq!(lacking(Fact::Io), Origin::Absent);
    }
}
