//! The storage that the programs keep with each socket: its owner, and the totals credited already.

use core::ptr::{read_volatile, write_volatile};

use agent_common::{Identity, SCOPE_LISTEN};

use crate::current::NO_PROCESS;
use crate::socket::{Carried, LISTEN, Sock, is_open};

/// In [`Storage::flags`], the lowest two bits: how the connection began.
const ROLE: u32 = 3;
pub(crate) const ROLE_UNKNOWN: u32 = 0;
pub(crate) const ROLE_CLIENT: u32 = 1;
pub(crate) const ROLE_SERVER: u32 = 2;
pub(crate) const ROLE_LISTENER: u32 = 3;
/// In [`Storage::flags`]: bits 2 and 3 are the scope. The value 3 means that it is not known yet.
const SCOPE_SHIFT: u32 = 2;
pub(crate) const SCOPE_UNKNOWN: u32 = 3;
/// In [`Storage::flags`]: the connection was established.
pub(crate) const OPENED: u32 = 1 << 4;
/// In [`Storage::sent`]: that was counted.
pub(crate) const OPENED_COUNTED: u64 = 1 << 63;
/// In [`Storage::flags`]: its end was counted.
pub(crate) const CLOSED: u32 = 1 << 5;
/// In [`Storage::flags`]: the socket is destroyed. Values read from it may belong to another socket by now.
pub(crate) const DONE: u32 = 1 << 6;
/// In [`Storage::flags`]: an error ended the connection before it was known which process had accepted it. That process is
/// known when it closes the socket, at the latest.
pub(crate) const AWAITED: u32 = 1 << 7;
/// In [`Storage::flags`] with [`AWAITED`]: from this bit on, why the connection ended, as state.rs counts it.
const FAILURE_SHIFT: u32 = 8;

/// In [`Storage::held`]: the owner is a guess, as for a connection that no process has accepted yet.
const GUESSED: u16 = 0;
/// In [`Storage::held`]: the owner was seen at work with the socket. Larger values are looks ([`mark_of`]).
const SEEN: u16 = 1;
const FIRST_MARK: u16 = 2;

/// 56 bytes, so that it and the kernel's header of 72 fill a slab of 128. Only programs that hold the socket's lock write `flags`.
/// They write the owner, too, and so do the programs of a look; `sent` to `packets` change atomically.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Storage {
    /// Start of the process that owns the socket.
    start_ns: u64,
    /// The process that owns it; 0 if unknown.
    tgid: u32,
    flags: u32,
    /// The total credited already, as the next two; and [`OPENED_COUNTED`].
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// [`Carried::packets`].
    pub(crate) packets: u64,
    /// The youngest holder of a descriptor that is not the owner, as the look `candidate_look` found.
    candidate_start_ns: u64,
    candidate_tgid: u32,
    candidate_look: u16,
    /// The look that found that the owner holds a descriptor, or [`GUESSED`] or [`SEEN`].
    held: u16,
}

impl Storage {
    /// The storage of a connection that begins, or of a socket that listens from now on.
    #[inline(always)]
    pub(crate) fn begin(owner: Identity, role: u32, scope: u32) -> Self {
        let held = if owner.tgid == NO_PROCESS.tgid {
            GUESSED
        } else {
            SEEN
        };
        Self {
            start_ns: owner.start_ns,
            tgid: owner.tgid,
            flags: role | scope << SCOPE_SHIFT,
            sent: 0,
            received: 0,
            packets: 0,
            candidate_start_ns: 0,
            candidate_tgid: 0,
            candidate_look: 0,
            held,
        }
    }

    /// The same, and the owner is a guess.
    #[inline(always)]
    pub(crate) fn as_guess(self) -> Self {
        Self {
            held: GUESSED,
            ..self
        }
    }

    /// The storage of a socket that is older than the programs, or whose beginning they missed: its traffic so far is not
    /// credited.
    #[inline(always)]
    pub(crate) fn of_older(sock: Sock, carried: Carried) -> Self {
        let begun = if sock.state() == LISTEN {
            Self::begin(NO_PROCESS, ROLE_LISTENER, SCOPE_LISTEN)
        } else {
            Self::begin(NO_PROCESS, ROLE_UNKNOWN, SCOPE_UNKNOWN)
        };
        let (opened, counted) = if is_open(sock.state()) {
            (OPENED, OPENED_COUNTED)
        } else {
            (0, 0)
        };
        Self {
            flags: begun.flags | opened,
            sent: carried.sent | counted,
            received: carried.received,
            packets: carried.packets,
            ..begun
        }
    }
}

/// The mark of a look in a storage. It repeats after 65,534 looks; each of them renews the marks of the sockets that it finds.
#[inline(always)]
pub(crate) fn mark_of(look: u64) -> u16 {
    FIRST_MARK + (look % 65_534) as u16
}

