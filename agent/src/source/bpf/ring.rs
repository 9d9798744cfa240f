//! Reads the ring: records in the order in which the programs reserved room for them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};

use super::events::{self, Timed};
use super::load::{self, take};
use super::map_usage::MapUsage;
use super::pieces::Pieces;
use super::snapshot::Carried;

/// Bytes of the header before each record in the ring, and the alignment of records.
const HEAD_BYTES: usize = 8;

pub(super) struct RecordRing {
    records: RingBuf<MapData>,
    bytes: u32,
    /// Arguments of execs whose own record is still to come.
    pieces: Pieces,
    /// How full the ring was when it was read.
    pub(super) usage: MapUsage,
    pub(super) received: u64,
    /// Number of records of an unknown kind.
    pub(super) malformed: u64,
}

impl RecordRing {
    pub(super) fn new(ebpf: &mut Ebpf, bytes: u32) -> Result<Self, load::Error> {
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
    pub(super) fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.records.as_fd().try_clone_to_owned()
    }

    /// Hands over events until `is_enough` returns `true` or the ring is empty. It reads no more bytes than the ring holds, so it
    /// ends however fast records come.
    pub(super) fn read(&mut self, carried: Carried, mut is_enough: impl FnMut(Timed) -> bool) {
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
