//! Markers for calls of kernel functions. rustc cannot emit such calls, so the programs contain markers, and user space
//! replaces these in the object before it loads the programs.

/// Disables preemption, so that the program keeps its CPU. Like all markers it is the number of a helper that no kernel has.
pub const KEEP_CPU: i32 = 0x7eac_0001;

/// Enables preemption again.
pub const YIELD_CPU: i32 = 0x7eac_0002;

/// Disables interrupts until [`TAKE_INTERRUPTS`]. Its argument is the address of a word that receives the former state.
pub const STOP_INTERRUPTS: i32 = 0x7eac_0003;

/// Restores the interrupts from the word at the same address.
pub const TAKE_INTERRUPTS: i32 = 0x7eac_0004;

/// Each marker, and the name of the kernel function that replaces it.
pub const FUNCTIONS: [(i32, &str); 4] = [
    (KEEP_CPU, "bpf_preempt_disable"),
    (YIELD_CPU, "bpf_preempt_enable"),
    (STOP_INTERRUPTS, "bpf_local_irq_save"),
    (TAKE_INTERRUPTS, "bpf_local_irq_restore"),
];