/// The storage of a socket, while several programs may use it.
#[derive(Clone, Copy)]
pub(crate) struct Kept(pub(crate) *mut Storage);

macro_rules! get {
    ($kept:expr, $field:ident) => {
        // SAFETY: the verifier checks the access. Volatile, because other CPUs change it.
        unsafe { read_volatile(&raw const (*$kept.0).$field) }
    };
}

macro_rules! set {
    ($kept:expr, $field:ident, $value:expr) => {{
        let value = $value;
        // SAFETY: as in `get!`.
        unsafe { write_volatile(&raw mut (*$kept.0).$field, value) }
    }};
}

impl Kept {
    #[inline(always)]
    pub(crate) fn role(self) -> u32 {
        get!(self, flags) & ROLE
    }

    #[inline(always)]
    pub(crate) fn is(self, flag: u32) -> bool {
        get!(self, flags) & flag != 0
    }

    /// Sets flags. Only for programs that hold the socket's lock.
    #[inline(always)]
    pub(crate) fn mark(self, flags: u32) {
        set!(self, flags, get!(self, flags) | flags);
    }

    /// The connection is established. Only for programs that hold the socket's lock, as the next.
    #[inline(always)]
    pub(crate) fn open(self, scope: u32) {
        set!(self, flags, self.role() | scope << SCOPE_SHIFT | OPENED);
    }

    /// Leaves the end of the connection, by this failure, to the process that will close the socket.
    #[inline(always)]
    pub(crate) fn await_close(self, failure: u32) {
        self.mark(AWAITED | failure << FAILURE_SHIFT);
    }

    #[inline(always)]
    pub(crate) fn failure(self) -> u32 {
        get!(self, flags) >> FAILURE_SHIFT
    }

    /// The scope by the time of the connection's beginning, else by its addresses now.
    #[inline(always)]
    pub(crate) fn scope(self, sock: Sock) -> u32 {
        let known = get!(self, flags) >> SCOPE_SHIFT & 3;
        if known == SCOPE_UNKNOWN {
            sock.scope()
        } else {
            known
        }
    }

    /// The owner; the unknown one while another CPU is just setting it.
    #[inline(always)]
    pub(crate) fn owner(self) -> Identity {
        let tgid = get!(self, tgid);
        let start_ns = get!(self, start_ns);
        if get!(self, tgid) == tgid {
            Identity {
                start_ns,
                tgid,
                zero: 0,
            }
        } else {
            NO_PROCESS
        }
    }

    #[inline(always)]
    fn give(self, owner: Identity) {
        set!(self, tgid, 0);
        set!(self, start_ns, owner.start_ns);
        set!(self, tgid, owner.tgid);
    }

    /// The owner from now on is a process that was seen at work with the socket. Returns whether another one was it before.
    /// The owner that it has already is not written again, because programs on other CPUs would see none meanwhile.
    #[inline(always)]
    pub(crate) fn own(self, owner: Identity) -> bool {
        let is_other = self.owner() != owner;
        if is_other {
            self.give(owner);
        }
        set!(self, held, SEEN);
        is_other
    }

    /// The bytes received that were credited already.
    #[inline(always)]
    pub(crate) fn received(self) -> u64 {
        get!(self, received)
    }

    /// Whether the owner is a guess.
    #[inline(always)]
    pub(crate) fn is_guessed(self) -> bool {
        get!(self, held) == GUESSED
    }

    /// Whether the look with this mark found a descriptor of the socket with a process that is not the owner.
    #[inline(always)]
    pub(crate) fn is_shared(self, look: u16) -> bool {
        get!(self, candidate_look) == look
    }

    /// Notes that the look with the mark `look` found a descriptor of the socket with `holder`.
    #[inline(always)]
    pub(crate) fn hold(self, holder: Identity, look: u16) {
        let owner = self.owner();
        if owner.tgid == 0 {
            self.give(holder);
            set!(self, held, look);
        } else if owner == holder {
            set!(self, held, look);
        } else if get!(self, candidate_look) != look
            || get!(self, candidate_start_ns) < holder.start_ns
        {
            set!(self, candidate_start_ns, holder.start_ns);
            set!(self, candidate_tgid, holder.tgid);
            set!(self, candidate_look, look);
        }
    }

    /// Hands the socket over to the candidate, if the look with the mark `look` at files found one and not the owner. Descriptors leak into
    /// children, so an owner that still holds the socket keeps it.
    #[inline(always)]
    pub(crate) fn hand_over(self, look: u16) {
        if get!(self, held) != look && get!(self, candidate_look) == look {
            self.give(Identity {
                start_ns: get!(self, candidate_start_ns),
                tgid: get!(self, candidate_tgid),
                zero: 0,
            });
            set!(self, held, look);
        }
    }
}
