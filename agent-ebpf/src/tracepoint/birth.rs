//! `task/task_newtask`: a new process gets its entry in `TRACED` and a [`ForkRecord`]; a new thread is counted.

use agent_common::{CLONE_THREAD, ForkRecord, Identity, Traced, kind};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

use super::{add, cpu, current, current_comm, end, field, identity, offset, traced};
use crate::emit::{coarse_sums, node};
use crate::fork;
use crate::kernel::now_ns;
use crate::maps::TRACED;

/// Kernel: at the end of `copy_process`, in the context of the parent; the new task has not run yet. The tracepoint
/// `sched_process_fork` does not distinguish threads from processes, and does not fire for threads that the kernel creates
/// for a process.
#[tracepoint]
pub fn trace_newtask(context: TracePointContext) -> u32 {
    report(&context);
    0
}

#[inline(always)]
fn report(context: &TracePointContext) -> Option<()> {
    let flags: u64 = field(context, offset!(newtask_flags))?;
    let child: u32 = field(context, offset!(newtask_pid))?;
    let (tgid, _) = current();
    let parent = traced(tgid);
    if flags & CLONE_THREAD != 0 {
        node()?.threads += 1;
        let process = parent?;
        add(&process.live, 1);
        add(&process.left, 1);
        return None;
    }
    node()?.forks += 1;
    if let Some(former) = traced(child) {
        // The kernel has reused the id before the program saw the release of the former process.
        end::process_gone(context, child, former)?;
    }
    let entry = Traced {
        start_ns: now_ns(),
        // SAFETY: a helper without arguments.
        born_ns: unsafe { bpf_ktime_get_ns() },
        live: 1,
        left: 1,
        parent_tgid: tgid,
        ..Traced::default()
    };
    if TRACED
        .insert(&child, &entry, u64::from(BPF_NOEXIST))
        .is_err()
    {
        // No program could report its end, so its birth is not reported either. A pass finds the process if it lives until
        // then.
        cpu()?.full += 1;
        return None;
    }
    let record = ForkRecord {
        kind: kind::FORK,
        zero: 0,
        child: identity(child, &entry),
        parent: parent.map_or(
            Identity {
                start_ns: 0,
                tgid,
                zero: 0,
            },
            |parent| identity(tgid, parent),
        ),
    };
    if !fork::to_ring_or_hash(&record) {
        coarse_sums(context, &current_comm())?.forks += 1;
    }
    None
}
