//! The path of a record: to the ring; if the ring is full, to the overflow hash by identity; if that is full too, to the sums
//! by comm. If earlier records of a process are in the hash, its further records go there without trying the ring.
//!
//! [`NodeTotals`] counts each record that finds the ring full, goes to a sum or is lost. It does not count records that go to
//! the hash without trying the ring; user space counts the entries that it finds there.
//!
//! In: records that the other files have built. Out: entries of the maps. The contribution of a record to an overflow entry or a
//! sum is left to the file of its hook.

use core::mem::size_of;

use agent_common::{CoarseSums, Comm, Identity, NodeTotals, OverflowRecord, Totals};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::maps::{HashMap, PerCpuHashMap};
use aya_log_ebpf::warn;

use crate::kernel::wake_bytes;
use crate::maps::{
    COARSE_0, COARSE_1, COARSE_REST, CONTROL, ENDED, NODE, OVERFLOW_0, OVERFLOW_1, RING,
};

/// An empty overflow entry. It is in `.rodata`, because it would not fit on the stack beside a record.
static NEW_ENTRY: OverflowRecord = bytes_of_zero();
static NEW_SUMS: CoarseSums = zero_sums();

const fn bytes_of_zero() -> OverflowRecord {
    // SAFETY: the type is Pod, so all bytes zero are a valid value.
    unsafe { core::mem::zeroed() }
}

const fn zero_sums() -> CoarseSums {
    // SAFETY: the type is Pod, so all bytes zero are a valid value.
    unsafe { core::mem::zeroed() }
}

/// The exact totals of this CPU.
#[inline(always)]
pub(crate) fn node() -> Option<&'static mut NodeTotals> {
    // SAFETY: a per-CPU slot, and no other program of ours that writes the same field preempts this one.
    NODE.get_ptr_mut(0).map(|node| unsafe { &mut *node })
}

/// Bytes in the ring that user space has not read yet.
#[inline(always)]
pub(crate) fn waiting_bytes() -> u64 {
    let ring = (&raw const RING).cast_mut().cast();
    // SAFETY: `RING` is a ring buffer map.
    unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) }
}

/// A value for `wake_from` of [`to_ring`]: wakes the reader in any case.
pub(crate) const WAKE_NOW: u64 = u64::MAX;

/// Puts the first `len` bytes of `record` into the ring, and wakes the reader if more than `wake_from` bytes wait there.
/// Returns `false` and counts the record if the ring is full.
#[inline(always)]
pub(crate) fn to_ring<T>(record: &T, len: usize, wake_from: u64) -> bool {
    let ring = (&raw const RING).cast_mut().cast();
    let flags = if wake_from == WAKE_NOW || waiting_bytes() > wake_from {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    // SAFETY: `record` has at least `len` bytes; the callers bound `len` for the verifier.
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

/// Puts a record of fixed size into the ring. Returns `false` if the ring is full.
#[inline(always)]
pub(crate) fn whole_to_ring<T>(record: &T) -> bool {
    to_ring(record, size_of::<T>(), wake_bytes())
}

/// Whether the first of the two generations takes records now.
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

/// The overflow entry of `id`, if earlier records of this process went there. Later records must then go there too: smaller
/// ones may still fit into the ring when larger ones do not, and user space reads the ring first.
#[inline(always)]
pub(crate) fn known_overflow_entry(id: &Identity) -> Option<&'static mut OverflowRecord> {
    // SAFETY: as in `overflow_entry`.
    generation()
        .get_ptr_mut(id)
        .map(|entry| unsafe { &mut *entry })
}

/// The entry of `id` in the overflow generation that takes records now; creates it if it does not exist. `None` if the map
/// is full.
#[inline(always)]
pub(crate) fn overflow_entry(id: &Identity) -> Option<&'static mut OverflowRecord> {
    let map = generation();
    let entry = match map.get_ptr_mut(id) {
        Some(entry) => Some(entry),
        None => {
            // The next lookup shows whether the map was full.
            let _ = map.insert(id, &NEW_ENTRY, u64::from(BPF_NOEXIST));
            map.get_ptr_mut(id)
        }
    };
    // SAFETY: a map value. Two CPUs may write one entry, but each kind of record writes its own fields.
    entry.map(|entry| unsafe { &mut *entry })
}

/// The sums of `comm` on this CPU; the sum of all other comms if the map is full. Counts the record.
#[inline(always)]
pub(crate) fn coarse_sums<C: EbpfContext>(
    context: &C,
    comm: &Comm,
) -> Option<&'static mut CoarseSums> {
    if let Some(node) = node() {
        node.coarse += 1;
        // The program logs this at 1, 2, 4, 8 … records; the agent reads the message at its next drain.
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

/// `-EEXIST`, as helpers return it.
const EXISTS: i32 = -17;

/// Claims the only exit record of a process for this thread. Returns `false` if another thread has claimed it.
#[inline(always)]
pub(crate) fn claim_end(id: &Identity) -> bool {
    ENDED.insert(id, &1, u64::from(BPF_NOEXIST)) != Err(EXISTS)
}

/// Whether the process was born, at `start_ns`, after the last pass began, so that no pass can have credited it.
#[inline(always)]
pub(crate) fn is_uncredited(start_ns: u64) -> bool {
    CONTROL
        .get(0)
        .is_some_and(|control| start_ns > control.pass_started_ns)
}

/// Adds `more` to `sum`.
#[inline(always)]
pub(crate) fn add_totals(sum: &mut Totals, more: &Totals) {
    let Totals {
        utime_ns,
        stime_ns,
        runtime_ns,
        // The values that the kernel last reported of one process have no meaning in a sum.
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
