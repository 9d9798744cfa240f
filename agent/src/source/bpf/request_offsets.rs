//! Finds the facts about this kernel that the request programs need: fields of sockets and registers, and numbers of system
//! calls.

use agent_common::{ABSENT, RequestLayout, RequestOffsets};

use super::btf::Btf;
use crate::host::tick_ns;

/// The registers of a system call in `pt_regs`: its number, its second and third argument, and its result, each by a member and the
/// bytes behind.
#[cfg(target_arch = "x86_64")]
const REGISTERS: [(&str, u32); 4] = [("orig_ax", 0), ("si", 0), ("dx", 0), ("ax", 0)];
#[cfg(target_arch = "aarch64")]
const REGISTERS: [(&str, u32); 4] = [("syscallno", 0), ("regs", 8), ("regs", 16), ("regs", 0)];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const REGISTERS: [(&str, u32); 4] = [("", 0), ("", 0), ("", 0), ("", 0)];

/// The member that keeps the first argument, where the register of the result has it during the call.
const NO_RESULT: Option<&str> = if cfg!(target_arch = "aarch64") {
    Some("orig_x0")
} else {
    None
};

/// The helpers that older kernels lack, by their functions. The second one is in 5.16.
const HELPERS: [&str; 2] = ["bpf_task_pt_regs", "bpf_skc_to_unix_sock"];

/// Why this kernel cannot run the request programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRequests {
    /// The kernel has no type information, or the agent may not use it.
    #[error("the kernel's type information is not used")]
    Untyped,
    /// The kernel lacks a helper.
    #[error("this kernel has no function {0}; 5.16 or later has")]
    NoHelper(&'static str),
    /// The kernel lacks a field.
    #[error("this kernel has no field {0}; please report it with the kernel's version")]
    NoSuchField(&'static str),
}

/// The layout of this kernel.
///
/// # Errors
/// When the kernel lacks something that the programs need.
pub(super) fn resolve(btf: &Btf<'_>) -> Result<RequestLayout, NoRequests> {
    let lacking = HELPERS.into_iter().find(|name| !btf.has_function(name));
    if let Some(name) = lacking {
        return Err(NoRequests::NoHelper(name));
    }
    let [regs_call, regs_second, regs_third, regs_result] = REGISTERS.map(|(member, behind)| {
        let offset = btf.offset("pt_regs", member);
        offset.map(|offset| offset + behind).ok_or(member)
    });
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(ABSENT);
    let layout = RequestLayout {
        offsets: RequestOffsets::resolve(|name, path| btf.offset(name, path)),
        regs_call: regs_call.map_err(NoRequests::NoSuchField)?,
        regs_second: regs_second.map_err(NoRequests::NoSuchField)?,
        regs_third: regs_third.map_err(NoRequests::NoSuchField)?,
        regs_result: regs_result.map_err(NoRequests::NoSuchField)?,
        walks: 1,
        regs_no_result: match NO_RESULT {
            Some(member) => btf
                .offset("pt_regs", member)
                .ok_or(NoRequests::NoSuchField(member))?,
            None => ABSENT,
        },
        plain_calls: [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_recvfrom,
            libc::SYS_sendto,
        ]
        .map(number),
        vector_calls: [
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_preadv2,
            libc::SYS_pwritev2,
        ]
        .map(number),
        message_calls: [libc::SYS_recvmsg, libc::SYS_sendmsg].map(number),
        file_call: number(libc::SYS_sendfile),
        tick_ns: u32::try_from(tick_ns()).unwrap_or_default(),
    };
    match first_missing(&layout.offsets) {
        Some(field) => Err(NoRequests::NoSuchField(field)),
        None => Ok(layout),
    }
}

/// The first field that `offsets` lack.
fn first_missing(offsets: &RequestOffsets) -> Option<&'static str> {
    let values: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(offsets));
    let mut fields = RequestOffsets::FIELDS.iter().zip(values);
    let missing = fields.find(|(_, offset)| **offset == ABSENT);
    missing.map(|((name, _, _), _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_field_is_named() {
        let mut offsets = RequestOffsets::resolve(|_, _| Some(8));
        assert_eq!(first_missing(&offsets), None);
        offsets.http_tcp_sent = ABSENT;
        assert_eq!(first_missing(&offsets), Some("http_tcp_sent"));
    }
}
