//! The way of a record: ring, else overflow hash by identity, else sums by comm. Nothing is lost without a count.

use crate::{
    kernel::wake_bytes,
    maps::{COARSE_0, COARSE_1, COARSE_REST, CONTROL, ENDED, NODE, OVERFLOW_0, OVERFLOW_1, RING},
};
use agent_common::{CoarseSums, Comm, Identity, NodeTotals, OverflowRecord, Totals};
use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_ringbuf_output, bpf_ringbuf_query},
    maps::{HashMap, PerCpuHashMap},
};
use aya_log_ebpf::warn;
use core::mem::size_of;

/// An entry nothing was merged into yet; in `.rodata`, because it would not fit on the stack beside a record.
static NEW_ENTRY: OverflowRecord = bytes_of_zero();
static NEW_SUMS: CoarseSums = zero_sums();

const fn bytes_of_zero() -> OverflowRecord {
    // SAFETY: all bytes zero are a value of it (Pod).
    unsafe { core::mem::zeroed() }
}

const fn zero_sums() -> CoarseSums {
    // SAFETY: all bytes zero are a value of it (Pod).
    unsafe { core::mem::zeroed() }
}

/// This CPU's true totals.
#[inline(always)]
pub(crate) fn node() -> Option<&'static mut NodeTotals> {
    // SAFETY: a per-CPU slot, and programs are not preempted by others of ours that write the same field.
    NODE.get_ptr_mut(0).map(|node| unsafe { &mut *node })
}

/// Bytes that wait in the ring.
#[inline(always)]
pub(crate) fn waiting_bytes() -> u64 {
    let ring = (&raw const RING).cast_mut().cast();
    // SAFETY: a map of ours.
    unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) }
}

/// In the place of a number of waiting bytes: the reader is woken in any case.
pub(crate) const WAKE_NOW: u64 = u64::MAX;

/// Puts the first `len` bytes of `record` into the ring; wakes the reader if more than `wake_from` bytes wait there.
/// `false`: it is full.
#[inline(always)]
pub(crate) fn to_ring<T>(record: &T, len: usize, wake_from: u64) -> bool {
    let ring = (&raw const RING).cast_mut().cast();
    let flags = if wake_from == WAKE_NOW || waiting_bytes() > wake_from {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    // SAFETY: `record` has at least `len` bytes, which callers bound for the verifier.
    let result = unsafe {
        bpf_ringbuf_output(
            ring,
            (&raw const *record).cast_mut().cast(),
            len as u64,
            u64::from(flags),
        )
    };
    if result == 0 {
        return true;
    }
    if let Some(node) = node() {
        node.ring_full += 1;
    }
    false
}

/// Puts a record of fixed size into the ring.
#[inline(always)]
pub(crate) fn whole_to_ring<T>(record: &T) -> bool {
    to_ring(record, size_of::<T>(), wake_bytes())
}

/// Whether the first of two generations takes records now.
#[inline(always)]
fn is_first_generation() -> bool {
    CONTROL.get(0).map_or(0, |control| control.generation) == 0
}

/// The overflow generation that takes records now.
#[inline(always)]
fn generation() -> &'static HashMap<Identity, OverflowRecord> {
    if is_first_generation() {
        &OVERFLOW_0
    } else {
        &OVERFLOW_1
    }
}

/// The generation of the sums by comm that takes records now.
#[inline(always)]
fn sums() -> &'static PerCpuHashMap<Comm, CoarseSums> {
    if is_first_generation() {
        &COARSE_0
    } else {
        &COARSE_1
    }
}

/// The entry of `id`, if earlier records of it had to go there: later ones must, too, because the ring is read first and
/// its smaller records still fit when larger ones do not.
#[inline(always)]
pub(crate) fn known_overflow_entry(id: &Identity) -> Option<&'static mut OverflowRecord> {
    // SAFETY: as in overflow_entry().
    generation()
        .get_ptr_mut(id)
        .map(|entry| unsafe { &mut *entry })
}

/// The entry of `id` in the overflow generation that takes records now, made if need be. `None`: it is full.
#[inline(always)]
pub(crate) fn overflow_entry(id: &Identity) -> Option<&'static mut OverflowRecord> {
    let map = generation();
    let entry = match map.get_ptr_mut(id) {
        Some(entry) => Some(entry),
        None => {
            // Whether it was full shows in the next look.
            let _ = map.insert(id, &NEW_ENTRY, u64::from(BPF_NOEXIST));
            map.get_ptr_mut(id)
        }
    };
    // SAFETY: a map value. Two CPUs may write one entry; each record kind has fields of its own.
    entry.map(|entry| unsafe { &mut *entry })
}

/// The sums of `comm` on this CPU, or the sum without a name.
#[inline(always)]
pub(crate) fn coarse_sums<C: EbpfContext>(
    context: &C,
    comm: &Comm,
) -> Option<&'static mut CoarseSums> {
    if let Some(node) = node() {
        node.coarse += 1;
        // Said at 1, 2, 4, 8 … and read by the agent at its next drain.
        if node.coarse & (node.coarse - 1) == 0 {
            warn!(
                context,
                "ring and overflow hash are full: {} records of this cpu summed by comm",
                node.coarse
            );
        }
    }
    let map = sums();
    let sums = match map.get_ptr_mut(comm) {
        Some(sums) => Some(sums),
        None => {
            let _ = map.insert(comm, &NEW_SUMS, u64::from(BPF_NOEXIST));
            map.get_ptr_mut(comm)
        }
    };
    let sums = match sums {
        Some(sums) => Some(sums),
        None => COARSE_REST.get_ptr_mut(0),
    };
    // SAFETY: a per-CPU slot.
    sums.map(|sums| unsafe { &mut *sums })
}

/// `EEXIST`, as helpers return it.
const EXISTS: i32 = -17;

/// Claims the one exit record of a process for this thread. `false`: another thread of the process has claimed it.
#[inline(always)]
pub(crate) fn claim_end(id: &Identity) -> bool {
    ENDED.insert(id, &1, u64::from(BPF_NOEXIST)) != Err(EXISTS)
}

/// Whether no pass can have credited a process born at `start_ns`.
#[inline(always)]
pub(crate) fn is_uncredited(start_ns: u64) -> bool {
    CONTROL
        .get(0)
        .is_some_and(|control| start_ns > control.pass_started_ns)
}

/// Adds `more`.
#[inline(always)]
pub(crate) fn add_totals(sum: &mut Totals, more: &Totals) {
    let Totals {
        utime_ns,
        stime_ns,
        runtime_ns,
        // What the kernel showed of one process means nothing in a sum.
        shown_utime_ns: _,
        shown_stime_ns: _,
        minor_faults,
        major_faults,
        voluntary_switches,
        nonvoluntary_switches,
        read_bytes,
        write_bytes,
        run_delay_ns,
    } = more;
    sum.utime_ns += utime_ns;
    sum.stime_ns += stime_ns;
    sum.runtime_ns += runtime_ns;
    sum.minor_faults += minor_faults;
    sum.major_faults += major_faults;
    sum.voluntary_switches += voluntary_switches;
    sum.nonvoluntary_switches += nonvoluntary_switches;
    sum.read_bytes += read_bytes;
    sum.write_bytes += write_bytes;
    sum.run_delay_ns += run_delay_ns;
}
