//! Decides which programs are loaded, from the facts about this kernel. Pure: no IO.
//!
//! In: the requested tier and [`Support`]. Out: plans, best first. Trying them is left to the parent module.

use super::program::KernelProgram;
use super::support::Support;
use crate::source::{ExitHook, Tier};

/// The tier that the operator requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountingRequest {
    /// The best one that works.
    Auto,
    /// This one; the agent does not start without it.
    Only(Tier),
}

impl AccountingRequest {
    /// Its name in flags and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Only(tier) => tier.word(),
        }
    }
}

/// The programs that the agent loads. [`Tier::Procfs`] loads nothing and has no exit hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How accounting is done.
    pub tier: Tier,
    /// The hook of the final totals.
    pub exit_hook: Option<ExitHook>,
}

impl Plan {
    /// The chosen tier, for the log.
    pub fn in_words(self) -> String {
        match self.exit_hook {
            Some(hook) => format!("{} tier, final totals at {}", self.tier.word(), hook.word()),
            None => "/proc only; processes that live between two scrapes are not seen".to_owned(),
        }
    }

    /// `/proc` only.
    pub const PROCFS: Self = Self {
        tier: Tier::Procfs,
        exit_hook: None,
    };

    /// The switch tier without type information.
    pub const TRACED: Self = Self {
        tier: Tier::Switch,
        exit_hook: Some(ExitHook::LastSwitch),
    };

    /// Whether its programs need the kernel's type information.
    pub fn needs_types(self) -> bool {
        self.exit_hook.is_some() && !self.is_traced()
    }

    /// Whether its programs are attached to classic tracepoints and keep their facts about processes in a map of their own.
    pub fn is_traced(self) -> bool {
        self.exit_hook == Some(ExitHook::LastSwitch)
    }

    /// How a message names this plan when it is tried after `refused`.
    fn instead_of(self, refused: Self) -> &'static str {
        match self.tier {
            Tier::Procfs => "/proc only",
            Tier::Switch if self.is_traced() => "the switch tier on tracepoints",
            tier if tier != refused.tier => "the switch tier",
            _ => "sched_process_free, where final totals are as exact, but come later",
        }
    }

    /// The programs that it cannot work without, in the order in which they are attached.
    pub fn programs(self) -> Vec<KernelProgram> {
        let all = KernelProgram::ALL.iter().copied();
        let is_needed = |program: &KernelProgram| {
            program.loss().is_none() && program.is_in(self.tier, self.exit_hook)
        };
        let mut programs: Vec<_> = all.filter(is_needed).collect();
        programs.sort_by_key(|program| program.moment());
        programs
    }
}

/// The end of the message that `refused` failed: the next plan, if anything is left of `plans`.
pub(super) fn next(plans: &[Plan], refused: Plan) -> String {
    let next = plans.first().map(|next| next.instead_of(refused));
    next.map_or_else(String::new, |next| format!("; trying {next}"))
}

/// The plans to try, best first. The last one of `Auto` is [`Plan::PROCFS`], which always works. Empty if the requested
/// tier cannot work here.
pub(super) fn candidates(request: AccountingRequest, support: &Support) -> Vec<Plan> {
    let mut plans = Vec::new();
    let wants =
        |tier| request == AccountingRequest::Auto || request == AccountingRequest::Only(tier);
    let may_load = support.obstacle.is_none();
    if may_load && support.no_types.is_none() {
        let exit_hooks = [
            (ExitHook::Release, support.release_task),
            (ExitHook::Free, true),
        ];
        let tiers = [
            (Tier::Iterator, support.task_iterator),
            (Tier::Switch, true),
        ];
        for (tier, _) in tiers
            .into_iter()
            .filter(|(tier, there)| *there && wants(*tier))
        {
            for (exit_hook, _) in exit_hooks.into_iter().filter(|(_, there)| *there) {
                plans.push(Plan {
                    tier,
                    exit_hook: Some(exit_hook),
                });
            }
        }
    }
    if may_load && support.no_tracepoints.is_none() && wants(Tier::Switch) {
        plans.push(Plan::TRACED);
    }
    if wants(Tier::Procfs) {
        plans.push(Plan::PROCFS);
    }
    plans
}

