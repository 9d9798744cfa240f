//! The accounts of one process, and how its group is decided.
//!
//! ```text
//! fork record            Inherited: it shares the account of the image it was forked with
//! exec record, or a pass Waiting: it has an account of its own, whose group is not decided
//! decision, or its end   Decided
//! another configuration  Waiting again; the old decision holds until the next one
//! ```

use super::{AccountId, Booking, Facts, Ledger};

/// How a process gets its group.
#[derive(Debug)]
pub(super) enum Naming {
    /// It shares the account of the image it was forked with.
    Inherited,
    /// It has a group, or will get that of an ancestor.
    Decided,
    /// The `/proc` facts at the next pass that sees it alive decide; if it ends before, the facts of its exec record do.
    Waiting(Option<Box<Facts>>),
}

/// The accounts that a process uses now and was born into.
#[derive(Debug)]
pub(super) struct Membership {
    /// The account that its use is booked to now.
    pub(super) account: AccountId,
    /// The account it was born into: its images join that group if they match nothing.
    pub(super) birth: Option<AccountId>,
    pub(super) naming: Naming,
    /// It is alive, and its account was [entered](Booking::Entered).
    is_entered: bool,
}

impl Membership {
    /// That of a process whose account was opened for it alone.
    pub(super) const fn own(account: AccountId) -> Self {
        Self {
            account,
            birth: None,
            naming: Naming::Waiting(None),
            is_entered: false,
        }
    }

    /// That of a process forked with the image of `account`; it uses the account twice, as its own and as that of its birth.
    pub(super) const fn inherited(account: AccountId) -> Self {
        Self {
            account,
            birth: Some(account),
            naming: Naming::Inherited,
            is_entered: false,
        }
    }

    /// Whether the account was opened for this process; otherwise it belongs to the image the process was forked with.
    pub(super) const fn is_own(&self) -> bool {
        !matches!(self.naming, Naming::Inherited)
    }

    /// The facts of the exec record while the process waits for a decision.
    pub(super) fn waiting_facts(&self) -> Option<&Facts> {
        match &self.naming {
            Naming::Waiting(facts) => facts.as_deref(),
            Naming::Inherited | Naming::Decided => None,
        }
    }

    /// Notes that the process is alive and runs the image of its account.
    pub(super) fn enter(&mut self, ledger: &mut impl Ledger) {
        if !std::mem::replace(&mut self.is_entered, true) {
            ledger.take(Booking::Entered(self.account));
        }
    }

    /// Notes that the process has ended, or is about to get another account.
    pub(super) fn leave(&mut self, ledger: &mut impl Ledger) {
        if std::mem::take(&mut self.is_entered) {
            ledger.take(Booking::Left(self.account));
        }
    }

    /// Gives the process an account of its own: it was forked, never called exec and is still there. From here on its own facts
    /// decide.
    pub(super) fn separate(&mut self, ledger: &mut impl Ledger) {
        let account = ledger.open(Some(self.account));
        ledger.take(Booking::Inherits(account));
        self.leave(ledger);
        ledger.take(Booking::Closed(std::mem::replace(
            &mut self.account,
            account,
        )));
        self.enter(ledger);
        self.naming = Naming::Waiting(None);
    }

    /// The configuration has changed: the process waits for a decision. It keeps the facts of its exec record, if it has them.
    pub(super) fn undecide(&mut self) {
        if matches!(self.naming, Naming::Decided) {
            self.naming = Naming::Waiting(None);
        }
    }

    /// Decides an undecided account now, because the process cannot be read any more: by its exec record, else by `otherwise`,
    /// else as its ancestor. A decision of a former configuration stays.
    pub(super) fn name_by_events(&mut self, otherwise: Option<&Facts>, ledger: &mut impl Ledger) {
        let Naming::Waiting(exec) = &mut self.naming else {
            return;
        };
        let exec = exec.take();
        self.naming = Naming::Decided;
        let facts = exec.as_deref().or(otherwise);
        ledger.take(Booking::Named(self.account, facts));
    }

    /// Decides at the exit, by the exec record. A fork that never called exec returns to the image it was born with. Returns
    /// `false` if nothing is undecided, or there are no facts to decide by.
    pub(super) fn name_at_exit(&mut self, ledger: &mut impl Ledger) -> bool {
        let Naming::Waiting(exec) = &self.naming else {
            return false;
        };
        let has_decision = exec.is_some() || ledger.is_kept_open(self.account);
        let account = self.account;
        match self.birth {
            None if !has_decision => return false,
            // Its children share this account, and nothing else would decide it.
            Some(birth) if !has_decision => {
                self.name_by_events(None, ledger);
                ledger.take(Booking::Shared(birth));
                ledger.take(Booking::Closed(account));
                self.account = birth;
            }
            _ => self.name_by_events(None, ledger),
        }
        true
    }
}
