//! The tiers that the tests run against, and what each may differ by: the one table of tolerances.

/// How the agent accounts, and what that is good for.
#[derive(Debug)]
pub(crate) struct Tier {
    /// Value of `--accounting`, and of the label `tier`.
    pub(crate) name: &'static str,
    /// Whether births, images and deaths are counted, and what lives between two scrapes is credited in full. Sampling
    /// sees neither.
    pub(crate) has_events: bool,
    /// CPU of processes that ended: at least this share of what `wait4` says…
    pub(crate) low: f64,
    /// …and at most this one.
    pub(crate) high: f64,
}

/// On the free rung, each process's last switch comes after `wait4` took its figure.
pub(crate) const LAST_SWITCH_NS: f64 = 20_000.0;

/// What a process nobody waits for may use after it has told what it used: its report, and its end.
pub(crate) const UNWAITED_END_NS: f64 = 1_000_000.0;

/// What an image has used is as fresh as the last tick when the next one takes its place: a tick of the slowest clock.
pub(crate) const TICK_NS: f64 = 10_000_000.0;

/// One `iter/task` pass a scrape, final totals from the kernel.
pub(crate) const ITERATOR: Tier = Tier {
    name: "iterator",
    has_events: true,
    low: 0.99,
    high: 1.02,
};

/// CPU of live processes from the scheduler, final totals from the kernel.
pub(crate) const SWITCH: Tier = Tier {
    name: "switch",
    ..ITERATOR
};

/// Sampling: what is born and gone between two scrapes does not exist, and nothing is counted twice.
pub(crate) const PROCFS: Tier = Tier {
    name: "procfs",
    has_events: false,
    low: 0.0,
    high: 1.02,
};

/// Those that count exactly.
pub(crate) const EXACT: [&Tier; 2] = [&ITERATOR, &SWITCH];
