//! The node's books: compares the agent's own sums with the kernel's totals of the whole node.
//!
//! In: a reading of the node at each pass, and the agent's sums as of that pass. Out: both sides since the first pass. The two
//! sides are independent: `accounted` is the sum of bookings and of loss counters, never derived from the node's side.
//!
//! Each side is the difference between now and the first pass, so the error of one reading does not last. Neither side falls.

use std::collections::HashMap;
use std::ops::Add;

use super::Pipeline;
use crate::host::Host;
use crate::source::{Away, Balances, NodeCounts, NodeReading, Sides};

/// The node as a whole at one moment: from `/proc`, and from the kernel programs, if there are any.
pub(super) type NodeSnapshot = (NodeReading, Option<NodeCounts>);

/// Number of processes and threads known to have begun, once the records up to that moment are drained; `None` where the tier
/// does not see all. A process whose fork record was lost is counted when a pass or another record shows it. Its fork may also
/// be in a sum by comm, so the larger of the two counts is taken.
pub(super) fn births(node: Option<&NodeSnapshot>, pipeline: &Pipeline) -> Option<u64> {
    let (_, counts) = node?;
    let counts = counts.as_ref()?;
    let threads = counts.threads?;
    if pipeline.notes.last_ns.is_none() {
        // All records so far still wait to be drained.
        return Some(counts.processes + threads);
    }
    let (booked, seen) = (pipeline.grouper.statistics(), pipeline.table.statistics());
    let unannounced = seen.unannounced.saturating_sub(seen.announced_late);
    let lost = unannounced.saturating_sub(booked.coarse_forks);
    Some(booked.booked_forks + lost + threads)
}

/// The agent's own sums, since any moment.
#[derive(Debug, Clone, Copy, Default)]
struct Accounted {
    /// CPU time booked, and CPU time in the agent's loss counters; nanoseconds.
    cpu_ns: u64,
    /// Processes and threads created; `None` where the tier does not see all.
    creations: Option<u64>,
}

/// One CPU since it was first seen online.
#[derive(Debug, Clone, Copy)]
struct OnlineCpu {
    since_ns: u64,
    before: Away,
    /// Use as of the last reading.
    ran: Use,
}

/// Use of CPUs since they were first seen online; nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    /// Time that the CPUs ran tasks.
    busy_ns: u64,
    /// Time in interrupts, or taken by the hypervisor.
    taken_ns: u64,
}

impl Add for Use {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            busy_ns: self.busy_ns + other.busy_ns,
            taken_ns: self.taken_ns + other.taken_ns,
        }
    }
}

/// The books: both sides at the first reading, and their rise since.
#[derive(Debug, Default)]
pub(super) struct Balance {
    before: Option<(Accounted, u64)>,
    /// At most as many as the machine has CPUs.
    cpus: HashMap<u32, OnlineCpu>,
    /// Use of CPUs that went offline, up to the last reading that saw them.
    offline: Use,
    now: Balances,
}

impl Balance {
    /// The books of this host; `None` where `/proc` does not show all processes of this machine.
    pub(super) fn of(host: &Host) -> Option<Self> {
        let is_whole = host.is_procfs_mount() && host.in_initial_pid_namespace() != Some(false);
        is_whole.then(Self::default)
    }

    /// Both sides as of the last pass.
    pub(super) const fn sides(&self) -> Balances {
        self.now
    }

    /// Takes the node as of a pass, once the pass is booked.
    pub(super) fn note(&mut self, node: &NodeSnapshot, births: Option<u64>, pipeline: &Pipeline) {
        let (node, counts) = node;
        let lost_ns = counts.map_or(0, |counts| counts.lost_cpu_ns);
        let accounted = Accounted {
            cpu_ns: [pipeline.table.statistics().dropped_cpu_ns, lost_ns]
                .into_iter()
                .fold(
                    pipeline.grouper.statistics().booked_cpu_ns,
                    u64::saturating_add,
                ),
            creations: births,
        };
        self.take(node, accounted);
    }

    /// Takes one reading of the node, and the agent's sums at that moment. Both sides begin at the first reading.
    fn take(&mut self, node: &NodeReading, accounted: Accounted) {
        let Use { busy_ns, taken_ns } = self.use_of(node);
        let (before, created_before) = *self.before.get_or_insert((accounted, node.created));
        let cpu = Sides {
            accounted: accounted.cpu_ns.saturating_sub(before.cpu_ns),
            node: busy_ns,
        };
        self.now.cpu_ns = Some(risen(self.now.cpu_ns, cpu));
        self.now.taken_cpu_ns = self.now.taken_cpu_ns.max(Some(taken_ns));
        if let (Some(now), Some(before)) = (accounted.creations, before.creations) {
            let created = Sides {
                accounted: now.saturating_sub(before),
                node: node.created.saturating_sub(created_before),
            };
            self.now.creations = Some(risen(self.now.creations, created));
        }
    }

