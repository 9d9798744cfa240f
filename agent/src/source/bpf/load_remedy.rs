//! Translates an error that the kernel returns while programs are loaded into advice for the operator.

use std::error::Error;
use std::io;

/// The remedy for `error`, by the first error number in its chain of causes.
pub(super) fn remedy(error: &(dyn Error + 'static)) -> &'static str {
    let mut cause = Some(error);
    let mut number = None;
    while let (Some(error), None) = (cause, number) {
        number = error.downcast_ref().and_then(io::Error::raw_os_error);
        cause = error.source();
    }
    match number {
        Some(libc::EPERM) => {
            "a seccomp filter, a security module or lockdown forbids it, or before 5.11 a limit of locked memory \
             (LimitMEMLOCK=infinity)"
        }
        Some(libc::ENOMEM) => {
            "the agent needs more memory while it starts (MemoryMax=, the container's limit)"
        }
        Some(libc::EMFILE | libc::ENFILE) => "the agent needs more descriptors (LimitNOFILE=)",
        Some(libc::ENOSYS) => {
            "this kernel is built without CONFIG_BPF_SYSCALL, or a seccomp filter hides it"
        }
        _ => "please report it with the kernel's version",
    }
}

#[cfg(test)]
mod tests {
    use aya::programs::ProgramError;
    use aya::sys::SyscallError;

    use super::*;

    #[test]
    fn the_number_is_found_however_deep_it_is() {
        let number = |number| io::Error::from_raw_os_error(number);
        let shallow = remedy(&number(libc::ENOMEM));
        assert!(shallow.contains("MemoryMax="), "{shallow}");
        let call = |number| SyscallError {
            call: "bpf_prog_load",
            io_error: number,
        };
        let deep = remedy(&ProgramError::from(call(number(libc::ENOMEM))));
        assert_eq!(deep, shallow);
        let other = remedy(&call(number(libc::E2BIG)));
        assert!(other.contains("report"), "{other}");
        assert_eq!(remedy(&ProgramError::AlreadyLoaded), other);
    }
}
