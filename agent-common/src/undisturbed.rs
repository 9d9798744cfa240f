//! Calls that user space puts in before the programs are loaded, because rustc knows no functions of the kernel.

/// In the place of a call of `bpf_preempt_disable`: a helper that no kernel has.
pub const KEEP_CPU: i32 = 0x7eac_0001;

/// In the place of a call of `bpf_preempt_enable`.
pub const YIELD_CPU: i32 = 0x7eac_0002;
