//! The end of a connection, or of the attempt to establish one: its traffic in all, and how it ended.

use crate::account::{Gain, add_count, add_more, credit, owner_sums};
use crate::socket::{Carried, Sock};
use crate::storage::{CLOSED, Kept, OPENED};

/// In [`End::failure`]: there was none. The others are the numbers of agent-common, from 1 on.
pub(crate) const NO_FAILURE: u32 = 0;

/// See the module. It does not need the socket any more.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct End {
    carried: Carried,
    scope: u32,
    failure: u32,
    /// The round trip time, microseconds.
    rtt_us: u32,
    /// 1 if an established connection was closed, and this was not counted.
    is_closed: u32,
}

impl End {
    /// The end of the connection of this socket, whose lock the caller holds. It counts as closed from now on.
    #[inline(always)]
    pub(crate) fn of(sock: Sock, kept: Kept, failure: u32) -> Option<Self> {
        let tcp = sock.tcp()?;
        let is_closed = kept.is(OPENED) && !kept.is(CLOSED);
        if is_closed {
            kept.mark(CLOSED);
        }
        Some(Self {
            carried: sock.carried(tcp),
            scope: kept.scope(sock),
            failure,
            rtt_us: tcp.rtt_us(),
            is_closed: u32::from(is_closed),
        })
    }

    /// Credits the rest that the socket carried, and counts the end.
    #[inline(always)]
    pub(crate) fn credit(&self, kept: Kept) -> Option<()> {
        let gain = Gain::of_locked(kept, self.carried);
        // Mostly at the destruction. The owner may be gone by then, and user space may have removed its sums.
        if gain.is_empty() && self.is_closed == 0 && self.failure == NO_FAILURE {
            return None;
        }
        let sums = owner_sums(kept, self.scope);
        credit(sums, kept, gain);
        let sums = sums?;
        // A chain of constants, because the verifier would not know the bound of a computed index.
        match self.failure {
            1 => add_count!(sums, failures[0]),
            2 => add_count!(sums, failures[1]),
            3 => add_count!(sums, failures[2]),
            4 => add_count!(sums, failures[3]),
            5 => add_count!(sums, failures[4]),
            _ => (),
        }
        if self.is_closed == 0 {
            return None;
        }
        add_count!(sums, closed);
        if self.rtt_us != 0 {
            add_more!(sums, u64::from(self.rtt_us), rtt_sum_us);
            add_count!(sums, rtt_count);
        }
        None
    }
}
