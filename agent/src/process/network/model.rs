//! The kernel's side of network accounting, for tests: it credits bytes to owners as the programs do, and is read as they are.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    NetworkCounters, NetworkReading, NetworkSums, NetworkTotals, OwnerReading, Payload, SCOPES,
};
use crate::process::ProcessId;

/// Maps of owners and sums of the node.
#[derive(Debug, Default)]
pub(crate) struct ModelKernel {
    owners: BTreeMap<(ProcessId, usize), NetworkSums>,
    /// Owners with a living socket.
    sockets: BTreeSet<(ProcessId, usize)>,
    unknown: [NetworkCounters; SCOPES],
    pub(crate) totals: NetworkTotals,
    look: u64,
}

/// Counters with this payload, and a number of segments that follows from it.
pub(crate) fn carried(sent_bytes: u64, received_bytes: u64) -> NetworkCounters {
    NetworkCounters {
        sent_bytes,
        received_bytes,
        sent_segments: sent_bytes.div_ceil(7),
        ..NetworkCounters::default()
    }
}

fn add(sum: &mut NetworkCounters, payload: Payload) {
    let more = carried(payload.sent_bytes, payload.received_bytes);
    sum.sent_bytes += more.sent_bytes;
    sum.received_bytes += more.received_bytes;
    sum.sent_segments += more.sent_segments;
}

impl ModelKernel {
    /// The process opens a socket.
    pub(crate) fn open(&mut self, id: ProcessId, scope: usize) {
        self.sockets.insert((id, scope));
    }

    /// The last socket of the process in this scope is gone.
    pub(crate) fn close(&mut self, id: ProcessId, scope: usize) {
        self.sockets.remove(&(id, scope));
    }

    pub(crate) fn has_socket(&self, id: ProcessId) -> bool {
        (0..SCOPES).any(|scope| self.sockets.contains(&(id, scope)))
    }

    /// A socket of the process has carried more.
    pub(crate) fn credit(&mut self, id: ProcessId, scope: usize, payload: Payload) {
        self.count(payload);
        add(
            &mut self.owners.entry((id, scope)).or_default().counters,
            payload,
        );
    }

    /// A socket without a known owner has carried more.
    pub(crate) fn credit_unknown(&mut self, scope: usize, payload: Payload) {
        self.count(payload);
        add(&mut self.unknown[scope], payload);
    }

    /// A socket has carried more, and its owner finds the map full.
    pub(crate) fn credit_full(&mut self, payload: Payload) {
        self.count(payload);
        self.totals.owners_full += 1;
        self.totals.unowned_sent_bytes += payload.sent_bytes;
        self.totals.unowned_received_bytes += payload.received_bytes;
    }

    fn count(&mut self, payload: Payload) {
        self.totals.sent_bytes += payload.sent_bytes;
        self.totals.received_bytes += payload.received_bytes;
    }

    /// Looks at the living sockets and reads all sums.
    pub(crate) fn read(&mut self) -> NetworkReading {
        self.look += 1;
        for socket in &self.sockets {
            let gauges = &mut self.owners.entry(*socket).or_default().gauges;
            (gauges.look, gauges.established) = (self.look, 1);
        }
        let owners = self.owners.iter();
        NetworkReading {
            look: self.look,
            owners: owners
                .map(|(&(id, scope), sums)| OwnerReading {
                    id,
                    scope,
                    sums: *sums,
                })
                .collect(),
            unknown: self.unknown,
            totals: self.totals,
            missed: 0,
        }
    }

    /// Removes the sums of these processes.
    pub(crate) fn forget(&mut self, owners: &[ProcessId]) {
        self.owners.retain(|(id, _), _| !owners.contains(id));
    }
}
