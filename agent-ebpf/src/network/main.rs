//! The network programs of Headcount: count the bytes that each process has sent and received over TCP and UDP. An object of
//! their own, so that nothing of them is loaded if the collector is off, and a program that the kernel refuses here does not
//! affect the other programs.
//!
//! ```text
//! inet_sock_set_state  --> state.rs  --+                          +--> OWNERS: sums by process
//! tcp_destroy_sock     --> state.rs  --+--> account.rs: storage --+
//! iter/task_file       --> files.rs  --+    of each socket        +--> NETWORK: sums of the node
//! accept, fork, ...    --> handover.rs +                          |
//! iter/bpf_sk_storage_map --> living.rs                           |
//! sock_send_length, sock_recv_length --> udp.rs ------------------+
//! ```
//!
//! For TCP there is no program at sends and receives. The kernel keeps totals of each socket; each byte of them is credited once, to
//! the process that owns the socket when a program looks at it: at a change of its state, at its end, and when user space
//! looks at all living sockets. Of UDP the kernel keeps no totals, so the programs of udp.rs run at each send and receive; user
//! space attaches them only if the operator wants to know.
//!
//! In: arguments of the hooks, kernel fields (sockets in socket.rs, tasks in ../kernel.rs), and settings from user space. Out:
//! sums in maps. Assigning processes to groups is left to user space.
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

mod account;
mod atomic;
mod calls;
#[path = "../current.rs"]
mod current;
mod end;
mod exchange;
#[path = "../field.rs"]
mod field;
mod files;
mod handover;
#[allow(dead_code, reason = "the network programs read few fields of tasks")]
#[path = "../kernel.rs"]
mod kernel;
mod living;
mod maps;
#[path = "../no_preempt.rs"]
mod no_preempt;
mod socket;
#[path = "../socket_storage.rs"]
mod socket_storage;
mod sockets;
mod state;
mod storage;
mod storages;
mod system_call;
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
