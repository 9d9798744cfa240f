//! One process in the table, and the rules by which its use is booked.

use super::{
    AccountId, Counters, Delta, ExitStatus, Facts, Former, Launch, Ledger, Lifecycle, Memory,
    Sample, State, Tally, booked::Booked, proportional::Known, threads::Threads,
};

/// Former images of one process between two passes that keep their shares. Of more, the smallest share is dropped: it is
/// booked to no group, and its CPU time is counted.
pub(super) const SHARES: usize = 8;

/// How a process gets its group.
#[derive(Debug)]
pub(super) enum Naming {
    /// It has one, or shares its image's.
    Done,
    /// From `/proc` at the next pass that sees it alive; if it is gone before, from what its exec told.
    Waiting(Option<Box<Facts>>),
}

/// The share of an image that another one has replaced: all from the share before up to `counters`.
#[derive(Debug)]
pub(super) struct Split {
    /// `None`: the share is dropped.
    pub(super) account: Option<AccountId>,
    counters: Counters,
    launch: Launch,
}

/// What was known of a process when its end was told.
#[derive(Debug)]
pub(super) struct AtExit {
    /// Totals so far.
    pub(super) counters: Counters,
    /// Passes done before.
    pub(super) passes: u64,
}

/// What the last pass saw of it beside the totals, which are in what was booked: half the size of a [`Sample`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) parent: u32,
    pub(super) threads: u32,
    pub(super) state: State,
    pub(super) memory: Memory,
    pub(super) fd_limit: Option<u64>,
    pub(super) ran_marker: u64,
    /// Whether the totals of this pass are booked.
    pub(super) is_credited: bool,
}

