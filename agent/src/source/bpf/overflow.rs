//! Reads the records that did not fit into the ring: the overflow hash by identity and the sums by comm, in two generations each.
//!
//! The programs write one generation while the other is empty. To read it, the agent lets the programs write the other one,
//! waits until every program that may still hold the old one has ended, and then reads and empties the old one.

use agent_common::{COARSE_ENTRIES, CoarseSums, Comm, Identity, NodeTotals, OverflowRecord};
use aya::Ebpf;
use aya::maps::{HashMap, MapData, PerCpuArray, PerCpuHashMap};

use super::events::Timed;
use super::load::take;
use super::map_usage::MapUsage;
use super::snapshot::Carried;
use super::wire::Wire;
use super::{BpfError, Found, events};

type Generation = HashMap<MapData, Wire<Identity>, Wire<OverflowRecord>>;
type SumsByComm = PerCpuHashMap<MapData, Wire<Comm>, Wire<CoarseSums>>;

pub(super) struct Overflow {
    generations: [Generation; 2],
    /// The generation that the programs write.
    active: usize,
    /// Exchanged together with the generations of the hash.
    sums: [SumsByComm; 2],
    rest: PerCpuArray<MapData, Wire<CoarseSums>>,
    rest_before: CoarseSums,
    node: PerCpuArray<MapData, Wire<NodeTotals>>,
    /// The totals at the last exchange.
    node_before: NodeTotals,
    /// Number of entries read from the hash since the start.
    pub(super) entries: u64,
    /// How full a generation was when it was exchanged.
    pub(super) usage: MapUsage,
    pub(super) sums_usage: MapUsage,
}

impl Overflow {
    pub(super) fn new(ebpf: &mut Ebpf, entries: u32) -> Result<Self, BpfError> {
        Ok(Self {
            generations: [take(ebpf, "OVERFLOW_0")?, take(ebpf, "OVERFLOW_1")?],
            active: 0,
            sums: [take(ebpf, "COARSE_0")?, take(ebpf, "COARSE_1")?],
            rest: take(ebpf, "COARSE_REST")?,
            rest_before: CoarseSums::default(),
            node: take(ebpf, "NODE")?,
            node_before: NodeTotals::default(),
            entries: 0,
            usage: MapUsage::new("overflow", entries),
            sums_usage: MapUsage::new("coarse", COARSE_ENTRIES),
        })
    }

    pub(super) fn generation(&self) -> u64 {
        self.active as u64
    }

    /// Exact totals of the node, summed over all CPUs.
    pub(super) fn node(&self) -> Result<NodeTotals, BpfError> {
        Ok(events::sum(self.node.get(&0, 0)?.iter().map(|cpu| cpu.0)))
    }

    /// Whether a record found the ring full since the last call. If so, exchanges the generations; the caller must then write the
    /// control map.
    pub(super) fn turn(&mut self) -> Result<bool, BpfError> {
        let node = self.node()?;
        let is_news = node.ring_full != self.node_before.ring_full;
        self.node_before = node;
        if is_news {
            self.active = 1 - self.active;
        } else {
            self.usage.found(0);
        }
        Ok(is_news)
    }

    /// Empties the generation of the hash that was in use before the exchange, and adds its events to `found`.
    pub(super) fn drain(
        &mut self,
        carried: Carried,
        found: &mut Vec<Timed>,
    ) -> Result<(), BpfError> {
        let old = &mut self.generations[1 - self.active];
        let keys = old.keys().collect::<Result<Vec<_>, _>>()?;
        self.usage.found(keys.len() as u64);
        for key in keys {
            let record = old.get(&key, 0)?.0;
            old.remove(&key)?;
            self.entries += 1;
            found.extend(events::from_overflow(&key.0, &record, carried));
        }
        Ok(())
    }

    /// Empties the sums by comm that were in use before the exchange, and hands them over. Of the sum without a comm, which is
    /// never emptied, it hands over the increase.
    pub(super) fn drain_sums(
        &mut self,
        carried: Carried,
        sink: &mut impl FnMut(Found),
    ) -> Result<(), BpfError> {
        let old = &mut self.sums[1 - self.active];
        let comms = old.keys().collect::<Result<Vec<_>, _>>()?;
        self.sums_usage.found(comms.len() as u64);
        for comm in comms {
            let sums = events::sum(old.get(&comm, 0)?.iter().map(|cpu| cpu.0));
            old.remove(&comm)?;
            let none = CoarseSums::default();
            if let Some(coarse) = events::from_sums(Some(&comm.0), &sums, &none, carried) {
                sink(Found::Coarse(coarse));
            }
        }
        let now = events::sum(self.rest.get(&0, 0)?.iter().map(|cpu| cpu.0));
        let before = std::mem::replace(&mut self.rest_before, now);
        if let Some(coarse) = events::from_sums(None, &now, &before, carried) {
            sink(Found::Coarse(coarse));
        }
        Ok(())
    }
}

/// Returns when every program that ran at the call has ended: programs run under RCU, and `membarrier` waits for a grace
/// period. The kernel refuses `membarrier` with `nohz_full=`; then a millisecond is enough, because programs take
/// microseconds.
pub(super) fn wait_for_programs() {
    // SAFETY: the call takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
