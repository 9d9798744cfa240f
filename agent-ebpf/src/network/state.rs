//! `inet_sock_set_state` and `tcp_destroy_sock`: the life of each TCP socket. Both run with the socket locked.
//!
//! ```text
//! LISTEN, SYN_SENT       the current process owns it
//! SYN_RECV               a listener's child: the kernel has copied the listener's storage; the owner stays
//! ESTABLISHED            opened
//! FIN_WAIT1, LAST_ACK    the current process closes it, and owns it from now on
//! CLOSE                  credited and counted as closed; failures by the socket's error
//! destroyed              the same where it was left out
//! ```
//!
//! In any other state the current process is the one that an interrupt found, so the programs do not look at it.

use agent_common::{
    FAILURE_OTHER, FAILURE_REFUSED, FAILURE_RESET, FAILURE_TIMEOUT, FAILURE_UNREACHABLE, Identity,
    SCOPE_LISTEN,
};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::account::add_total;
use crate::calls::current_task;
use crate::current::{NO_PROCESS, process_of};
use crate::end::{End, NO_FAILURE};
use crate::handover::note_giver;
use crate::socket::{
    CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT, Sock,
    agent_tgid, is_open,
};
use crate::storage::{
    AWAITED, DONE, Kept, OPENED, ROLE_CLIENT, ROLE_LISTENER, ROLE_SERVER, SCOPE_UNKNOWN, Storage,
};
use crate::storages;
use crate::system_call::is_reading;

/// Kernel: `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, before the change.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn sock_state(context: BtfTracePointContext) -> i32 {
    let sock = Sock(context.arg(0));
    let (old, new): (i32, i32) = (context.arg(1), context.arg(2));
    let is_news = matches!(
        new,
        SYN_SENT | LISTEN | SYN_RECV | ESTABLISHED | FIN_WAIT1 | LAST_ACK | CLOSE
    );
    if is_news && sock.is_tcp() {
        change(sock, old, new);
    }
    0
}

/// Kernel: `trace_tcp_destroy_sock(struct sock *sk)`, in process or interrupt context, once for each full socket.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn sock_destroy(context: BtfTracePointContext) -> i32 {
    let sock = Sock(context.arg(0));
    if sock.is_tcp() {
        destroy(sock);
    }
    0
}

/// The current process; [`NO_PROCESS`] for a thread of the kernel.
#[inline(always)]
pub(crate) fn current() -> Identity {
    process_of(current_task())
}

#[inline(always)]
fn change(sock: Sock, old: i32, new: i32) -> Option<()> {
    match new {
        SYN_SENT => begin(sock, &Storage::begin(current(), ROLE_CLIENT, sock.scope())),
        LISTEN => begin(
            sock,
            &Storage::begin(current(), ROLE_LISTENER, SCOPE_LISTEN),
        ),
        SYN_RECV if old == SYN_SENT => None,
        SYN_RECV => begin_child(sock),
        ESTABLISHED | FIN_WAIT1 | LAST_ACK | CLOSE => go_on(sock, old, new),
        _ => None,
    }
}

/// Begins the storage of a socket anew; makes it if there is none.
#[inline(always)]
fn begin(sock: Sock, begun: &Storage) -> Option<()> {
    if storages::begin(sock, begun).is_none() {
        add_total!(storage_full, 1);
    }
    None
}

/// Begins a connection of a listener. The listener's owner is a guess: it is not known yet which process will accept it.
#[inline(always)]
fn begin_child(sock: Sock) -> Option<()> {
    // Without a storage, the listener is older than the programs, and no look has found it yet.
    let owner = storages::owner_of_listener(sock).unwrap_or(NO_PROCESS);
    begin(
        sock,
        &Storage::begin(owner, ROLE_SERVER, SCOPE_UNKNOWN).as_guess(),
    )
}

