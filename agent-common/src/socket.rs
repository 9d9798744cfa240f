//! The values that user space passes to the network programs: [`NetworkLayout`] before they are loaded, [`SocketLook`] at each
//! look at the living sockets.

use bytemuck::{Pod, Zeroable};

use crate::offsets::offsets;

offsets! {
    NetworkOffsets
    sock_family = "sock"."__sk_common.skc_family";
    sock_state = "sock"."__sk_common.skc_state";
    sock_daddr = "sock"."__sk_common.skc_daddr";
    sock_saddr = "sock"."__sk_common.skc_rcv_saddr";
    /// With CONFIG_IPV6.
    sock_v6_daddr = "sock"."__sk_common.skc_v6_daddr";
    /// With CONFIG_IPV6.
    sock_v6_saddr = "sock"."__sk_common.skc_v6_rcv_saddr";
    /// Bits of `enum sock_flags`.
    sock_flags = "sock"."__sk_common.skc_flags";
    sock_type = "sock"."sk_type";
    sock_protocol = "sock"."sk_protocol";
    sock_shutdown = "sock"."sk_shutdown";
    sock_error = "sock"."sk_err";
    /// The socket of a process; NULL before a process has accepted the connection, and after the last one has closed it.
    sock_socket = "sock"."sk_socket";
    /// NULL for a socket of the kernel's own.
    socket_file = "socket"."file";
    sock_drops = "sock"."sk_drops";
    sock_backlog = "sock"."sk_ack_backlog";
    sock_backlog_limit = "sock"."sk_max_ack_backlog";
    /// Not 0 while a process holds the socket's lock.
    sock_owned = "sock"."sk_lock.owned";
    /// Not 0 while a CPU holds the spin lock. Absent with CONFIG_PREEMPT_RT.
    sock_spin_lock = "sock"."sk_lock.slock.rlock.raw_lock";
    /// The same with CONFIG_PREEMPT_RT: the thread that holds the lock.
    sock_rt_lock = "sock"."sk_lock.slock.lock.owner";
    socket_sock = "socket"."sk";
    /// As the next two, only for kernels without the helper `bpf_sock_from_file`.
    file_inode = "file"."f_inode";
    file_private = "file"."private_data";
    inode_mode = "inode"."i_mode";
    /// Only for kernels without socket storage: an empty list in a listener and its children.
    tcp_unsent = "tcp_sock"."tsorted_sent_queue";
    tcp_sent = "tcp_sock"."bytes_sent";
    tcp_retransmitted = "tcp_sock"."bytes_retrans";
    tcp_received = "tcp_sock"."bytes_received";
    tcp_segments = "tcp_sock"."data_segs_out";
    tcp_retransmits = "tcp_sock"."total_retrans";
    /// Microseconds, times 8.
    tcp_rtt = "tcp_sock"."srtt_us";
    /// The number of the system call that a thread is in: on x86_64, and on arm64.
    regs_orig_ax = "pt_regs"."orig_ax";
    regs_syscallno = "pt_regs"."syscallno";
    /// How the thread counts calls: the code segment on x86_64, the state of the processor on arm64.
    regs_cs = "pt_regs"."cs";
    regs_pstate = "pt_regs"."pstate";
}

/// The global variable that user space freezes before it loads the network programs.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct NetworkLayout {
    /// Offsets of the kernel fields.
    pub offsets: NetworkOffsets,
    /// The agent's own process id. While the agent looks at files it may be the last to hold one, and so close a socket of
    /// another process.
    pub agent_tgid: u32,
    /// The system calls that hold files of other processes for a moment, a bit for each number below [`CALLS`]. None of them
    /// closes a file.
    pub reading_calls: [u32; CALLS / 32],
}

/// The number of system calls that [`NetworkLayout::reading_calls`] has bits for.
pub const CALLS: usize = 512;

impl NetworkLayout {
    /// No kernel field is known.
    pub const ABSENT: Self = Self {
        offsets: NetworkOffsets::ABSENT,
        agent_tgid: 0,
        reading_calls: [0; CALLS / 32],
    };
}

/// The value that user space writes before each look at the living sockets.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct SocketLook {
    /// Number of the look, from 1 on.
    pub number: u64,
    /// 1 if this look also goes through the files of all processes.
    pub files: u64,
    /// Number of the last look before this one that did.
    pub last_files: u64,
    /// Out: sockets whose owner is known only by a look at files.
    pub doubtful: u64,
}
