//! One process in the table, and the rules by which its use is booked.

use super::{
    AccountId, Counters, Delta, ExitStatus, Facts, Former, Launch, Ledger, Lifecycle, Memory,
    Sample, State, Tally, booked::Booked, proportional::Known, threads::Threads,
};

/// Former images of one process that may keep their shares between two passes. If there are more, the smallest share is
/// dropped: it is booked to no group, and its CPU time is counted as dropped.
pub(super) const SHARES: usize = 8;

/// How a process gets its group.
#[derive(Debug)]
pub(super) enum Naming {
    /// It has a group, or shares the account of its image.
    Done,
    /// The `/proc` facts at the next pass that sees it alive decide; if it ends before, the facts of its exec record do.
    Waiting(Option<Box<Facts>>),
}

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

/// What the last pass saw of a process, without the totals, which are in [`Entry::booked`]: half the size of a [`Sample`].
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

/// One process: its account, the phase it is in, and what is booked.
#[derive(Debug)]
pub(super) struct Entry {
    /// The account that its use is booked to now.
    pub(super) account: AccountId,
    /// Whether `account` was opened for this process; otherwise the account belongs to the image it was forked with.
    pub(super) own: bool,
    /// The account it was born into: its images join that group if they match nothing.
    pub(super) birth: Option<AccountId>,
    pub(super) naming: Naming,
    /// The next totals are from before the agent: the table takes them over and books nothing.
    pub(super) baseline: bool,
    /// A later decision does not move what is booked so far, because another configuration has decided since, or because a
    /// share was dropped.
    pub(super) reclassified: bool,
    /// An exec record came, or the process is older than the agent.
    pub(super) execed: bool,
    /// It is alive, and [`Ledger::enter`] was called for its account.
    pub(super) is_entered: bool,
    /// Its fork record came.
    pub(super) announced: bool,
    pub(super) exit_booked: bool,
    /// Totals of its exit record, to be booked if its final totals never come.
    pub(super) at_exit: Option<Box<AtExit>>,
    /// Its totals are final, though passes may still see it as a zombie.
    pub(super) projected: bool,
    pub(super) absent_since_ns: Option<u64>,
    /// Number of the last pass that saw it.
    pub(super) seen: u64,
    pub(super) held: Option<Held>,
    pub(super) threads: Threads,
    pub(super) proportional: Known,
    pub(super) open_files: Option<u64>,
    /// Value of `ran_marker` when the descriptors and the main thread's wait channel were last read.
    pub(super) probed: Option<u64>,
    pub(super) wchan: Option<std::sync::Arc<str>>,
    pub(super) booked: Booked,
    pub(super) splits: Vec<Split>,
}

impl Entry {
    /// A process that is new to the table, with nothing booked.
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

    /// Notes that the process is alive and runs the image of its account.
    pub(super) fn enter(&mut self, ledger: &mut impl Ledger) {
        if !std::mem::replace(&mut self.is_entered, true) {
            ledger.enter(self.account);
        }
    }

    /// Notes that the process has ended, or is about to get another account.
    pub(super) fn leave(&mut self, ledger: &mut impl Ledger) {
        if std::mem::take(&mut self.is_entered) {
            ledger.leave(self.account);
        }
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

    /// Drops what was used up to `counters` and belongs to no former image: it is booked to no group.
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
                .for_each(|account| ledger.close(account));
        }
    }

    /// Counts the exit once, whichever record reports it first.
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

    /// Decides an undecided account now, because the process cannot be read any more: by its exec record, else by `otherwise`,
    /// else as its ancestor. A decision of a former configuration stays.
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

    /// Decides at the exit, by the exec record. A fork that never called exec returns to the image it was born with. Returns
    /// `false` if nothing is undecided, or there are no facts to decide by.
    pub(super) fn name_at_exit(&mut self, ledger: &mut impl Ledger) -> bool {
        match (&self.naming, self.birth) {
            (Naming::Waiting(_), _) if ledger.confirm(self.account) => self.naming = Naming::Done,
            (Naming::Waiting(Some(_)), _) => self.name_by_events(None, ledger),
            (Naming::Waiting(None), Some(birth)) => {
                // Its children share this account, and nothing else would decide it.
                ledger.follow(self.account);
                ledger.share(birth);
                ledger.close(std::mem::replace(&mut self.account, birth));
                self.naming = Naming::Done;
            }
            _ => return false,
        }
        true
    }

    /// Closes the accounts of former images and of the birth; the present one stays.
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
