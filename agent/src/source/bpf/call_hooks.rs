//! Attaches the programs that run at each send and receive: to tracepoints, or to the returns of kernel functions where there are
//! none (before 6.3).

use aya::{Btf, Ebpf};

use super::load::{self, BpfError};
use super::program::KernelProgram;
use super::support::is_ftrace_off;

/// The programs for the same calls at both kinds of hooks, each in the order in which they are attached.
pub(super) struct CallHooks {
    pub(super) tracepoints: &'static [KernelProgram],
    pub(super) functions: &'static [KernelProgram],
}

impl CallHooks {
    /// Attaches the programs that work on this kernel, and returns which. After an error none of them is loaded.
    ///
    /// # Errors
    /// When the kernel refuses both kinds.
    pub(super) fn attach(
        &self,
        ebpf: &mut Ebpf,
        btf: &Btf,
    ) -> Result<&'static [KernelProgram], String> {
        let first = match self.attach_tracepoints(ebpf, btf) {
            Ok(attached) => return Ok(attached),
            Err(error) => error,
        };
        if is_ftrace_off() {
            return Err(format!(
                "{first}; the programs for functions do not run while kernel.ftrace_enabled is 0"
            ));
        }
        match load::add(ebpf, self.functions, Some(btf)) {
            Ok(()) => Ok(self.functions),
            Err(second) => Err(format!("{first}; {second}")),
        }
    }

    /// The same at tracepoints only.
    ///
    /// # Errors
    /// When the kernel has no such tracepoint, or refuses a program.
    pub(super) fn attach_tracepoints(
        &self,
        ebpf: &mut Ebpf,
        btf: &Btf,
    ) -> Result<&'static [KernelProgram], BpfError> {
        load::add(ebpf, self.tracepoints, Some(btf)).map(|()| self.tracepoints)
    }
}
