//! One process in the table, and the rules by which its use is booked.

use super::booked::Booked;
use super::membership::{Membership, Naming};
use super::phase::{Counted, ImageOrigin, Phase};
use super::proportional::KnownProportional;
use super::sight::{Held, Sight};
use super::{
    AccountId, Booking, Counters, Delta, ExitStatus, Facts, Former, Launch, Ledger, Lifecycle,
    Pass, Released, Sample, State, Tally,
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

/// The facts that the table needs after a pass has seen a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    /// It ran since its descriptors and wait channels were last read.
    pub(super) has_run: bool,
    /// It got an account of its own, which is undecided.
    pub(super) is_separated: bool,
    /// CPU time of dropped shares, nanoseconds.
    pub(super) dropped_ns: u64,
}

/// One process: its account, the phase it is in, and its booked use.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) membership: Membership,
    pub(super) origin: ImageOrigin,
    pub(super) phase: Phase,
    pub(super) counted: Counted,
    pub(super) sight: Sight,
    pub(super) booked: Booked,
    pub(super) splits: Vec<Split>,
    /// A later decision does not move the use booked so far, because another configuration has decided since, or because a
    /// share was dropped.
    pub(super) is_use_fixed: bool,
}

impl Entry {
    /// A process that is new to the table, with nothing booked.
    pub(super) fn new(membership: Membership, origin: ImageOrigin) -> Self {
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

    /// Whether the process is a zombie, is known to have ended, or was missed by a pass.
    pub(super) fn is_ending(&self) -> bool {
        let state = self.sight.held.map(|held| held.state);
        self.has_ended() || matches!(state, Some(State::Zombie))
    }

    /// Takes the sample of the process from pass number `passes`.
    pub(super) fn observe(
        &mut self,
        sample: &Sample,
        pass: &Pass,
        passes: u64,
        ledger: &mut impl Ledger,
    ) -> Observed {
        let before = self.see(sample, pass, passes, ledger);
        if let (true, Some(before), Some(now)) =
            (pass.memory_elsewhere, before, &mut self.sight.held)
        {
            now.memory = before.memory;
        }
        self.sight.threads.update(pass.threads_of(sample));
        let may_credit = pass.may_credit(sample.id);
        // A process that has not run since it was last credited has used nothing more: its totals need no comparison.
        let has_run = |before: Held| !before.is_credited || before.ran_marker != sample.ran_marker;
        let counters = (may_credit && before.is_none_or(has_run)).then(|| {
            let threads = &self.sight.threads;
            threads.complete(sample.counters, pass.switches_are_by_thread(sample.id.tgid))
        });
        let mut dropped_ns = 0;
        if sample.has_borrowed_ids
            && self.origin == ImageOrigin::Forked
            && let Some(counters) = counters
        {
            let was_credited = before.is_some_and(|before| before.is_credited);
            dropped_ns = self.credit_unreported_image(counters, was_credited, ledger);
        }
        let is_looked_at = may_credit || !sample.has_borrowed_ids;
        let is_inherited = !self.membership.is_own() && !self.counted.exit;
        let is_separated = is_inherited && is_looked_at && sample.state != State::Zombie;
        if is_separated {
            self.membership.separate(ledger);
        }
        if let Some(counters) = counters {
            self.settle_launch(sample);
            dropped_ns = self
                .credit_pass(&counters, ledger)
                .saturating_add(dropped_ns);
        }
        Observed {
            has_run: self.sight.probed != Some(sample.ran_marker),
            is_separated,
            dropped_ns,
        }
    }

    /// Takes the reading of a process in no group from pass number `passes`: its `stat` only. Its storage I/O and context
    /// switches are unknown meanwhile; they count from the first reading after the process has got a group. Then everything is
    /// read anew. Returns the CPU time of dropped shares, nanoseconds.
    #[must_use]
    pub(super) fn observe_briefly(
        &mut self,
        sample: &Sample,
        pass: &Pass,
        passes: u64,
        ledger: &mut impl Ledger,
    ) -> u64 {
        self.see(sample, pass, passes, ledger);
        self.sight.probed = None;
        let counters = Counters {
            io: None,
            switches: None,
            ..sample.counters
        };
        let dropped_ns = self.credit_pass(&counters, ledger);
        self.booked.count_from_next_reading();
        dropped_ns
    }

    /// Notes that pass number `passes` saw the process. Returns the sample of the pass before.
    fn see(
        &mut self,
        sample: &Sample,
        pass: &Pass,
        passes: u64,
        ledger: &mut impl Ledger,
    ) -> Option<Held> {
        self.sight.seen = passes;
        if self.sight.absent_since_ns.take().is_some() {
            self.membership.enter(ledger);
        }
        self.sight.held.replace(Held {
            is_credited: pass.may_credit(sample.id),
            ..sample.into()
        })
    }

    /// Books the use before a set-user-ID or set-group-ID program if the record of its exec was lost: another user's code ran
    /// before. Returns the CPU time of dropped shares, nanoseconds.
    fn credit_unreported_image(
        &mut self,
        counters: Counters,
        was_credited: bool,
        ledger: &mut impl Ledger,
    ) -> u64 {
        if !self.membership.is_own() {
            // The use belongs to the image that the process was forked with.
            return self.credit_pass(&counters, ledger);
        }
        if !was_credited {
            // That image is unknown, so the share is dropped.
            self.drop_share(counters, ledger);
            self.is_use_fixed = true;
        }
        0
    }

    /// Books the totals of the exit record of a process that is absent from a pass; its final record, if it comes, adds the
    /// missing use. Returns the CPU time of dropped shares, nanoseconds. Returns `None` if that is done already, if no exit
    /// record came, or if a sum by comm may hold its final totals. `summed`: number of passes when the last sums came.
    ///
    /// A sum holds no process that was born before a pass began and ended after it: the kernel compares the two times. So a
    /// process that a pass has credited is in no sum. For a process that no pass has seen, only sums matter that came with its
    /// exit record, or one pass before it: a record may wait for the drain after the one that read the sums. Sums that come
    /// after this pass cannot hold it, because it was born before this pass began.
    pub(super) fn credit_at_exit(
        &mut self,
        is_young: bool,
        summed: Option<u64>,
        ledger: &mut impl Ledger,
    ) -> Option<u64> {
        let was_credited = self.sight.held.is_some_and(|held| held.is_credited);
        let Phase::Exited(at_exit) = &self.phase else {
            return None;
        };
        if !was_credited && summed.is_some_and(|summed| at_exit.passes <= summed + 1) {
            return None;
        }
        let counters = at_exit.counters;
        self.phase = Phase::Running;
        self.trust_if_young(is_young);
        Some(self.credit(&counters, ledger))
    }

    /// Books the known use of a process that is gone without final totals: those of its exit record, unless [a sum may hold
    /// them](Self::credit_at_exit). Otherwise only the shares of its former images are booked, and only if a pass has seen the
    /// process: the sums hold processes that no pass has credited. Returns the CPU time of dropped shares, nanoseconds.
    #[must_use]
    pub(super) fn credit_unconfirmed(
        &mut self,
        is_young: bool,
        summed: Option<u64>,
        ledger: &mut impl Ledger,
    ) -> u64 {
        match self.credit_at_exit(is_young, summed, ledger) {
            Some(dropped_ns) => dropped_ns,
            None if self.sight.held.is_some() => self.credit_splits(ledger),
            None => 0,
        }
    }

    /// Takes the final totals. Returns the CPU time of dropped shares, nanoseconds.
    #[must_use]
    pub(super) fn release(
        &mut self,
        released: &Released,
        is_young: bool,
        ledger: &mut impl Ledger,
    ) -> u64 {
        self.trust_if_young(is_young);
        self.membership.leave(ledger);
        // A fork that never called exec gets the group of its image.
        let is_fork_only = self.counted.fork && self.origin == ImageOrigin::Forked;
        let facts = Some(&released.facts).filter(|_| !is_fork_only);
        self.membership.name_by_events(facts, ledger);
        // The final totals hold the switches of all threads, dead ones included.
        let counters = self.sight.threads.complete(released.counters, false);
        let dropped_ns = self.credit(&counters, ledger);
        self.phase = Phase::Projected;
        dropped_ns
    }

    /// A kernel record brings totals: if the process was born after the agent began to watch, all of them count.
    pub(super) fn trust_if_young(&mut self, is_young: bool) {
        if is_young {
            self.booked.trust_records();
        }
    }

    /// Whether the next totals are from before the agent; from then on they are not.
    fn take_baseline(&mut self) -> bool {
        let is_baseline = self.origin == ImageOrigin::Older;
        if is_baseline {
            self.origin = ImageOrigin::Known;
        }
        is_baseline
    }

    /// Books `counters`: each former image's share to its account, the rest to the present one. Returns the CPU time of dropped
    /// shares, nanoseconds.
    #[must_use]
    fn credit(&mut self, counters: &Counters, ledger: &mut impl Ledger) -> u64 {
        self.credit_with(counters, Booked::raise, ledger)
    }

    /// As [`Self::credit`], for totals that a pass has read.
    #[must_use]
    fn credit_pass(&mut self, counters: &Counters, ledger: &mut impl Ledger) -> u64 {
        self.credit_with(counters, Booked::raise_by_pass, ledger)
    }

    fn credit_with(
        &mut self,
        counters: &Counters,
        raise: fn(&mut Booked, &Counters) -> Delta,
        ledger: &mut impl Ledger,
    ) -> u64 {
        if self.take_baseline() {
            let baseline = self.booked.raise_by_pass(counters);
            book(ledger, self.account(), baseline.without_use().into());
            return 0;
        }
        let dropped_ns = self.credit_splits(ledger);
        let delta = raise(&mut self.booked, counters);
        book(ledger, self.account(), delta.into());
        dropped_ns
    }

    /// Books the shares of former images. Returns the CPU time of dropped shares, nanoseconds.
    #[must_use]
    fn credit_splits(&mut self, ledger: &mut impl Ledger) -> u64 {
        let mut dropped_ns = 0;
        for split in std::mem::take(&mut self.splits) {
            let Split {
                account,
                counters,
                launch,
            } = split;
            match account {
                Some(account) => {
                    // `Launch::Unless` at this point: no pass has found changed ids, so the next image gets the launch, with
                    // its own share.
                    if launch == Launch::Left {
                        let delta = self.booked.raise(&counters);
                        book(ledger, account, delta.into());
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
    fn settle_launch(&mut self, sample: &Sample) {
        for split in &mut self.splits {
            if split.launch.is_left(sample) {
                split.launch = Launch::Left;
            }
        }
    }

    /// Begins the image of a program that the process has started at `counters`, with an account of its own.
    pub(super) fn begin_image(
        &mut self,
        account: AccountId,
        facts: Box<Facts>,
        counters: Counters,
        former: &Former,
        ledger: &mut impl Ledger,
    ) {
        self.membership.leave(ledger);
        // The old image's command line cannot be read any more.
        self.membership.name_by_events(None, ledger);
        self.end_image(counters, former, ledger);
        self.membership.account = account;
        self.membership.enter(ledger);
        self.membership.naming = Naming::Waiting(Some(facts));
        // The memory that was read is the old image's.
        self.sight.proportional = KnownProportional::default();
    }

    /// Ends the image: the next one begins at `counters`. The old image keeps its share; a launch may go to the next image
    /// (launch.rs). The share is booked when the process is next credited, not now: if the end of the process reaches the agent
    /// only as part of a sum by comm, that sum holds all its use.
    fn end_image(&mut self, counters: Counters, former: &Former, ledger: &mut impl Ledger) {
        let merged = former.merged.as_deref();
        let ended = merged.map_or(counters, |merged| merged.counters);
        let launch = match self.origin {
            ImageOrigin::Forked => former.launch,
            ImageOrigin::Known | ImageOrigin::Older => Launch::Left,
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
        self.origin = ImageOrigin::Known;
    }

    /// Drops the use up to `counters` that belongs to no former image: it is booked to no group.
    fn drop_share(&mut self, counters: Counters, ledger: &mut impl Ledger) {
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

/// Books `tally` unless it says nothing.
pub(super) fn book(ledger: &mut impl Ledger, account: AccountId, tally: Tally) {
    if tally != Tally::default() {
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
    lifecycle.into()
}
