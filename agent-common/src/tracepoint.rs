//! Data of the switch tier's programs on classic tracepoints, where the kernel has no type information: the offsets of
//! tracepoint fields, and the entry that the programs keep of each process.

use bytemuck::{Pod, Zeroable};

use crate::ABSENT;

/// Start value of [`Traced::live`] and [`Traced::left`] for a process that is older than the programs, whose number of threads
/// is therefore unknown. Later threads add to it and subtract from it, so every value from half of it on means unknown.
pub const UNCOUNTED: i64 = i64::MAX / 2;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $event:literal . $field:literal : $bytes:literal;)*) => {
        /// Byte offsets of tracepoint fields, read from the running kernel's tracefs; [`ABSENT`] where the event lacks the field.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
        pub struct TraceFields {
            $($(#[$doc])* #[doc = concat!("`", $event, "`: `", $field, "`")] pub $name: u32,)*
        }

        impl TraceFields {
            /// No field is known.
            pub const ABSENT: Self = Self { $($name: ABSENT,)* };

            /// Each field's event, name and size in bytes, in the order of the struct.
            pub const FIELDS: &'static [(&'static str, &'static str, u32)] = &[$(($event, $field, $bytes),)*];

            /// The offsets that `find` returns for each (event, field, size in bytes); [`ABSENT`] where it returns `None`.
            pub fn resolve(mut find: impl FnMut(&str, &str, u32) -> Option<u32>) -> Self {
                Self { $($name: find($event, $field, $bytes).unwrap_or(ABSENT),)* }
            }
        }
    };
}

fields! {
    newtask_pid = "task/task_newtask"."pid": 4;
    newtask_flags = "task/task_newtask"."clone_flags": 8;
    /// Offset (low 16 bits) and length (high 16 bits) of the text within the tracepoint's record.
    exec_filename = "sched/sched_process_exec"."filename": 4;
    exec_old_pid = "sched/sched_process_exec"."old_pid": 4;
    switch_prev_state = "sched/sched_switch"."prev_state": 8;
    switch_next_pid = "sched/sched_switch"."next_pid": 4;
    free_pid = "sched/sched_process_free"."pid": 4;
}

/// The entry of a process. The map's key is its tgid.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Traced {
    /// Time of birth, nanoseconds since boot: a moment after `task_struct.start_boottime`. For a process older than the
    /// programs, the start time that `/proc` shows.
    pub start_ns: u64,
    /// Time of birth by the clock that the switch program reads (`bpf_ktime_get_ns`), nanoseconds; 0 if older than the programs.
    pub born_ns: u64,
    /// Time that its tasks were on a CPU since its birth, without runs that still go on.
    pub run_ns: u64,
    /// Number of times its tasks gave up a CPU.
    pub voluntary_switches: u64,
    /// Number of times a CPU was taken from its tasks.
    pub nonvoluntary_switches: u64,
    /// Threads that have not begun to exit; unknown from [`UNCOUNTED`] / 2 on.
    pub live: i64,
    /// Threads that have not been switched out for the last time; unknown from [`UNCOUNTED`] / 2 on.
    pub left: i64,
    /// The process that forked it; 0 if unknown.
    pub parent_tgid: u32,
    /// Always 0.
    pub zero: u32,
}