impl From<&Sample> for Held {
    fn from(sample: &Sample) -> Self {
        Self {
            parent: sample.parent,
            threads: sample.threads,
            state: sample.state,
            memory: sample.memory,
            fd_limit: sample.fd_limit,
            ran_marker: sample.ran_marker,
            is_credited: false,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where its use is booked now.
    pub(super) account: AccountId,
    /// Whether `account` was opened for this process; else it is its image's.
    pub(super) own: bool,
    /// The account it was born into: whose group its images join where they match nothing.
    pub(super) birth: Option<AccountId>,
    pub(super) naming: Naming,
    /// The next totals are history from before the agent: taken over, not booked.
    pub(super) baseline: bool,
    /// What it has used so far stays where it was booked: it was looked at again under another configuration, or a share of it
    /// is dropped.
    pub(super) reclassified: bool,
    /// It has run an exec that was heard of, or is older than the agent.
    pub(super) execed: bool,
    /// It is alive, and the ledger knows: see [`Ledger::enter`].
    pub(super) is_entered: bool,
    /// Its fork was heard of.
    pub(super) announced: bool,
    pub(super) exit_booked: bool,
    /// What its end told, to be booked if its final totals never come.
    pub(super) at_exit: Option<Box<AtExit>>,
    /// Its totals are final, though it may still be seen as a zombie.
    pub(super) projected: bool,
    pub(super) absent_since_ns: Option<u64>,
    /// Number of the last pass that saw it.
    pub(super) seen: u64,
    pub(super) held: Option<Held>,
    pub(super) threads: Threads,
    pub(super) proportional: Known,
    pub(super) open_files: Option<u64>,
    /// Value of `ran_marker` when the descriptors and the main thread's wait channel were read.
    pub(super) probed: Option<u64>,
    pub(super) wchan: Option<std::sync::Arc<str>>,
    pub(super) booked: Booked,
    pub(super) splits: Vec<Split>,
}

impl Entry {
    /// A process that was just heard of, with nothing booked.
    pub(super) fn new(account: AccountId, own: bool) -> Self {
        Self {
            account,
            own,
            birth: None,
            naming: if own {
                Naming::Waiting(None)
            } else {
                Naming::Done
            },
            baseline: false,
            reclassified: false,
            execed: false,
            is_entered: false,
            announced: false,
            exit_booked: false,
            at_exit: None,
            projected: false,
            absent_since_ns: None,
            seen: 0,
            held: None,
            threads: Threads::default(),
            proportional: Known::default(),
            open_files: None,
            probed: None,
            wchan: None,
            booked: Booked::default(),
            splits: Vec::new(),
        }
    }

    /// It is alive and runs what its account stands for.
    pub(super) fn enter(&mut self, ledger: &mut impl Ledger) {
        if !std::mem::replace(&mut self.is_entered, true) {
            ledger.enter(self.account);
        }
    }

    /// It has ended, or is about to get another account.
    pub(super) fn leave(&mut self, ledger: &mut impl Ledger) {
        if std::mem::take(&mut self.is_entered) {
            ledger.leave(self.account);
        }
    }

    /// Books `counters`: each former image's share to its account, the rest to the present one. Returns the CPU time of
    /// dropped shares, nanoseconds.
    #[must_use]
    pub(super) fn credit(&mut self, counters: &Counters, ledger: &mut impl Ledger) -> u64 {
        self.credit_with(counters, Booked::raise, ledger)
    }

    /// The same of what a pass has read.
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
        if std::mem::take(&mut self.baseline) {
            self.booked.raise_by_pass(counters);
            return 0;
        }
        let dropped_ns = self.credit_splits(ledger);
        let delta = raise(&mut self.booked, counters);
        book(
            ledger,
            self.account,
            Tally {
                delta,
                ..Tally::default()
            },
        );
        dropped_ns
    }

    /// Books what former images used; returns as [`Self::credit`].
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
                    // No pass has found the process in other hands: the launch is the next image's.
                    if launch == Launch::Left {
                        let delta = self.booked.raise(&counters);
                        let tally = Tally {
                            delta,
                            ..Tally::default()
                        };
                        book(ledger, account, tally);
                    }
                    ledger.close(account);
                }
                None => {
                    let delta = self.booked.raise(&counters);
                    dropped_ns = delta.cpu_ns().saturating_add(dropped_ns);
                }
            }
        }
        dropped_ns
    }

    /// A pass sees the process: whose its launch is, if no record could tell.
    pub(super) fn settle_launch(&mut self, sample: &Sample) {
        for split in &mut self.splits {
            if split.launch.is_left(sample) {
                split.launch = Launch::Left;
            }
        }
    }

    /// The image ends, and another one begins at `counters`: a former one's share is its own, but a launch may go to the next
    /// image. It is booked when the process is next credited and not now: if its end reaches the agent only as part of a
    /// sum by comm, that sum holds all of it.
    pub(super) fn end_image(
        &mut self,
        counters: Counters,
        former: &Former,
        ledger: &mut impl Ledger,
    ) {
        let merged = former.merged.as_deref();
        let ended = merged.map_or(counters, |merged| merged.counters);
        let launch = match self.execed {
            true => Launch::Left,
            false => former.launch,
        };
        if launch == Launch::Taken {
            ledger.close(self.account);
        } else {
            self.threads.begin_image(&ended);
            if std::mem::take(&mut self.baseline) {
                self.booked.raise_by_pass(&ended);
                ledger.close(self.account);
            } else {
                self.push(Some(self.account), ended, launch, ledger);
            }
        }
        if merged.is_some() {
            self.drop_share(counters, ledger);
        }
        self.execed = true;
    }

    /// What was used up to `counters` and belongs to no former image is booked to no group.
    pub(super) fn drop_share(&mut self, counters: Counters, ledger: &mut impl Ledger) {
        self.threads.begin_image(&counters);
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
        // Neighbours that are dropped are one share: there are at most SHARES + 1 of them.
        self.splits.dedup_by(|next, before| {
            let are_dropped = next.account.is_none() && before.account.is_none();
            if are_dropped && next.counters.cpu.total_ns() > before.counters.cpu.total_ns() {
                before.counters = next.counters;
            }
            are_dropped
        });
    }

    /// The share of least CPU time is dropped, the oldest of several.
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
                .for_each(|account| ledger.close(account));
        }
    }

    /// Counts the end once, whichever record tells it first.
    pub(super) fn book_exit(
        &mut self,
        status: ExitStatus,
        oom_killed: bool,
        ledger: &mut impl Ledger,
    ) {
        if !std::mem::replace(&mut self.exit_booked, true) {
            book(ledger, self.account, exit_tally(status, oom_killed));
        }
    }

    /// Decides an undecided account now, since nobody can look at the process any more. Where a former configuration has
    /// decided, that stays.
    pub(super) fn name_by_events(&mut self, otherwise: Option<&Facts>, ledger: &mut impl Ledger) {
        if let Naming::Waiting(exec) = std::mem::replace(&mut self.naming, Naming::Done)
            && !ledger.confirm(self.account)
        {
            match exec.as_deref().or(otherwise) {
                Some(facts) => ledger.identify(self.account, facts),
                None => ledger.follow(self.account),
            }
        }
    }

    /// The same at its end, by what its exec told; one that ran no program stays with the image it was born with. `false`
    /// where there is nothing to decide, or nothing to decide by.
    pub(super) fn name_at_exit(&mut self, ledger: &mut impl Ledger) -> bool {
        match (&self.naming, self.birth) {
            (Naming::Waiting(_), _) if ledger.confirm(self.account) => self.naming = Naming::Done,
            (Naming::Waiting(Some(_)), _) => self.name_by_events(None, ledger),
            (Naming::Waiting(None), Some(birth)) => {
                // What it forked shares it, and nobody else would decide it.
                ledger.follow(self.account);
                ledger.share(birth);
                ledger.close(std::mem::replace(&mut self.account, birth));
                self.naming = Naming::Done;
            }
            _ => return false,
        }
        true
    }

    /// Gives back all accounts but the present one.
    pub(super) fn release_former(&mut self, ledger: &mut impl Ledger) {
        let accounts = self.splits.drain(..).filter_map(|split| split.account);
        accounts.for_each(|account| ledger.close(account));
        if let Some(birth) = self.birth.take() {
            ledger.close(birth);
        }
    }
}

/// Books `tally` unless it is empty.
pub(super) fn book(ledger: &mut impl Ledger, account: AccountId, tally: Tally) {
    if !tally.is_empty() {
        ledger.book(account, &tally);
    }
}

/// One end of a process.
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
