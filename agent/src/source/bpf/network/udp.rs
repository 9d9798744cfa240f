//! Attaches the programs that count UDP: to tracepoints, or to kernel functions where there are none (before 6.3).

use aya::programs::Program;
use aya::{Btf, Ebpf};

use super::super::load::{self, BpfError};
use super::super::program::KernelProgram;
use super::super::support::is_ftrace_off;

const TRACEPOINTS: [KernelProgram; 2] = [KernelProgram::UdpSend, KernelProgram::UdpReceive];

/// Those for IPv6 are first, because a kernel may lack them: then nothing was counted before the agent gives up.
const FUNCTIONS: [KernelProgram; 4] = [
    KernelProgram::UdpSend6,
    KernelProgram::UdpReceive6,
    KernelProgram::UdpSend4,
    KernelProgram::UdpReceive4,
];

/// The warning that UDP is not counted.
pub(in super::super) fn without(why: &str) -> String {
    let loss = KernelProgram::UdpSend.loss().unwrap_or_default();
    format!("--collector.network.udp: {why}; {loss}")
}

/// Attaches the programs that work on this kernel, and returns which.
///
/// # Errors
/// When the kernel refuses both sets.
pub(super) fn attach(ebpf: &mut Ebpf, btf: &Btf) -> Result<&'static [KernelProgram], String> {
    let Err(first) = attach_all(ebpf, &TRACEPOINTS, btf) else {
        return Ok(&TRACEPOINTS);
    };
    if is_ftrace_off() {
        return Err(format!(
            "{first}; the programs for functions do not run while kernel.ftrace_enabled is 0"
        ));
    }
    match attach_all(ebpf, &FUNCTIONS, btf) {
        Ok(()) => Ok(&FUNCTIONS),
        Err(second) => Err(format!("{first}; {second}")),
    }
}

/// Attaches all of `programs`, or none.
fn attach_all(ebpf: &mut Ebpf, programs: &[KernelProgram], btf: &Btf) -> Result<(), BpfError> {
    let attached = programs
        .iter()
        .try_for_each(|program| load::add(ebpf, *program, Some(btf)));
    if attached.is_err() {
        programs.iter().for_each(|program| detach(ebpf, *program));
    }
    attached
}

fn detach(ebpf: &mut Ebpf, program: KernelProgram) {
    // One that was not loaded refuses; there is nothing to unload then.
    let _ = match ebpf.program_mut(program.symbol()) {
        Some(Program::BtfTracePoint(loaded)) => loaded.unload(),
        Some(Program::FExit(loaded)) => loaded.unload(),
        _ => Ok(()),
    };
}
