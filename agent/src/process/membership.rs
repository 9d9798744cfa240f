//! The accounts of one process, and how its group is decided.
//!
//! ```text
//! fork record            Inherited: it shares the account of the image it was forked with
//! exec record, or a pass Waiting: it has an account of its own, whose group is not decided
//! decision, or its end   Decided
//! another configuration  Waiting again; the old decision holds until the next one
//! ```

use super::{AccountId, Facts, Ledger};

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
    /// It is alive, and [`Ledger::enter`] was called for its account.
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
            ledger.enter(self.account);
        }
    }

    /// Notes that the process has ended, or is about to get another account.
    pub(super) fn leave(&mut self, ledger: &mut impl Ledger) {
        if std::mem::take(&mut self.is_entered) {
            ledger.leave(self.account);
        }
    }

    /// Gives the process an account of its own: it was forked, never called exec and is still there. From here on its own facts
    /// decide.
    pub(super) fn separate(&mut self, ledger: &mut impl Ledger) {
        let account = ledger.open_fork(self.account);
        self.leave(ledger);
        ledger.close(std::mem::replace(&mut self.account, account));
        self.enter(ledger);
        self.naming = Naming::Waiting(None);
    }

    /// The configuration has changed: the process waits for a decision. It keeps the facts of its exec record, if it has them.
    pub(super) fn undecide(&mut self, ledger: &mut impl Ledger) {
        ledger.undecide(self.account);
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
        if !ledger.confirm(self.account) {
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
            (Naming::Waiting(_), _) if ledger.confirm(self.account) => {
                self.naming = Naming::Decided
            }
            (Naming::Waiting(Some(_)), _) => self.name_by_events(None, ledger),
            (Naming::Waiting(None), Some(birth)) => {
                // Its children share this account, and nothing else would decide it.
                ledger.follow(self.account);
                ledger.share(birth);
                ledger.close(std::mem::replace(&mut self.account, birth));
                self.naming = Naming::Decided;
            }
            _ => return false,
        }
        true
    }
}
