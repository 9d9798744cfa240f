//! The look of user space at each socket that has a storage: a program credits the traffic of the socket so far, and adds the
//! socket to the gauges of its owner.

use agent_common::NetworkGauges;

use crate::account::{Gain, credit, owner_sums};
use crate::handover::has_given;
use crate::maps::LOOK;
use crate::socket::{CLOSE, Carried, ESTABLISHED, LISTEN, Sock, TcpSock, is_open};
use crate::storage::{AWAITED, DONE, Kept, mark_of};

/// One socket. `kept`: its storage.
#[inline(always)]
pub(crate) fn visit(sock: Sock, kept: Kept) -> Option<()> {
    // SAFETY: a map value; one look at a time goes on, and between its steps user space writes it.
    let look = unsafe { &mut *LOOK.get_ptr_mut(0)? };
    let (number, is_sure) = (look.number, look.files == 1);
    let tcp = sock.tcp()?;
    let carried = sock.carried_so_far(tcp, kept.received());
    let state = sock.state();
    // Read last: the kernel may destroy the socket meanwhile and use its memory for another one, which sets the mark before.
    if kept.is(DONE) {
        return None;
    }
    // A closed socket has been credited, and the kernel may be resetting its totals, one after the other.
    let is_reset = state == CLOSE && !kept.is(AWAITED);
    let is_doubtful = !is_reset && is_doubtful(sock, kept, carried, look.last_files);
    if is_doubtful {
        look.doubtful += 1;
    }
    if is_sure {
        kept.hand_over(mark_of(number));
    }
    let sums = owner_sums(kept, kept.scope(sock));
    // Without a look at the files, payload of a doubtful owner has to wait: a credit is final.
    if !is_reset && (is_sure || !is_doubtful) {
        credit(sums, kept, Gain::of_living(kept, carried));
    }
    // SAFETY: a map value; one look at a time goes on, and only it uses the gauges.
    let gauges = unsafe { &mut (*sums?).gauges };
    if gauges.look != number {
        *gauges = NetworkGauges {
            look: number,
            ..NetworkGauges::default()
        };
    }
    add_to(gauges, sock, tcp, state);
    None
}

/// Whether only a look at files shows which process owns the socket, or its payload since the last such look. A socket
/// without a file belongs to a guessed owner as long as no process has accepted it.
#[inline(always)]
fn is_doubtful(sock: Sock, kept: Kept, carried: Carried, last_files: u64) -> bool {
    has_given(kept.owner().tgid, last_files)
        || (kept.is_shared(mark_of(last_files)) || kept.is_guessed() && sock.has_file())
            && Gain::is_waiting(kept, carried)
}

#[inline(always)]
fn add_to(gauges: &mut NetworkGauges, sock: Sock, tcp: TcpSock, state: i32) {
    match state {
        ESTABLISHED => {
            gauges.established += 1;
            let rtt_us = tcp.rtt_us();
            if rtt_us != 0 {
                gauges.rtt_sum_us += u64::from(rtt_us);
                gauges.rtt_count += 1;
                gauges.rtt_max_us = gauges.rtt_max_us.max(rtt_us);
            }
        }
        LISTEN => {
            gauges.listen += 1;
            gauges.listen_queue += u64::from(sock.backlog());
            gauges.listen_queue_limit += u64::from(sock.backlog_limit());
        }
        state if is_open(state) => gauges.closing += 1,
        _ => gauges.other += 1,
    }
}
