//! Checks whether the memory, descriptors and map entries that the agent holds grow from minute to minute.

use anyhow::{Context as _, Result, ensure};

use crate::bench::metrics;
use crate::bench::subject::Subject;

/// State of the agent at the end of a minute, while no process starts or ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Holding {
    pub(super) resident_bytes: u64,
    pub(super) descriptors: usize,
    /// Largest share of a map that is in use, from 0 to 1; without the ring, which is empty after each read.
    pub(super) fullest_map: f64,
    /// Largest share of the ring that was ever found in use.
    pub(super) ring_peak: f64,
}

impl Holding {
    pub(super) fn of(agent: &Subject, body: &str) -> Result<Self> {
        let folder = format!("/proc/{}/fd", agent.pid());
        let descriptors = std::fs::read_dir(&folder).with_context(|| format!("list {folder}"))?;
        let is_ring = |labels: &str| labels.contains("\"ring\"");
        let fills = metrics::samples(body, "headcount_map_fill_ratio");
        let fills = fills.filter(|(labels, _)| !is_ring(labels));
        let mut peaks = metrics::samples(body, "headcount_map_peak_fill_ratio");
        let ring = peaks.find(|(labels, _)| is_ring(labels));
        Ok(Self {
            resident_bytes: agent.memory()?.now_bytes,
            descriptors: descriptors.count(),
            fullest_map: fills.map(|(_, fill)| fill).fold(0.0, f64::max),
            ring_peak: ring.map_or(0.0, |(_, peak)| peak),
        })
    }
}

/// Growth is more than this from the first half of a run to the second; less comes from pages of the allocator that come and go,
/// a connection that is not closed yet, or other processes of the machine in a map.
const RESIDENT_BYTES: u64 = 1 << 20;
const DESCRIPTORS: usize = 2;
const MAP: f64 = 0.02;

/// Fails if the highest values of the second half are above those of the first. One minute
/// shows no growth.
pub(super) fn judge(minutes: &[Holding]) -> Result<()> {
    let (first, second) = minutes.split_at(minutes.len() / 2);
    let (Some(first), Some(second)) = (highest(first), highest(second)) else {
        return Ok(());
    };
    let grown = |what: &str| format!("{what} grow: from {first:?} to {second:?}");
    ensure!(
        second.resident_bytes <= first.resident_bytes + RESIDENT_BYTES,
        grown("bytes")
    );
    ensure!(
        second.descriptors <= first.descriptors + DESCRIPTORS,
        grown("descriptors")
    );
    ensure!(second.ring_peak < 1.0, "the ring overflowed: {second:?}");
    ensure!(
        second.fullest_map <= first.fullest_map + MAP,
        grown("entries of a map")
    );
    Ok(())
}

fn highest(minutes: &[Holding]) -> Option<Holding> {
    minutes.iter().copied().reduce(|one, other| Holding {
        resident_bytes: one.resident_bytes.max(other.resident_bytes),
        descriptors: one.descriptors.max(other.descriptors),
        fullest_map: one.fullest_map.max(other.fullest_map),
        ring_peak: one.ring_peak.max(other.ring_peak),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAT: Holding = Holding {
        resident_bytes: 14 << 20,
        descriptors: 20,
        fullest_map: 0.01,
        ring_peak: 0.5,
    };

    #[test]
    fn growth_of_each_kind_is_found() {
        judge(&[FLAT; 4]).expect("it is flat");
        let shrunk = Holding {
            resident_bytes: 16 << 20,
            descriptors: 23,
            ..FLAT
        };
        judge(&[shrunk, FLAT]).expect("it shrank");
        judge(&[FLAT]).expect("one minute shows no growth");
        for grown in [
            Holding {
                resident_bytes: 16 << 20,
                ..FLAT
            },
            Holding {
                descriptors: 23,
                ..FLAT
            },
            Holding {
                fullest_map: 0.05,
                ..FLAT
            },
            Holding {
                ring_peak: 1.0,
                ..FLAT
            },
        ] {
            assert!(judge(&[FLAT, FLAT, FLAT, grown]).is_err(), "{grown:?}");
        }
    }
}
