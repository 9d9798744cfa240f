//! The one table of kernel programs: name, hook, kind, order of attaching, plans, and the agent's fallback without one.
//!
//! `plan` takes from it the programs of a plan, `load` how to attach them, and the statistics which programs exist. The programs
//! themselves are in agent-ebpf.

use crate::source::{ExitHook, Tier};

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgramKind {
    /// To a tracepoint, with type information.
    TpBtf,
    /// To the entry of a kernel function.
    Fentry,
    /// To the return of a kernel function.
    Fexit,
    /// To the task iterator.
    Iter,
    /// To a classic tracepoint. The hook is its category and event.
    Tracepoint,
}

/// The moment in the life of a process that a program sees. Programs are attached in this order: ends before births, so that no
/// end of a process is missed whose birth was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    /// The kernel frees its leader. The program there uses the marks of that at the release, so it is attached first.
    Free,
    /// The kernel releases it, or switches it out for the last time.
    Release,
    Exit,
    Exec,
    Birth,
    /// It is alive. If the kernel left out a run of such a program, the next run makes up for it.
    Life,
}

/// The plans that a program belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plans {
    /// All that need type information.
    Typed,
    /// Those of the iterator tier.
    Iterator,
    /// Those of the switch tier that need type information.
    Switch,
    /// Those with this exit hook.
    Release,
    Free,
    LastSwitch,
    /// None: it is in the object of the network programs, which is loaded beside a plan with type information.
    Network,
    /// None: it is in that object, too, and loaded only if the operator wants to know of UDP.
    Udp,
    /// None: it is in the object of the request programs, which is loaded beside such a plan.
    Requests,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    symbol: &'static str,
    kind: ProgramKind,
    hook: &'static str,
    moment: Moment,
    plans: Plans,
    /// The loss without the program; `None` if a plan cannot work without it, so that the agent tries the next.
    loss: Option<&'static str>,
}

/// The loss without one of the network programs.
const NO_NETWORK: Option<&str> = Some("the payload of sockets is not shown");

/// The further work without one of the programs that see how sockets change hands.
const NO_HANDOVER: Option<&str> = Some("each scrape looks at the files of all processes");

/// The loss without the programs of UDP.
const NO_UDP: Option<&str> = Some("the payload of UDP sockets is not shown");

/// The loss without one of the request programs.
const NO_REQUESTS: Option<&str> = Some("HTTP requests are not shown");

