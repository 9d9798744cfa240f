//! Label values for the self-test, the facts and their origins.

use crate::source::{Fact, Origin, SelfTest};

pub(super) const SELF_TESTS: [(SelfTest, &str); 4] = [
    (SelfTest::None, "none"),
    (SelfTest::Pending, "pending"),
    (SelfTest::Passed, "passed"),
    (SelfTest::Failed, "failed"),
];

pub(super) const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Bpf => "bpf",
        Origin::Procfs => "procfs",
        Origin::Absent => "absent",
    }
}

pub(super) const fn fact(fact: Fact) -> &'static str {
    match fact {
        Fact::Cpu => "cpu",
        Fact::CpuSplit => "cpu_split",
        Fact::Io => "io",
        Fact::Memory => "memory",
        Fact::Faults => "faults",
        Fact::Switches => "switches",
        Fact::RunQueueWait => "run_queue_wait",
        Fact::RunQueueLatency => "run_queue_latency",
        Fact::Threads => "threads",
        Fact::Wchan => "wchan",
        Fact::OpenFiles => "open_files",
        Fact::FileLimit => "file_limit",
        Fact::Lifecycle => "lifecycle",
        Fact::ExitStatus => "exit_status",
        Fact::FinalIoFaults => "final_io_faults",
        Fact::Names => "names",
        Fact::Proportional => "proportional_memory",
    }
}
