//! The request programs of Headcount: the HTTP/1 exchanges that each process serves. An object of their own, loaded only if a
//! group wants it: its programs run at every send and receive of the node.
//!
//! ```text
//! sock_recv_length     --> receive.rs --+   call.rs: the user's buffer     +--> REQUESTS: counts by process
//! sock_send_length     --> send.rs    --+-> head.rs: is it a head? --> count.rs
//! inet_recvmsg, ...    --> functions.rs |   instead of both, before Linux 6.3
//! inet_sock_set_state  --> state.rs   --+   exchange.rs: the socket's state +--> REQUEST_TOTALS: uncounted events
//!                                           times.rs: the kernel's own times of the socket
//! sched_process_exec   --> watch.rs         which processes are watched
//! sched_process_exit   --> watch.rs         when they end
//! signal_generate      --> kill.rs   --> KILLED: processes that their parent kills; attached only for Gunicorn
//! iterators            --> abandoned.rs     requests whose socket is gone
//! ```
//!
//! In: arguments of the hooks, the first bytes of the buffers that processes send and receive, kernel fields, and from user space
//! the processes that are not watched. Out: sums in maps. No content leaves the programs. Assigning processes to groups is left to
//! user space.
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

mod abandoned;
#[allow(dead_code, reason = "these programs need few of the changes")]
#[path = "../network/atomic.rs"]
mod atomic;
mod call;
mod count;
#[path = "../current.rs"]
mod current;
mod exchange;
#[path = "../field.rs"]
mod field;
mod functions;
mod head;
#[allow(dead_code, reason = "the request programs read few fields of tasks")]
#[path = "../kernel.rs"]
mod kernel;
mod kill;
mod maps;
mod receive;
mod send;
mod socket;
#[path = "../socket_storage.rs"]
mod socket_storage;
mod state;
#[allow(dead_code, reason = "these programs need one of the changes")]
#[path = "../network/exchange.rs"]
mod swap;
mod times;
mod walk;
mod watch;

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