/// Makes [`KernelProgram`] from one row for each program.
macro_rules! programs {
    ($(
        $(#[doc = $doc:literal])+
        $program:ident $symbol:literal $kind:ident $hook:literal $moment:ident $plans:ident $loss:expr;
    )+) => {
        /// A kernel program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum KernelProgram {
            $( $(#[doc = $doc])+ $program, )+
        }

        impl KernelProgram {
            /// All programs, in the order in which metrics list them.
            pub const ALL: &[Self] = &[$(Self::$program),+];

            const fn row(self) -> Row {
                match self {
                    $(Self::$program => Row {
                        symbol: $symbol,
                        kind: ProgramKind::$kind,
                        hook: $hook,
                        moment: Moment::$moment,
                        plans: Plans::$plans,
                        loss: $loss,
                    },)+
                }
            }
        }
    };
}

programs! {
    // program   symbol            kind       hook                        moment  plans      loss
    /// The birth of a process.
    Fork         "process_fork"    TpBtf      "sched_process_fork"        Birth   Typed      None;
    /// An exec.
    Exec         "process_exec"    TpBtf      "sched_process_exec"        Exec    Typed      None;
    /// The end of the last thread, with the exit status.
    Exit         "process_exit"    TpBtf      "sched_process_exit"        Exit    Typed      None;
    /// The final totals, at once.
    Release      "task_release"    Fentry     "release_task"              Release Release    None;
    /// The final totals, after an RCU grace period.
    Free         "process_free"    TpBtf      "sched_process_free"        Free    Free       None;
    /// The final totals of leaders whose release [`Self::Release`] does not see.
    LeaderFree   "leader_free"     TpBtf      "sched_process_free/leader" Free    Release    None;
    /// All live tasks.
    Snapshot     "task_snapshot"   Iter       "iter/task"                 Life    Iterator   None;
    /// On-CPU time of live processes.
    Switch       "task_switch"     TpBtf      "sched_switch"              Life    Switch     None;
    /// Waits for a CPU by length. Loaded only if the collector of run-queue latency is on.
    RunQueue     "runqueue_switch" TpBtf      "sched_switch/runqueue"     Life    Typed
        Some("run-queue latency is not shown");
    /// The number of new threads.
    Thread       "thread_begin"    TpBtf      "task_newtask"              Birth   Typed
        Some("creations of threads are not counted");
    /// The end of a TCP socket.
    SocketEnd    "sock_destroy"    TpBtf      "tcp_destroy_sock"          Free    Network    NO_NETWORK;
    /// A change of the state of a TCP socket.
    SocketState  "sock_state"      TpBtf      "inet_sock_set_state"       Life    Network    NO_NETWORK;
    /// The open files of all processes.
    SocketFiles  "sock_files"      Iter       "iter/task_file"            Life    Network    NO_NETWORK;
    /// All living TCP sockets, where the kernel has socket storage.
    Sockets      "sock_living"     Iter       "iter/bpf_sk_storage_map"   Life    Network    NO_NETWORK;
    /// The same where it has none.
    HashedSockets "sock_hashed"    Iter       "iter/bpf_map_elem"         Life    Network    NO_NETWORK;
    /// An accept.
    SocketAccept "sock_accept"     Fentry     "security_sock_graft"       Life    Network    NO_HANDOVER;
    /// A fork, after which parent and child have the same sockets.
    SocketFork   "sock_fork"       TpBtf      "sched_process_fork/network" Life   Network    NO_HANDOVER;
    /// The receipt of a descriptor.
    SocketReceive "sock_receive"   Fentry     "security_file_receive"     Life    Network    NO_HANDOVER;
    /// A send over any socket.
    UdpSend      "udp_send"        TpBtf      "sock_send_length"          Life    Udp        NO_UDP;
    /// A receive over any socket.
    UdpReceive   "udp_receive"     TpBtf      "sock_recv_length"          Life    Udp        NO_UDP;
    /// The return of a send over IPv4, where the kernel lacks [`Self::UdpSend`].
    UdpSend4     "udp_send_inet"   Fexit      "inet_sendmsg"              Life    Udp        NO_UDP;
    /// The same over IPv6.
    UdpSend6     "udp_send_inet6"  Fexit      "inet6_sendmsg"             Life    Udp        NO_UDP;
    /// The return of a receive over IPv4, where the kernel lacks [`Self::UdpReceive`].
    UdpReceive4  "udp_recv_inet"   Fexit      "inet_recvmsg"              Life    Udp        NO_UDP;
    /// The same over IPv6.
    UdpReceive6  "udp_recv_inet6"  Fexit      "inet6_recvmsg"             Life    Udp        NO_UDP;
    /// An exec, from which on a process is watched again.
    RequestExec  "http_exec"       TpBtf      "sched_process_exec/http"   Exec    Requests    NO_REQUESTS;
    /// The end of a process, until which it is busy with requests without a response.
    RequestExit  "http_exit"       TpBtf      "sched_process_exit/http"   Exit    Requests    NO_REQUESTS;
    /// A change of the state of a TCP socket, for the requests served on it.
    RequestState "http_state"      TpBtf      "inet_sock_set_state/http"  Life    Requests    NO_REQUESTS;
    /// A send, which may begin a response.
    Responses    "http_send"       TpBtf      "sock_send_length/http"     Life    Requests    NO_REQUESTS;
    /// All sockets with a request in flight.
    RequestSockets "http_in_flight" Iter      "iter/bpf_sk_storage_map/http" Life Requests    NO_REQUESTS;
    /// Requests whose socket is gone.
    RequestsGone "http_abandoned"  Iter       "iter/bpf_map_elem/http"    Life    Requests    NO_REQUESTS;
    /// A receive, which may begin a request.
    Requests     "http_receive"    TpBtf      "sock_recv_length/http"     Life    Requests    NO_REQUESTS;
    /// The return of a send over IPv4, where the kernel lacks [`Self::Responses`].
    Responses4   "http_send_inet"  Fexit      "inet_sendmsg/http"         Life    Requests    NO_REQUESTS;
    /// The same over IPv6.
    Responses6   "http_send_inet6" Fexit      "inet6_sendmsg/http"        Life    Requests    NO_REQUESTS;
    /// The same over a Unix socket.
    ResponsesUnix "http_send_unix" Fexit      "unix_stream_sendmsg"       Life    Requests    NO_REQUESTS;
    /// The return of a receive over IPv4, where the kernel lacks [`Self::Requests`].
    Requests4    "http_recv_inet"  Fexit      "inet_recvmsg/http"         Life    Requests    NO_REQUESTS;
    /// The same over IPv6.
    Requests6    "http_recv_inet6" Fexit      "inet6_recvmsg/http"        Life    Requests    NO_REQUESTS;
    /// The same over a Unix socket.
    RequestsUnix "http_recv_unix"  Fexit      "unix_stream_recvmsg"       Life    Requests    NO_REQUESTS;
    /// A signal, which may kill a process on behalf of its parent. Loaded only if the agent follows Gunicorn.
    RequestKill  "http_kill"       TpBtf      "signal_generate"           Life    Requests    NO_REQUESTS;
    /// The birth of a process or thread.
    TraceNewtask "trace_newtask"   Tracepoint "task/task_newtask"         Birth   LastSwitch None;
    /// An exec.
    TraceExec    "trace_exec"      Tracepoint "sched/sched_process_exec"  Exec    LastSwitch None;
    /// The end of a thread.
    TraceExit    "trace_exit"      Tracepoint "sched/sched_process_exit"  Exit    LastSwitch None;
    /// The end of processes whose last switch was not seen.
    TraceFree    "trace_free"      Tracepoint "sched/sched_process_free"  Free    LastSwitch None;
    /// On-CPU time, and the final totals at the last switch.
    TraceSwitch  "trace_switch"    Tracepoint "sched/sched_switch"        Release LastSwitch None;
}

impl KernelProgram {
    /// The name of the function in the object file (agent-ebpf).
    pub const fn symbol(self) -> &'static str {
        self.row().symbol
    }

    /// The hook that the program is attached to, as metrics and messages name it. A part after a slash may only distinguish
    /// several programs at one hook.
    pub const fn hook(self) -> &'static str {
        self.row().hook
    }

    pub(super) const fn kind(self) -> ProgramKind {
        self.row().kind
    }

    pub(super) const fn moment(self) -> Moment {
        self.row().moment
    }

    /// The loss without the program; `None` if plans cannot work without it.
    pub const fn loss(self) -> Option<&'static str> {
        self.row().loss
    }

    /// Whether it counts the payload of sockets.
    pub const fn is_for_network(self) -> bool {
        matches!(self.row().plans, Plans::Network | Plans::Udp)
    }

    /// Whether it is in another object than the programs of the plans.
    pub const fn is_apart(self) -> bool {
        self.is_for_network() || matches!(self.row().plans, Plans::Requests)
    }

    /// Whether it belongs to the plan of this tier with this exit hook.
    pub fn is_in(self, tier: Tier, exit_hook: Option<ExitHook>) -> bool {
        let is_typed = matches!(exit_hook, Some(ExitHook::Release | ExitHook::Free));
        match self.row().plans {
            Plans::Typed => is_typed,
            Plans::Iterator => is_typed && tier == Tier::Iterator,
            Plans::Switch => is_typed && tier == Tier::Switch,
            Plans::Release => exit_hook == Some(ExitHook::Release),
            Plans::Free => exit_hook == Some(ExitHook::Free),
            Plans::LastSwitch => exit_hook == Some(ExitHook::LastSwitch),
            Plans::Network | Plans::Udp | Plans::Requests => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_fit_and_hooks_are_unique() {
        for (index, program) in KernelProgram::ALL.iter().enumerate() {
            assert!(
                program.symbol().len() < 16,
                "the kernel cuts program names at 15 bytes"
            );
            assert!(
                KernelProgram::ALL[index + 1..]
                    .iter()
                    .all(|other| other.hook() != program.hook())
            );
        }
    }

    #[test]
    fn classic_tracepoints_have_category_and_event() {
        let traced = |program: &&KernelProgram| program.kind() == ProgramKind::Tracepoint;
        for program in KernelProgram::ALL.iter().filter(traced) {
            assert!(program.hook().contains('/'), "{program:?}");
        }
    }
}
