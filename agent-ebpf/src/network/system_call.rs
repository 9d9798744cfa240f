//! The system call that the current thread is in.
//!
//! A process that reads `/proc/PID/fd/N` holds the file for a moment. If the last process that has a descriptor closes it
//! meanwhile, the kernel closes the file when the reader leaves its system call. The reader is no closer then.

use core::ptr::read_volatile;

use agent_common::{ABSENT, CALLS};
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};

use crate::socket::layout;

/// `__USER32_CS` of x86_64: a thread in 32-bit code, which has other numbers of calls.
const USER32_CS: u16 = 0x23;
/// `PSR_MODE32_BIT` of arm64: the same.
const PSR_MODE32: u64 = 0x10;

/// Whether the current thread is in a system call that only reads. `false` before Linux 5.15: there user space leaves the
/// offsets absent, so that the verifier sees no helper that it does not know.
#[inline(always)]
pub(crate) fn is_reading() -> bool {
    if layout!(offsets.regs_orig_ax) == ABSENT && layout!(offsets.regs_syscallno) == ABSENT {
        return false;
    }
    // SAFETY: helpers; the verifier checks that the task is one.
    let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8;
    if regs.is_null() || is_32_bit(regs) {
        return false;
    }
    let offset = match layout!(offsets.regs_orig_ax) {
        ABSENT => layout!(offsets.regs_syscallno),
        offset => offset,
    };
    // SAFETY: the verifier checks that the field is at this offset.
    let call = unsafe { read_volatile(regs.add(offset as usize).cast::<u32>()) } as usize;
    call < CALLS && layout!(reading_calls[call / 32 % (CALLS / 32)]) >> (call % 32) & 1 != 0
}

#[inline(always)]
fn is_32_bit(regs: *const u8) -> bool {
    let (cs, pstate) = (layout!(offsets.regs_cs), layout!(offsets.regs_pstate));
    // SAFETY: as above.
    unsafe {
        if cs != ABSENT {
            read_volatile(regs.add(cs as usize).cast::<u16>()) == USER32_CS
        } else if pstate != ABSENT {
            read_volatile(regs.add(pstate as usize).cast::<u64>()) & PSR_MODE32 != 0
        } else {
            false
        }
    }
}
