//! What the switch tier's programs need where the kernel has no type information: where tracepoints keep what, and what
//! is known of each process.

use crate::ABSENT;
use bytemuck::{Pod, Zeroable};

/// In [`Traced::live`] and [`Traced::left`]: how many threads it has is not known, because it was there before the
/// programs. Threads that come and go do not change that: half of it still is.
pub const UNCOUNTED: i64 = i64::MAX / 2;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $event:literal . $field:literal : $bytes:literal;)*) => {
        /// Byte offsets of tracepoint fields, read from the running kernel's tracefs; [`ABSENT`] where it has none.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
        pub struct TraceFields {
            $($(#[$doc])* #[doc = concat!("`", $event, "`: `", $field, "`")] pub $name: u32,)*
        }

        impl TraceFields {
            /// Nothing known.
            pub const ABSENT: Self = Self { $($name: ABSENT,)* };

            /// Each field's event, name and size in bytes, in the order of the struct.
            pub const FIELDS: &'static [(&'static str, &'static str, u32)] = &[$(($event, $field, $bytes),)*];

            /// The offsets that `find` gives for (event, field, size in bytes).
            pub fn resolve(mut find: impl FnMut(&str, &str, u32) -> Option<u32>) -> Self {
                Self { $($name: find($event, $field, $bytes).unwrap_or(ABSENT),)* }
            }
        }
    };
}

fields! {
    newtask_pid = "task/task_newtask"."pid": 4;
    newtask_flags = "task/task_newtask"."clone_flags": 8;
    /// Offset and length of the text, in one word.
    exec_filename = "sched/sched_process_exec"."filename": 4;
    exec_old_pid = "sched/sched_process_exec"."old_pid": 4;
    switch_prev_state = "sched/sched_switch"."prev_state": 8;
    switch_next_pid = "sched/sched_switch"."next_pid": 4;
    free_pid = "sched/sched_process_free"."pid": 4;
}

/// A process, keyed by its tgid.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Traced {
    /// When it was born, nanoseconds since boot: a moment after `task_struct.start_boottime`. Older than the programs:
    /// as `/proc` shows it.
    pub start_ns: u64,
    /// The same by the clock of the switches (`bpf_ktime_get_ns`); 0: older than the programs.
    pub born_ns: u64,
    /// Time its tasks were on a CPU since its birth, the stretches that go on excluded.
    pub run_ns: u64,
    /// Times its tasks gave a CPU up.
    pub voluntary_switches: u64,
    /// Times a CPU was taken from its tasks.
    pub nonvoluntary_switches: u64,
    /// Threads that have not begun to exit; from [`UNCOUNTED`] / 2 on it is not known.
    pub live: i64,
    /// Threads that may still run; as above.
    pub left: i64,
    /// Who forked it; 0 where that is not known.
    pub parent_tgid: u32,
    /// Always 0.
    pub zero: u32,
}
