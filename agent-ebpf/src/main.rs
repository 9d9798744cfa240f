//! The kernel programs of Headcount.
//!
//! ```text
//! sched_process_fork --> fork.rs    --+
//! task_newtask       --> thread.rs  --> NodeTotals: counts threads only
//! sched_process_exec --> exec.rs    --+--> maps.rs: ring, else overflow hash, else sums by comm
//! sched_process_exit --> exit.rs    --+
//! release_task | sched_process_free --> release.rs (beside release_task, another program is at sched_process_free)
//! iter/task          --> task.rs    --> user space reads it at each scrape
//! sched_switch       --> switch.rs  --> map of run times (switch tier only)
//! the same events as classic tracepoints --> tracepoint/ (switch tier where the kernel has no type information)
//! sched_switch       --> runqueue.rs --> histograms of waits by slot (collector of run-queue latency only)
//! ```
//!
//! In: arguments of the hooks, kernel fields (all read in kernel.rs), and settings from user space (`Layout`, `Control`). Out:
//! records and counts in maps. The programs count and copy; user space decides to which group a value belongs. State that
//! outlives a hook is in bounded maps only; maps.rs states the effect when one is full.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "BPF has 64-bit registers; what is narrowed here the verifier has bounded"
)]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "by value, a map entry would be copied to a stack of 512 bytes"
)]
#![allow(
    unreachable_pub,
    reason = "a program's entry must be `pub` for the linker, not for another module"
)]

mod emit;
mod exec;
mod exit;
mod field;
mod fork;
mod kernel;
mod maps;
mod no_preempt;
mod release;
mod runqueue;
mod switch;
mod task;
mod thread;
mod tracepoint;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never runs: the verifier refuses a program that could get here.
    loop {}
}

/// The kernel offers some helpers only to programs under a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