/// The plans that remain after the kernel refused the program `refused`.
pub(super) fn without(plans: &[Plan], refused: KernelProgram) -> Vec<Plan> {
    plans
        .iter()
        .copied()
        .filter(|plan| !plan.programs().contains(&refused))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::bpf::support::Obstacle;

    fn able() -> Support {
        Support {
            task_iterator: true,
            release_task: true,
            ..Support::default()
        }
    }

    #[test]
    fn the_best_plan_comes_first_and_procfs_last() {
        let plans = candidates(AccountingRequest::Auto, &able());
        assert_eq!(
            plans[0],
            Plan {
                tier: Tier::Iterator,
                exit_hook: Some(ExitHook::Release)
            }
        );
        assert_eq!(plans.last(), Some(&Plan::PROCFS));
        assert_eq!(plans.len(), 6);
    }

    #[test]
    fn refused_program_removes_only_its_own_plans() {
        let plans = candidates(AccountingRequest::Auto, &able());
        let left = without(&plans, KernelProgram::Release);
        assert_eq!(
            left[0],
            Plan {
                tier: Tier::Iterator,
                exit_hook: Some(ExitHook::Free)
            }
        );
        let left = without(&left, KernelProgram::Snapshot);
        assert_eq!(
            left[0],
            Plan {
                tier: Tier::Switch,
                exit_hook: Some(ExitHook::Free)
            }
        );
        assert_eq!(
            without(&left, KernelProgram::Fork),
            [Plan::TRACED, Plan::PROCFS]
        );
    }

    #[test]
    fn message_names_the_next_plan_if_there_is_one() {
        let plans = candidates(AccountingRequest::Auto, &able());
        assert_eq!(next(&[Plan::PROCFS], plans[0]), "; trying /proc only");
        assert_eq!(next(&plans[2..], plans[0]), "; trying the switch tier");
        assert_eq!(next(&[], plans[0]), "");
    }

    #[test]
    fn forced_tier_that_cannot_work_has_no_plan() {
        let unable = Support {
            obstacle: Some(Obstacle::NotBuilt),
            ..able()
        };
        assert!(candidates(AccountingRequest::Only(Tier::Iterator), &unable).is_empty());
        assert_eq!(candidates(AccountingRequest::Auto, &unable), [Plan::PROCFS]);
        let old = Support {
            task_iterator: false,
            ..able()
        };
        assert!(candidates(AccountingRequest::Only(Tier::Iterator), &old).is_empty());
        assert_eq!(
            candidates(AccountingRequest::Auto, &old)[0].tier,
            Tier::Switch
        );
    }

    #[test]
    fn without_types_the_switch_tier_sits_on_tracepoints() {
        let untyped = Support {
            no_types: Some(Obstacle::NoBtf(String::new())),
            ..able()
        };
        let plans = candidates(AccountingRequest::Auto, &untyped);
        assert_eq!(plans, [Plan::TRACED, Plan::PROCFS]);
        let plans = candidates(AccountingRequest::Only(Tier::Switch), &untyped);
        assert_eq!(plans, [Plan::TRACED]);
        assert!(candidates(AccountingRequest::Only(Tier::Iterator), &untyped).is_empty());
        let neither = Support {
            no_tracepoints: Some(Obstacle::NoTracefs(String::new())),
            ..untyped
        };
        assert_eq!(
            candidates(AccountingRequest::Auto, &neither),
            [Plan::PROCFS]
        );
    }

    #[test]
    fn programs_of_a_plan_are_attached_ends_before_births() {
        use KernelProgram::*;
        let plan = |tier, exit_hook| Plan {
            tier,
            exit_hook: Some(exit_hook),
        };
        let best = plan(Tier::Iterator, ExitHook::Release).programs();
        assert_eq!(best, [LeaderFree, Release, Exit, Exec, Fork, Snapshot]);
        let switch = plan(Tier::Switch, ExitHook::Free).programs();
        assert_eq!(switch, [Free, Exit, Exec, Fork, Switch]);
        let traced = Plan::TRACED.programs();
        let expected = [TraceFree, TraceSwitch, TraceExit, TraceExec, TraceNewtask];
        assert_eq!(traced, expected);
        assert!(Plan::PROCFS.programs().is_empty());
    }
}
