//! Takes the records of the programs out of the kernel: from the ring, the overflow hash and the sums by comm, in the order of
//! their events.
//!
//! In: maps. Out: [`Found`] items, one by one, without storing them where no record went to the hash. Decoding is left to
//! `events`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use agent_common::{Control, NodeTotals};
use aya::Ebpf;
use aya::maps::{Array, MapData, RingBuf};

use super::Found;
use super::events::{self, Timed};
use super::load::{BpfError, Sizes, take};
use super::map_usage::MapUsage;
use super::overflow::{self, Overflow};
use super::pieces::Pieces;
use super::snapshot::Carried;
use super::wire::Wire;
use crate::host::boottime_ns;
use crate::source::{KernelTotals, SourceStatistics};

/// Bytes of the header before each record in the ring, and the alignment of records.
const HEAD_BYTES: usize = 8;

pub(super) struct Records {
    ring: RecordRing,
    overflow: Overflow,
    control: Array<MapData, Wire<Control>>,
    carried: Carried,
    /// Events later than the last drain's start: the hash in use may hold earlier ones. The next drain hands them over.
    later: Vec<Timed>,
}

impl Records {
    pub(super) fn new(ebpf: &mut Ebpf, sizes: Sizes, carried: Carried) -> Result<Self, BpfError> {
        Ok(Self {
            ring: RecordRing::new(ebpf, sizes.ring_bytes)?,
            control: take(ebpf, "CONTROL")?,
            overflow: Overflow::new(ebpf, sizes.overflow_entries)?,
            carried,
            later: Vec::new(),
        })
    }

    /// A descriptor that becomes readable when the programs wake the reader.
    pub(super) fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.ring.wake_fd()
    }

    /// Writes the control map: which generation takes overflow, and when the last pass began.
    pub(super) fn write_control(&mut self, pass_started_ns: u64) -> Result<(), BpfError> {
        let generation = self.overflow.generation();
        self.control.set(
            0,
            Wire(Control {
                pass_started_ns,
                generation,
            }),
            0,
        )?;
        Ok(())
    }

    /// Hands over all events since the last drain to `sink`, in their order. Returns `true` if a record found the ring full.
    pub(super) fn drain(&mut self, sink: &mut impl FnMut(Found)) -> Result<bool, BpfError> {
        let now_ns = boottime_ns();
        // Such a record went to the hash or the sums, or was only a piece of arguments. Events of the ring then wait for those
        // of the hash.
        let has_overflowed = self.overflow.turn();
        let mut found = std::mem::take(&mut self.later);
        let mut merged = Ok(());
        if matches!(has_overflowed, Ok(true)) {
            merged = self.merge_overflow(&mut found);
        }
        // Handed over even if the hash could not be read: the records are no longer in the ring.
        for (_, event) in found {
            sink(Found::Event(event));
        }
        if !matches!(has_overflowed, Ok(true)) {
            self.pass_on(now_ns, sink);
        }
        merged?;
        let has_overflowed = has_overflowed?;
        if has_overflowed {
            self.overflow.drain_sums(self.carried, sink)?;
        }
        Ok(has_overflowed)
    }

    /// Hands over the events of the ring up to `now_ns`, one by one, without storing them. By then no record had gone to the
    /// hash, so no event has to wait for one of the hash.
    fn pass_on(&mut self, now_ns: u64, sink: &mut impl FnMut(Found)) {
        let Self { ring, later, .. } = self;
        ring.read(self.carried, |(time_ns, event)| {
            if time_ns > now_ns {
                later.push((time_ns, event));
                return true;
            }
            sink(Found::Event(event));
            false
        });
    }

    /// Sorts the events of ring and hash by time, because the fork of a child may be in one and that of its parent in the
    /// other. Ring events after the exchange of generations wait for the next drain: the hash that the programs write now may
    /// hold earlier ones.
    fn merge_overflow(&mut self, found: &mut Vec<Timed>) -> Result<(), BpfError> {
        self.read_ring(found);
        let pass_started_ns = self.control.get(&0, 0)?.0.pass_started_ns;
        let turned_ns = boottime_ns();
        self.write_control(pass_started_ns)?;
        overflow::wait_for_programs();
        self.read_ring(found);
        self.overflow.drain(self.carried, found)?;
        found.sort_by_key(|(time_ns, _)| *time_ns);
        let at = found.partition_point(|(time_ns, _)| *time_ns <= turned_ns);
        self.later = found.split_off(at);
        Ok(())
    }

    fn read_ring(&mut self, found: &mut Vec<Timed>) {
        self.ring.read(self.carried, |event| {
            found.push(event);
            false
        });
    }

    /// Exact totals of the node.
    pub(super) fn node(&self) -> Result<NodeTotals, BpfError> {
        self.overflow.node()
    }

    /// How full the maps of records were.
    pub(super) const fn usages(&self) -> [&MapUsage; 3] {
        [
            &self.ring.usage,
            &self.overflow.usage,
            &self.overflow.sums_usage,
        ]
    }

    /// Fills in the totals of the node and the numbers of records. `unwritten`: records that a program should have written.
    pub(super) fn describe(
        &self,
        unwritten: u64,
        statistics: &mut SourceStatistics,
    ) -> Result<(), BpfError> {
        let node = self.node()?;
        statistics.kernel = Some(KernelTotals {
            forks: node.forks,
            execs: node.execs,
            exits: node.exits,
            exited_cpu_ns: node.exited_runtime_ns,
        });
        statistics.events_received = self.ring.received;
        statistics.events_overflowed = self.overflow.entries;
        statistics.events_coarse = node.coarse;
        statistics.events_lost = node.lost + self.ring.malformed + unwritten;
        Ok(())
    }
}

/// The ring: records in the order in which the programs reserved room for them.
struct RecordRing {
    records: RingBuf<MapData>,
    bytes: u32,
    /// Arguments of execs whose own record is still to come.
    pieces: Pieces,
    /// How full the ring was when it was read.
    usage: MapUsage,
    received: u64,
    /// Number of records of an unknown kind.
    malformed: u64,
}

impl RecordRing {
    fn new(ebpf: &mut Ebpf, bytes: u32) -> Result<Self, BpfError> {
        Ok(Self {
            records: take(ebpf, "RING")?,
            bytes,
            pieces: Pieces::default(),
            usage: MapUsage::new("ring", bytes),
            received: 0,
            malformed: 0,
        })
    }

    /// A descriptor that becomes readable when the programs wake the reader.
    fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.records.as_fd().try_clone_to_owned()
    }

    /// Hands over events until `is_enough` returns `true` or the ring is empty. It reads no more bytes than the ring holds, so it
    /// ends however fast records come.
    fn read(&mut self, carried: Carried, mut is_enough: impl FnMut(Timed) -> bool) {
        let mut budget = self.bytes as usize;
        let mut bytes = 0;
        while let Some(record) = self.records.next() {
            budget = budget.saturating_sub(record.len());
            bytes += (HEAD_BYTES + record.len()).next_multiple_of(HEAD_BYTES);
            let was_enough = !events::keep_piece(&record, &mut self.pieces) && {
                self.received += 1;
                let event = events::from_ring(&record, carried, &mut self.pieces);
                self.malformed += u64::from(event.is_none());
                event.is_some_and(&mut is_enough)
            };
            if was_enough || budget == 0 {
                break;
            }
        }
        self.usage.found(bytes as u64);
    }
}
