//! The kernel programs of Headcount.
//!
//! ```text
//! sched_process_fork --> fork.rs    --+
//! task_newtask       --> thread.rs  --> NodeTotals: threads are counted, no more
//! sched_process_exec --> exec.rs    --+--> maps.rs: ring, else overflow hash, else sums by comm
//! sched_process_exit --> exit.rs    --+
//! release_task | sched_process_free --> release.rs (the former has another program at the latter beside it)
//! iter/task          --> task.rs    --> read by user space at each scrape
//! sched_switch       --> switch.rs  --> map of run times (switch tier only)
//! the same from tracepoints --> traced/ (switch tier where the kernel has no type information)
//! sched_switch       --> runqueue.rs --> histograms of waits by slot (collector of run-queue latency only)
//! ```
//!
//! They count and copy; user space attributes. None of them keeps state per process, except the switch tier's
//! bounded map. Every kernel field is read in kernel.rs.
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
mod fork;
mod kernel;
mod maps;
mod release;
mod runqueue;
mod switch;
mod task;
mod thread;
mod traced;
mod undisturbed;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never linked: the verifier refuses a program that could get here.
    loop {}
}

/// The kernel gives some helpers only to programs under its own licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