    /// Use of all CPUs since the first reading.
    fn use_of(&mut self, node: &NodeReading) -> Use {
        let mut before = std::mem::take(&mut self.cpus);
        for (number, away) in &node.cpus {
            let mut cpu = before.remove(number).unwrap_or(OnlineCpu {
                since_ns: node.at_ns,
                before: *away,
                ran: Use::default(),
            });
            let elapsed_ns = node.at_ns.saturating_sub(cpu.since_ns);
            let idle_ns = away.idle_ns.saturating_sub(cpu.before.idle_ns);
            let taken_ns = away.taken_ns.saturating_sub(cpu.before.taken_ns);
            cpu.ran = Use {
                busy_ns: elapsed_ns.saturating_sub(idle_ns.saturating_add(taken_ns)),
                taken_ns,
            };
            self.cpus.insert(*number, cpu);
        }
        self.offline = before.values().fold(self.offline, |sum, cpu| sum + cpu.ran);
        self.cpus
            .values()
            .fold(self.offline, |sum, cpu| sum + cpu.ran)
    }
}

fn risen(before: Option<Sides>, now: Sides) -> Sides {
    let before = before.unwrap_or_default();
    Sides {
        accounted: now.accounted.max(before.accounted),
        node: now.node.max(before.node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cpus`: number and idle time of each CPU.
    fn reading(at_ns: u64, cpus: &[(u32, u64)], created: u64) -> NodeReading {
        let away = |idle_ns| Away {
            idle_ns,
            taken_ns: 0,
        };
        NodeReading {
            at_ns,
            cpus: cpus.iter().map(|(cpu, idle)| (*cpu, away(*idle))).collect(),
            created,
        }
    }

    fn accounted(cpu_ns: u64, creations: u64) -> Accounted {
        Accounted {
            cpu_ns,
            creations: Some(creations),
        }
    }

    fn cpu_of(balance: &Balance) -> (u64, u64) {
        let cpu = balance.sides().cpu_ns.unwrap();
        (cpu.accounted, cpu.node)
    }

    #[test]
    fn both_sides_begin_at_the_first_pass() {
        let mut balance = Balance::default();
        assert_eq!(balance.sides(), Balances::default());
        balance.take(&reading(1000, &[(0, 700), (1, 100)], 40), accounted(9, 5));
        assert_eq!(cpu_of(&balance), (0, 0));
        // CPU 0 was idle for 60 of 100, CPU 1 for all of it.
        balance.take(&reading(1100, &[(0, 760), (1, 200)], 47), accounted(49, 12));
        assert_eq!(cpu_of(&balance), (40, 40));
        let creations = balance.sides().creations.unwrap();
        assert_eq!((creations.accounted, creations.node), (7, 7));
    }

    #[test]
    fn sides_do_not_fall_when_a_reading_falls() {
        let mut balance = Balance::default();
        balance.take(&reading(1000, &[(0, 0)], 40), accounted(0, 0));
        balance.take(&reading(1100, &[(0, 20)], 44), accounted(80, 4));
        balance.take(&reading(1110, &[(0, 50)], 43), accounted(70, 3));
        assert_eq!(cpu_of(&balance), (80, 80));
        // An error of one reading is gone at the next.
        balance.take(&reading(1200, &[(0, 100)], 50), accounted(100, 10));
        assert_eq!(cpu_of(&balance), (100, 100));
    }

    #[test]
    fn offline_cpu_keeps_its_use() {
        let mut balance = Balance::default();
        balance.take(&reading(1000, &[(0, 0), (1, 0)], 0), accounted(0, 0));
        balance.take(&reading(1100, &[(0, 50), (1, 0)], 0), accounted(150, 0));
        balance.take(&reading(1200, &[(0, 150)], 0), accounted(150, 0));
        assert_eq!(cpu_of(&balance), (150, 150));
        balance.take(&reading(1300, &[(0, 250), (1, 3)], 0), accounted(150, 0));
        balance.take(&reading(1400, &[(0, 350), (1, 53)], 0), accounted(200, 0));
        assert_eq!(cpu_of(&balance), (200, 200));
    }

    #[test]
    fn interrupts_and_stolen_time_are_kept_apart_from_use() {
        let mut balance = Balance::default();
        let at = |at_ns, cpus: &[(u32, u64, u64)]| NodeReading {
            at_ns,
            cpus: cpus
                .iter()
                .map(|&(cpu, idle_ns, taken_ns)| (cpu, Away { idle_ns, taken_ns }))
                .collect(),
            created: 0,
        };
        let mut taken = |reading: &NodeReading| {
            balance.take(reading, accounted(0, 0));
            (cpu_of(&balance).1, balance.sides().taken_cpu_ns)
        };
        assert_eq!(taken(&at(1000, &[(0, 100, 30), (1, 0, 20)])), (0, Some(0)));
        assert_eq!(
            taken(&at(1100, &[(0, 140, 40), (1, 90, 25)])),
            (55, Some(15))
        );
        // CPU 1 goes offline; a reading that falls changes nothing.
        assert_eq!(taken(&at(1200, &[(0, 240, 35)])), (60, Some(15)));
        assert_eq!(taken(&at(1300, &[(0, 300, 60)])), (75, Some(35)));
    }

    #[test]
    fn creations_are_absent_if_the_tier_does_not_see_all() {
        let mut balance = Balance::default();
        let unseen = Accounted::default();
        balance.take(&reading(1000, &[(0, 0)], 0), unseen);
        balance.take(&reading(1100, &[(0, 0)], 9), unseen);
        assert_eq!(balance.sides().creations, None);
    }
}
