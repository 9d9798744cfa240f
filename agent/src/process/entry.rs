//! One process in the table, and the rules by which its use is booked.

use super::booked::Booked;
use super::membership::Membership;
use super::sight::Sight;
use super::{
    AccountId, Booking, Counters, Delta, ExitStatus, Former, Launch, Ledger, Lifecycle, Sample,
    Tally,
};

/// Former images of one process that may keep their shares between two passes. If there are more, the smallest share is
/// dropped: it is booked to no group, and its CPU time is counted as dropped.
pub(super) const SHARES: usize = 8;

/// The share of a replaced image: everything after the share before it, up to `counters`.
#[derive(Debug)]
pub(super) struct Split {
    /// `None`: the share was dropped.
    pub(super) account: Option<AccountId>,
    counters: Counters,
    launch: Launch,
}

/// What the exit record of a process reported.
#[derive(Debug)]
pub(super) struct AtExit {
    /// Totals at the exit; some of the last tick and of the exit itself are missing.
    pub(super) counters: Counters,
    /// Number of passes when the record came.
    pub(super) passes: u64,
}

/// How a process came to the image that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was forked, and no exec record came: what it has used is its launch.
    Forked,
    /// An exec record came, or nothing is known of its launch any more.
    Execed,
    /// It is older than the agent: the table takes its next totals over and books nothing.
    Older,
}

/// How far a process is on its way to its end.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its totals still rise, or its final totals are awaited and those of its exit record are booked.
    Running,
    /// Its exit record came. Its totals are to be booked if its final totals never come.
    Exited(Box<AtExit>),
    /// Its totals are final, though passes may still see it as a zombie.
    Projected,
}

/// Which events of a process are counted: their records may come twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) fork: bool,
    pub(super) exit: bool,
}

/// One process: its account, the phase it is in, and what is booked.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) membership: Membership,
    pub(super) origin: Origin,
    pub(super) phase: Phase,
    pub(super) counted: Counted,
    pub(super) sight: Sight,
    pub(super) booked: Booked,
    pub(super) splits: Vec<Split>,
    /// A later decision does not move what is booked so far, because another configuration has decided since, or because a
    /// share was dropped.
    pub(super) is_use_fixed: bool,
}

impl Entry {
    /// A process that is new to the table, with nothing booked.
    pub(super) fn new(membership: Membership, origin: Origin) -> Self {
        Self {
            membership,
            origin,
            phase: Phase::Running,
            counted: Counted::default(),
            sight: Sight::default(),
            booked: Booked::default(),
            splits: Vec::new(),
            is_use_fixed: false,
        }
    }

    /// The account that its use is booked to now.
    pub(super) const fn account(&self) -> AccountId {
        self.membership.account
    }

    /// Whether the process is known to have ended, or a pass has missed it.
    pub(super) const fn has_ended(&self) -> bool {
        self.counted.exit
            || matches!(self.phase, Phase::Projected)
            || self.sight.absent_since_ns.is_some()
    }

    /// Whether the next totals are from before the agent; from then on they are not.
    fn take_baseline(&mut self) -> bool {
        let is_baseline = self.origin == Origin::Older;
        if is_baseline {
            self.origin = Origin::Execed;
        }
        is_baseline
    }

    /// Books `counters`: each former image's share to its account, the rest to the present one. Returns the CPU time of dropped
    /// shares, nanoseconds.
    #[must_use]
    pub(super) fn credit(&mut self, counters: &Counters, ledger: &mut impl Ledger) -> u64 {
        self.credit_with(counters, Booked::raise, ledger)
    }

    /// As [`Self::credit`], for totals that a pass has read.
    #[must_use]
    pub(super) fn credit_pass(&mut self, counters: &Counters, ledger: &mut impl Ledger) -> u64 {
        self.credit_with(counters, Booked::raise_by_pass, ledger)
    }

    fn credit_with(
        &mut self,
        counters: &Counters,
        raise: fn(&mut Booked, &Counters) -> Delta,
        ledger: &mut impl Ledger,
    ) -> u64 {
        if self.take_baseline() {
            self.booked.raise_by_pass(counters);
            return 0;
        }
        let dropped_ns = self.credit_splits(ledger);
        let delta = raise(&mut self.booked, counters);
        book(
            ledger,
            self.account(),
            Tally {
                delta,
                ..Tally::default()
            },
        );
        dropped_ns
    }

    /// Books the shares of former images. Returns the CPU time of dropped shares, nanoseconds.
    #[must_use]
    pub(super) fn credit_splits(&mut self, ledger: &mut impl Ledger) -> u64 {
        let mut dropped_ns = 0;
        for split in std::mem::take(&mut self.splits) {
            let Split {
                account,
                counters,
                launch,
            } = split;
            match account {
                Some(account) => {
                    // Otherwise no pass has found changed ids, and the launch belongs to the next image.
                    if launch == Launch::Left {
                        let delta = self.booked.raise(&counters);
                        let tally = Tally {
                            delta,
                            ..Tally::default()
                        };
                        book(ledger, account, tally);
                    }
                    ledger.take(Booking::Closed(account));
                }
                None => {
                    let delta = self.booked.raise(&counters);
                    dropped_ns = delta.cpu_ns().saturating_add(dropped_ns);
                }
            }
        }
        dropped_ns
    }

