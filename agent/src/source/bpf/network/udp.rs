//! The programs that count UDP, at each send and receive.

use super::super::call_hooks::CallHooks;
use super::super::program::KernelProgram;

pub(super) const HOOKS: CallHooks = CallHooks {
    tracepoints: &[KernelProgram::UdpSend, KernelProgram::UdpReceive],
    functions: &[
        KernelProgram::UdpSend6,
        KernelProgram::UdpReceive6,
        KernelProgram::UdpSend4,
        KernelProgram::UdpReceive4,
    ],
};

/// The warning that UDP is not counted.
pub(in super::super) fn without(why: &str) -> String {
    let loss = KernelProgram::UdpSend.loss().unwrap_or_default();
    format!("--collector.network.udp: {why}; {loss}")
}
