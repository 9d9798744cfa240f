//! Calls that user space puts in before the programs are loaded, because rustc knows no functions of the kernel.

/// From here on the CPU is this program's. Like all of them a call of a helper that no kernel has.
pub const KEEP_CPU: i32 = 0x7eac_0001;

/// Others may have the CPU.
pub const YIELD_CPU: i32 = 0x7eac_0002;

/// No interrupts until [`TAKE_INTERRUPTS`]; takes the address of a word for what was before.
pub const STOP_INTERRUPTS: i32 = 0x7eac_0003;

/// As it was before; takes the same address.
pub const TAKE_INTERRUPTS: i32 = 0x7eac_0004;

/// Each marker, and the function of the kernel.
pub const FUNCTIONS: [(i32, &str); 4] = [
    (KEEP_CPU, "bpf_preempt_disable"),
    (YIELD_CPU, "bpf_preempt_enable"),
    (STOP_INTERRUPTS, "bpf_local_irq_save"),
    (TAKE_INTERRUPTS, "bpf_local_irq_restore"),
];
