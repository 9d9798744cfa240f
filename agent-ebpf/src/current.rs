//! The process in which a program runs.

use agent_common::Identity;

use crate::kernel::Task;

/// `PF_KTHREAD` in `task_struct.flags`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// In the place of a process: it is not known, or a thread of the kernel.
pub(crate) const NO_PROCESS: Identity = Identity {
    start_ns: 0,
    tgid: 0,
    zero: 0,
};

/// The process of the current task; [`NO_PROCESS`] for a thread of the kernel. It is not an `Option`, because the verifier of
/// Linux 6.1 refuses to copy the payload of one that may be `None`.
#[inline(always)]
pub(crate) fn process_of(current_task: *const u8) -> Identity {
    match Task::new(current_task) {
        Some(task) if task.flags() & PF_KTHREAD == 0 => task.identity(),
        _ => NO_PROCESS,
    }
}
