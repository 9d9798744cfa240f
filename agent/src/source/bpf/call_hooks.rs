//! Attaches the programs that run at each send and receive: to tracepoints, or to the returns of kernel functions where there are
//! none (before 6.3).

use aya::{Btf, Ebpf};

use super::load;
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
        let Err(first) = load::add(ebpf, self.tracepoints, Some(btf)) else {
            return Ok(self.tracepoints);
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
}
