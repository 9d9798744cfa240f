//! The tiers that the tests run against, and their tolerances: the one table of them.

use std::path::Path;

use crate::agent::Agent;
use crate::guest;

/// A way in which the agent accounts, and its tolerances.
#[derive(Debug)]
pub(crate) struct Tier {
    /// The name of its runs.
    pub(crate) label: &'static str,
    /// Value of `--accounting`, and of the label `tier`.
    pub(crate) name: &'static str,
    /// Whether it rests on the kernel's type information.
    needs_btf: bool,
    /// The agent sees a kernel without type information, and with tracefs.
    pub(crate) without_types: bool,
    /// The agent sees a kernel without socket storage.
    pub(crate) without_storage: bool,
    /// Where a living process's CPU time and storage IO, and births and deaths, come from: `fact` and `source` of
    /// `headcount_source_info`.
    pub(crate) sources: [(&'static str, &'static str); 3],
    /// Whether births, images and ends are counted, and processes that live between two scrapes are credited in full.
    /// Sampling sees neither.
    pub(crate) has_events: bool,
    /// CPU of processes that ended: at least this share of what `wait4` says…
    pub(crate) low: f64,
    /// …and at most this one.
    pub(crate) high: f64,
    /// The same for the values that a living process reports of itself, at least. The switch tier adds up stretches between
    /// switches, on tracepoints by another clock than the scheduler's; 98.9 % was seen once.
    low_alive: f64,
    /// How far the CPU time of a process older than the agent may be off: its values in `/proc` at the start are two numbers
    /// of whole ticks.
    history_ns: f64,
}

impl Tier {
    /// Whether this kernel has the features that the tier needs. If a tier without them is forced, the agent must not start.
    pub(crate) fn can_work(&self) -> bool {
        if self.without_types {
            // Only root may mount tracefs, and not on a kernel that keeps its memory.
            return !guest::is_unprivileged() && !guest::is_locked_down();
        }
        if self.without_storage
            && (guest::is_unprivileged()
                || guest::is_locked_down()
                || guest::kernel_version() < STORAGE_FROM)
        {
            // Only root hides tracefs, lockdown forbids to read memory, and older kernels show the other tiers the same.
            return false;
        }
        !self.needs_btf || Path::new("/sys/kernel/btf/vmlinux").exists()
    }

    /// Whether agents see the storage IO of root's processes: `/proc` shows it to readers that may trace them.
    pub(crate) fn sees_io(&self) -> bool {
        self.sources.contains(&("io", "bpf")) || !guest::is_unprivileged()
    }

    /// The one that the agent chooses by itself.
    pub(crate) fn best() -> &'static Self {
        ALL.iter().find(|tier| tier.can_work()).unwrap()
    }

    /// The least that a living process shows that has used so much.
    pub(crate) fn least_alive(&self, used_ns: f64) -> f64 {
        used_ns * self.low_alive - self.cut_ns()
    }

    /// How far a living process's time may be off, more than by its share: switches next to threads of process 1 go unseen on
    /// the kernel of some sandboxes (7 of 100 ms, in one of a hundred tries), and a machine that a hypervisor does not run for a
    /// while goes on by the clock of tracepoints. `/proc` bounds it.
    pub(crate) fn cut_ns(&self) -> f64 {
        if self.name == SWITCH.name {
            2.0 * TICK_NS
        } else {
            0.0
        }
    }

    /// The same of the time of processes that ended, where nothing heals it: that of hypervisors is known. Emulation makes the two
    /// clocks of different timers; 12 % less was seen.
    pub(crate) fn noise_ns(&self, agent: &Agent, true_ns: f64) -> f64 {
        if !self.without_types {
            return 0.0;
        }
        let share = if guest::is_here() { 0.2 } else { 0.0 };
        share * true_ns + self.cut_ns() + agent.taken_ns()
    }

    /// How far history may leak, here: an end that takes a tick takes several in emulation. The tests' history is 300 ms.
    pub(crate) fn history_ns(&self) -> f64 {
        self.history_ns * if guest::is_here() { 4.0 } else { 1.0 }
    }
}

/// With the exit hook `free`, each process's last switch comes after `wait4` took its figure.
pub(crate) const LAST_SWITCH_NS: f64 = 20_000.0;

