//! How a socket changes hands without a change of its state. A look at the files of all processes finds which process has a
//! descriptor; these programs note when such a look is necessary.
//!
//! ```text
//! accept                          security_sock_graft    the current process owns the connection
//! fork                            sched_process_fork     --> GIVERS: the parent
//! receipt over a Unix socket      security_file_receive  --> GIVERS: the owner of the socket
//! close by another process        state.rs               --> GIVERS: that process
//! ```
//!
//! After a look, the owner keeps the socket until it has closed its descriptor, and another process has got one: it had one at
//! the look (`Kept::is_shared`), or the owner is in [`GIVERS`] since. User space attaches all programs of this file or none;
//! without them it looks at files at each pass.

use aya_ebpf::macros::{btf_tracepoint, fentry};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext};

use crate::current::NO_PROCESS;
use crate::files;
use crate::kernel::Task;
use crate::maps::{GIVERS, LOOK, giver_place};
use crate::socket::Sock;
use crate::state::current;

/// Kernel: `trace_sched_process_fork(struct task_struct *parent, struct task_struct *child)`, before the child runs.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sock_fork(context: BtfTracePointContext) -> i32 {
    if let (Some(parent), Some(child)) = (Task::new(context.arg(0)), Task::new(context.arg(1)))
        && child.is_leader()
    {
        note_giver(parent.tgid(), 0);
    }
    0
}

/// Kernel: `int security_file_receive(struct file *file)`, when a process receives a descriptor over a Unix socket or takes one by
/// `pidfd_getfd`, before it can use it.
#[fentry(function = "security_file_receive")]
pub fn sock_receive(context: FEntryContext) -> i32 {
    if let Some(kept) = files::kept_of(context.arg(0)) {
        // A look that begins now may not find the descriptor yet, so only the one after it is sure to.
        note_giver(kept.owner().tgid, 1);
    }
    0
}

/// Kernel: `void security_sock_graft(struct sock *sk, struct socket *parent)`, in `accept`, with the socket locked. For a
/// subflow of MPTCP the kernel does not call it.
#[fentry(function = "security_sock_graft")]
pub fn sock_accept(context: FEntryContext) -> i32 {
    let sock = Sock(context.arg(0));
    if sock.is_tcp() {
        accept(sock);
    }
    0
}

#[inline(always)]
fn accept(sock: Sock) -> Option<()> {
    let kept = files::kept_or_made(sock)?;
    let process = current();
    // The acceptor is the only process that has a descriptor, so it is no giver.
    if process.tgid != NO_PROCESS.tgid {
        kept.own(process);
    }
    None
}

/// Notes that this process may have given a socket away, until a look at files that begins after `looks` more looks.
#[inline(always)]
pub(crate) fn note_giver(tgid: u32, looks: u32) {
    if let (Some(look), Some(place)) = (LOOK.get(0), GIVERS.get_ptr_mut(giver_place(tgid))) {
        // SAFETY: a map value.
        unsafe { place.write(look.number as u32 + looks) };
    }
}

/// Whether this process may have given a socket away since the look number `last_files` at files.
#[inline(always)]
pub(crate) fn has_given(tgid: u32, last_files: u64) -> bool {
    let noted = GIVERS.get(giver_place(tgid));
    noted.is_some_and(|look| u64::from(*look) >= last_files)
}