    /// A pass sees the process: its user ids show which image the launch belongs to, if the exec record could not.
    pub(super) fn settle_launch(&mut self, sample: &Sample) {
        for split in &mut self.splits {
            if split.launch.is_left(sample) {
                split.launch = Launch::Left;
            }
        }
    }

    /// Ends the image: the next one begins at `counters`. The old image keeps its share; a launch may go to the next image
    /// (launch.rs). The share is booked when the process is next credited, not now: if the end of the process reaches the agent
    /// only as part of a sum by comm, that sum holds all its use.
    pub(super) fn end_image(
        &mut self,
        counters: Counters,
        former: &Former,
        ledger: &mut impl Ledger,
    ) {
        let merged = former.merged.as_deref();
        let ended = merged.map_or(counters, |merged| merged.counters);
        let launch = match self.origin {
            Origin::Forked => former.launch,
            Origin::Execed | Origin::Older => Launch::Left,
        };
        if launch == Launch::Taken {
            ledger.take(Booking::Closed(self.account()));
        } else {
            self.sight.threads.begin_image(&ended);
            if self.take_baseline() {
                self.booked.raise_by_pass(&ended);
                ledger.take(Booking::Closed(self.account()));
            } else {
                self.push(Some(self.account()), ended, launch, ledger);
            }
        }
        if merged.is_some() {
            self.drop_share(counters, ledger);
        }
        self.origin = Origin::Execed;
    }

    /// Drops what was used up to `counters` and belongs to no former image: it is booked to no group.
    pub(super) fn drop_share(&mut self, counters: Counters, ledger: &mut impl Ledger) {
        self.sight.threads.begin_image(&counters);
        self.push(None, counters, Launch::Left, ledger);
    }

    fn push(
        &mut self,
        account: Option<AccountId>,
        counters: Counters,
        launch: Launch,
        ledger: &mut impl Ledger,
    ) {
        self.splits.push(Split {
            account,
            counters,
            launch,
        });
        let has_account = |split: &&Split| split.account.is_some();
        if self.splits.iter().filter(has_account).count() > SHARES {
            self.drop_smallest(ledger);
        }
        // Adjacent dropped shares become one, so there are at most SHARES + 1 of them.
        self.splits.dedup_by(|next, before| {
            let are_dropped = next.account.is_none() && before.account.is_none();
            if are_dropped && next.counters.cpu.total_ns() > before.counters.cpu.total_ns() {
                before.counters = next.counters;
            }
            are_dropped
        });
    }

    /// Drops the share with the least CPU time; of several, the oldest.
    fn drop_smallest(&mut self, ledger: &mut impl Ledger) {
        let mut so_far_ns = self.booked.total().cpu_ns();
        let mut smallest: Option<(u64, usize)> = None;
        for (at, split) in self.splits.iter().enumerate() {
            let total_ns = split.counters.cpu.total_ns().max(so_far_ns);
            let share_ns = total_ns - so_far_ns;
            so_far_ns = total_ns;
            let is_smaller = smallest.is_none_or(|(least_ns, _)| share_ns < least_ns);
            if split.account.is_some() && is_smaller {
                smallest = Some((share_ns, at));
            }
        }
        if let Some((_, at)) = smallest {
            self.splits[at].launch = Launch::Left;
            let account = self.splits[at].account.take();
            account
                .into_iter()
                .for_each(|account| ledger.take(Booking::Closed(account)));
        }
    }

    /// Counts the exit once, whichever record reports it first.
    pub(super) fn book_exit(
        &mut self,
        status: ExitStatus,
        oom_killed: bool,
        ledger: &mut impl Ledger,
    ) {
        if !std::mem::replace(&mut self.counted.exit, true) {
            book(ledger, self.account(), exit_tally(status, oom_killed));
        }
    }

    /// Closes the accounts of former images and of the birth; the present one stays.
    pub(super) fn release_former(&mut self, ledger: &mut impl Ledger) {
        let accounts = self.splits.drain(..).filter_map(|split| split.account);
        accounts.for_each(|account| ledger.take(Booking::Closed(account)));
        if let Some(birth) = self.membership.birth.take() {
            ledger.take(Booking::Closed(birth));
        }
    }
}

/// Books `tally` unless it is empty.
pub(super) fn book(ledger: &mut impl Ledger, account: AccountId, tally: Tally) {
    if !tally.is_empty() {
        ledger.take(Booking::Used(account, &tally));
    }
}

/// The lifecycle counts of one exit.
pub(super) fn exit_tally(status: ExitStatus, oom_killed: bool) -> Tally {
    let mut lifecycle = Lifecycle {
        oom_kills: u64::from(oom_killed),
        ..Lifecycle::default()
    };
    match status {
        ExitStatus::Success => lifecycle.exits_success = 1,
        ExitStatus::Failure => lifecycle.exits_failure = 1,
        ExitStatus::Signal => lifecycle.exits_signal = 1,
        ExitStatus::Unknown => lifecycle.exits_unknown = 1,
    }
    Tally {
        lifecycle,
        ..Tally::default()
    }
}