/// The CPU that a process without a waiting parent may use after its report: the report itself, and its end.
pub(crate) const UNWAITED_END_NS: f64 = 1_000_000.0;

/// The same, here.
pub(crate) fn unwaited_end_ns() -> f64 {
    UNWAITED_END_NS * if guest::is_here() { 20.0 } else { 1.0 }
}

/// Callbacks of RCU that may run at once in whatever context they interrupt: ten rounds of softirqs (`MAX_SOFTIRQ_RESTART`
/// of kernel/softirq.c) with ten callbacks each (`blimit` of kernel/rcu/tree.c).
const RCU_BURST: f64 = 100.0;

/// Final totals that the free hook may leave out, here. The kernel of some sandboxes does not run programs in the context of its
/// init, which loses a burst of them at once, or none; 132 of 4,000 were seen. A kernel of Debian's loses none.
pub(crate) fn left_out_by_free() -> f64 {
    if guest::is_here() {
        0.0
    } else {
        3.0 * RCU_BURST
    }
}

/// The use of an image is as fresh as the last tick when the next image takes its place: a tick of the slowest clock.
pub(crate) const TICK_NS: f64 = 10_000_000.0;

/// How far the border between two images' shares may be off, here: a tick, and the exec itself, which takes several in
/// emulation. The tests' images use 50 ms and more.
pub(crate) fn border_ns() -> f64 {
    TICK_NS * if guest::is_here() { 4.0 } else { 1.5 }
}

/// One `iter/task` pass a scrape, final totals from the kernel.
pub(crate) const ITERATOR: Tier = Tier {
    label: "iterator",
    name: "iterator",
    needs_btf: true,
    without_types: false,
    without_storage: false,
    sources: [("cpu", "bpf"), ("io", "bpf"), ("lifecycle", "bpf")],
    has_events: true,
    low: 0.99,
    high: 1.02,
    low_alive: 0.99,
    history_ns: TICK_NS,
};

/// The first kernel with all that socket storage needs.
const STORAGE_FROM: (u32, u32) = (5, 12);

/// The same, and the payload of sockets is kept in a hash.
pub(crate) const HASHED: Tier = Tier {
    label: "hashed",
    without_storage: true,
    ..ITERATOR
};

/// CPU of live processes from the scheduler, final totals from the kernel.
pub(crate) const SWITCH: Tier = Tier {
    label: "switch",
    name: "switch",
    sources: [("cpu", "procfs"), ("io", "procfs"), ("lifecycle", "bpf")],
    low_alive: 0.99,
    history_ns: 3.0 * TICK_NS,
    ..ITERATOR
};

/// The same on classic tracepoints. All of a process's time comes from its switches, also that of ended processes; the clock of
/// the switches counts interrupts, too, and runs a little apart from the scheduler's.
pub(crate) const TRACED: Tier = Tier {
    label: "traced",
    needs_btf: false,
    without_types: true,
    low: 0.97,
    low_alive: 0.97,
    ..SWITCH
};

/// Sampling: processes that live between two scrapes only are not seen, and nothing is counted twice.
pub(crate) const PROCFS: Tier = Tier {
    label: "procfs",
    name: "procfs",
    needs_btf: false,
    without_types: false,
    without_storage: false,
    sources: [("cpu", "procfs"), ("io", "procfs"), ("lifecycle", "absent")],
    has_events: false,
    low: 0.0,
    high: 1.02,
    low_alive: 0.0,
    history_ns: 3.0 * TICK_NS,
};

/// Those that count exactly.
pub(crate) const EXACT: &[&Tier] = &[&ITERATOR, &SWITCH, &TRACED];

/// Those of them that know the kernel's types.
pub(crate) const TYPED: &[&Tier] = &[&ITERATOR, &SWITCH];

/// These, and both ways to keep the payload of sockets.
pub(crate) const SOCKETS: &[&Tier] = &[&ITERATOR, &SWITCH, &HASHED];

/// All of them, in the order in which the agent prefers them.
pub(crate) const ALL: &[&Tier] = &[&ITERATOR, &SWITCH, &TRACED, &PROCFS];
