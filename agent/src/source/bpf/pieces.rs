//! Puts together the arguments of an exec that came in several records: first the further pieces, then the exec record with
//! the first piece.
//!
//! One CPU writes all records of an exec in this order, so the records of one exec are in order; those of others may come in
//! between. At most [`MOST`] execs wait at a time, with 48 KiB each. If there are more, the oldest one is dropped, and its
//! arguments count as cut.

use std::collections::VecDeque;

use agent_common::{ARGV_BYTES, ExecRecord, Identity};

/// Maximum number of execs whose pieces wait: more than the ring has room for.
const MOST: usize = 16;

/// The pieces that wait for their exec record.
#[derive(Debug, Default)]
pub struct Pieces {
    waiting: VecDeque<PendingExec>,
}

/// The pieces of one exec.
#[derive(Debug)]
struct PendingExec {
    id: Identity,
    time_ns: u64,
    bytes: Vec<u8>,
}

impl PendingExec {
    fn is_of(&self, record: &ExecRecord) -> bool {
        (self.id, self.time_ns) == (record.id, record.time_ns)
    }
}

impl Pieces {
    /// Adds a further piece. Drops it if a piece before it is missing.
    pub(super) fn add(&mut self, record: &ExecRecord, bytes: &[u8]) {
        let known = self.waiting.iter_mut().find(|one| one.is_of(record));
        let before = known.as_ref().map_or(0, |one| one.bytes.len());
        if before != (record.old_tid as usize).saturating_sub(1) * ARGV_BYTES
            || bytes.len() > ARGV_BYTES
        {
            return;
        }
        match known {
            Some(one) => one.bytes.extend_from_slice(bytes),
            None => {
                self.waiting.truncate(MOST - 1);
                self.waiting.push_front(PendingExec {
                    id: record.id,
                    time_ns: record.time_ns,
                    bytes: bytes.to_vec(),
                });
            }
        }
    }

    /// Removes and returns the arguments of this exec beyond the first piece; empty if there are none.
    pub(super) fn take(&mut self, record: &ExecRecord) -> Vec<u8> {
        let place = self.waiting.iter().position(|one| one.is_of(record));
        let found = place.and_then(|place| self.waiting.remove(place));
        found.map(|one| one.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;

    use super::*;

    fn piece(tgid: u32, number: u32) -> ExecRecord {
        let mut record = ExecRecord::zeroed();
        (record.id.tgid, record.old_tid) = (tgid, number);
        record
    }

    #[test]
    fn pieces_of_several_execs_are_put_together_in_order() {
        let mut pieces = Pieces::default();
        let (full, rest) = ([b'a'; ARGV_BYTES], b"rest");
        pieces.add(&piece(1, 1), &full);
        pieces.add(&piece(2, 2), rest);
        pieces.add(&piece(2, 1), rest);
        pieces.add(&piece(1, 2), rest);
        pieces.add(&piece(1, 2), rest);
        assert_eq!(pieces.take(&piece(1, 0)), [&full[..], rest].concat());
        assert_eq!(pieces.take(&piece(2, 0)), rest);
        assert!(pieces.take(&piece(2, 0)).is_empty());
    }

    #[test]
    fn pieces_beyond_the_bound_drop_the_oldest_exec() {
        let mut pieces = Pieces::default();
        for tgid in 0..1000 {
            pieces.add(&piece(tgid, 1), b"x");
        }
        assert_eq!(pieces.waiting.len(), MOST);
        assert!(pieces.take(&piece(0, 0)).is_empty());
        assert_eq!(pieces.take(&piece(999, 0)), b"x");
    }
}
