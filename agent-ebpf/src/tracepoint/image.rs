//! `sched/sched_process_exec`: a process runs a new program. The tracepoint gives no access to the arguments, so the record
//! carries the file name as the first argument and [`ARGV_CUT`].

use agent_common::{ABSENT, ARGV_CUT, ARGV_SHORT_BYTES, EXEC_REAL_UID, ExecHead, kind};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_uid_gid, generated};
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

use super::{
    cpu, current, current_comm, current_stretch_ns, field, identity, offset, totals, traced,
};
use crate::emit::node;
use crate::exec::{bounded, send, wake_from};
use crate::kernel::now_ns;
use crate::maps::{EXEC_SCRATCH, ExecScratch};

/// Runs in the context of the process, after the kernel has set its new comm.
#[tracepoint]
pub fn trace_exec(context: TracePointContext) -> u32 {
    report(&context);
    0
}

#[inline(always)]
fn report(context: &TracePointContext) -> Option<()> {
    let node = node()?;
    node.execs += 1;
    let (tgid, tid) = current();
    let Some(entry) = traced(tgid) else {
        // The process has no entry (the map was full at its birth). A pass will see the new image.
        node.lost += 1;
        return None;
    };
    // SAFETY: a per-CPU slot that only this program uses.
    let scratch = unsafe { &mut *EXEC_SCRATCH.get_ptr_mut(0)? };
    let record = &mut scratch.record;
    record.kind = kind::EXEC;
    record.old_tid = field(context, offset!(exec_old_pid)).unwrap_or(0);
    let cpu = cpu()?;
    if cpu.running_tid == record.old_tid {
        // A thread that calls exec takes the id of its leader while it runs.
        cpu.running_tid = tid;
    }
    record.id = identity(tgid, entry);
    record.time_ns = now_ns();
    record.totals = totals(entry, current_stretch_ns());
    record.head = ExecHead {
        // SAFETY: a helper without arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        comm: current_comm(),
        // The real user id: no helper returns the effective one.
        euid: bpf_get_current_uid_gid() as u32,
        parent_tgid: entry.parent_tgid,
        argv_len: 0,
        flags: ARGV_CUT | EXEC_REAL_UID,
    };
    read_file_name(context, scratch);
    let wake_from = wake_from(&scratch.record);
    send(context, scratch, wake_from)
}

#[inline(always)]
fn read_file_name(context: &TracePointContext, scratch: &mut ExecScratch) -> Option<()> {
    if offset!(exec_filename) == ABSENT {
        return None;
    }
    let place: u32 = field(context, offset!(exec_filename))?;
    let length = u64::from(place >> 16);
    if length == 0 {
        return None;
    }
    let length = if length < ARGV_SHORT_BYTES as u64 {
        length
    } else {
        ARGV_SHORT_BYTES as u64
    };
    let length = bounded(length, ARGV_SHORT_BYTES);
    // SAFETY: within the scratch buffer; the helper checks the other address.
    let result = unsafe {
        generated::bpf_probe_read_kernel(
            (&raw mut scratch.argv).cast(),
            length as u32,
            context.as_ptr().add((place & 0xffff) as usize).cast_const(),
        )
    };
    if result == 0 {
        scratch.record.head.argv_len = length as u32;
    }
    None
}