/// The storage of a socket whose connection has begun.
#[inline(always)]
fn kept(sock: Sock, old: i32, new: i32) -> Option<Kept> {
    if let Some(kept) = storages::of(sock) {
        // A child whose SYN_RECV was missed still has the listener's marks.
        if kept.role() == ROLE_LISTENER && old != LISTEN {
            begin_child(sock);
        }
        return Some(kept);
    }
    if new == CLOSE {
        return None;
    }
    let unseen = match old {
        SYN_SENT => Storage::begin(NO_PROCESS, ROLE_CLIENT, SCOPE_UNKNOWN),
        SYN_RECV => Storage::begin(NO_PROCESS, ROLE_SERVER, SCOPE_UNKNOWN),
        _ => Storage::of_older(sock, sock.carried(sock.tcp()?)),
    };
    let made = storages::of_or(sock, &unseen);
    if made.is_none() {
        add_total!(storage_full, 1);
    }
    made
}

/// Nothing is credited before the end; if a look comes first, it credits what there is until then.
#[inline(always)]
fn go_on(sock: Sock, old: i32, new: i32) -> Option<()> {
    let kept = kept(sock, old, new)?;
    if !kept.is(OPENED) && (new == ESTABLISHED || is_open(old)) {
        kept.open(sock.scope());
    }
    if is_closed_by_current(sock, old, new) {
        own_by_current(kept);
    }
    if new != CLOSE {
        return None;
    }
    let error = sock.error();
    let failure = if old != LISTEN && (error != 0 || old == SYN_SENT) {
        failure(error)
    } else {
        NO_FAILURE
    };
    if error != 0 && kept.is_guessed() && sock.is_held() {
        kept.await_close(failure);
        return None;
    }
    end(sock, kept, failure)
}

#[inline(always)]
fn own_by_current(kept: Kept) {
    let closer = current();
    if closer.tgid != NO_PROCESS.tgid && closer.tgid != agent_tgid() && !is_reading() {
        // Another one may have a descriptor, too, if this is no `close` but a `shutdown`.
        if kept.own(closer) {
            note_giver(closer.tgid, 0);
        }
    }
}

/// Whether the current process closes the connection. In SYN_RECV, an interrupt may pass on an earlier close.
#[inline(always)]
fn is_closed_by_current(sock: Sock, old: i32, new: i32) -> bool {
    match new {
        FIN_WAIT1 => old != SYN_RECV,
        LAST_ACK => true,
        // A close that sends a RST, because data was not read. If the kernel ends a connection, it sets an error before; if the
        // listener is closed, it does not shut down its children.
        CLOSE => {
            (old == ESTABLISHED || old == CLOSE_WAIT) && sock.error() == 0 && sock.is_shut_down()
        }
        _ => false,
    }
}

/// The number of the failure by `sk_err` (errno.h), from 1 on. An attempt that the process gave up has error 0, and counts as
/// [`FAILURE_OTHER`].
#[inline(always)]
fn failure(error: i32) -> u32 {
    let reason = match error {
        111 => FAILURE_REFUSED,
        110 => FAILURE_TIMEOUT,
        // ENONET, ENOPROTOOPT, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH: what ICMP messages become.
        64 | 92 | 100 | 101 | 112 | 113 => FAILURE_UNREACHABLE,
        // EPIPE, ECONNRESET.
        32 | 104 => FAILURE_RESET,
        _ => FAILURE_OTHER,
    };
    reason as u32 + 1
}

/// Credits the rest, and counts the end of a connection or of the attempt to establish one.
#[inline(always)]
fn end(sock: Sock, kept: Kept, failure: u32) -> Option<()> {
    storages::settle(sock, kept, &End::of(sock, kept, failure)?);
    None
}

/// The kernel has reset the totals of a connection that no process accepted; their change to CLOSE credited them.
#[inline(always)]
fn destroy(sock: Sock) -> Option<()> {
    let kept = storages::of(sock)?;
    if kept.is(DONE) {
        return None;
    }
    let mut failure = NO_FAILURE;
    if kept.is(AWAITED) {
        own_by_current(kept);
        failure = kept.failure();
    }
    let end = End::of(sock, kept, failure)?;
    storages::finish(sock, kept, &end);
    None
}
