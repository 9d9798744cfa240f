//! The network programs for kernels whose tracing programs have no socket storage, no atomic exchange and no helper that gives
//! a socket as a BTF pointer: Linux 5.10. They are those of ../network but for where the storage of a socket is, how a gain is
//! claimed and how fields are read.
//!
//! ```text
//! ../network: state.rs, files.rs, living.rs, end.rs, account.rs
//!                 |            |                |
//!           storages.rs     field.rs       exchange.rs
//!          hash by socket   probe_read     under a claim (claims.rs)
//! ```
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

#[path = "../network/account.rs"]
mod account;
#[path = "../network/atomic.rs"]
mod atomic;
mod calls;
mod claims;
#[path = "../current.rs"]
mod current;
#[path = "../network/end.rs"]
mod end;
mod exchange;
mod field;
#[path = "../network/files.rs"]
mod files;
#[path = "../network/handover.rs"]
mod handover;
#[allow(dead_code, reason = "the network programs read few fields of tasks")]
#[path = "../kernel.rs"]
mod kernel;
#[path = "../network/living.rs"]
mod living;
#[path = "../network/maps.rs"]
mod maps;
#[path = "../no_preempt.rs"]
mod no_preempt;
#[path = "../network/socket.rs"]
mod socket;
mod sockets;
#[path = "../network/state.rs"]
mod state;
#[path = "../network/storage.rs"]
mod storage;
mod storages;
#[path = "../network/system_call.rs"]
mod system_call;
#[path = "../network/udp.rs"]
mod udp;

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
