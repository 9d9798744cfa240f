//! Calls that user space puts in before the programs are loaded, because rustc knows no functions of the kernel.

/// In the place of a call of `bpf_preempt_disable`: a helper that no kernel has.
pub const KEEP_CPU: i32 = 0x7eac_0001;

/// In the place of a call of `bpf_preempt_enable`.
pub const YIELD_CPU: i32 = 0x7eac_0002;

/// In the place of a call of `bpf_local_irq_save`.
pub const STOP_INTERRUPTS: i32 = 0x7eac_0003;

/// In the place of a call of `bpf_local_irq_restore`.
pub const TAKE_INTERRUPTS: i32 = 0x7eac_0004;

/// All of them.
pub const MARKERS: [i32; 4] = [KEEP_CPU, YIELD_CPU, STOP_INTERRUPTS, TAKE_INTERRUPTS];
