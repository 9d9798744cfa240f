//! From facts about this kernel to what is loaded. Pure.

use super::support::Support;
use crate::source::{Rung, Tier};

/// A kernel program. The names are those of the functions in agent-ebpf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `tp_btf/sched_process_fork`
    Fork,
    /// `tp_btf/sched_process_exec`
    Exec,
    /// `tp_btf/sched_process_exit`
    Exit,
    /// `fentry/release_task`
    Release,
    /// `tp_btf/sched_process_free`
    Free,
    /// `iter/task`
    Snapshot,
    /// `tp_btf/sched_switch`
    Switch,
    /// `tp_btf/sched_switch`, too; beside any plan, if it is wanted
    RunQueue,
}

impl Program {
    /// All programs, in the order of the architecture's picture.
    pub const ALL: [Self; 8] = [
        Self::Fork,
        Self::Exec,
        Self::Exit,
        Self::Release,
        Self::Free,
        Self::Snapshot,
        Self::Switch,
        Self::RunQueue,
    ];

    /// The function in the object file.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Fork => "process_fork",
            Self::Exec => "process_exec",
            Self::Exit => "process_exit",
            Self::Release => "task_release",
            Self::Free => "process_free",
            Self::Snapshot => "task_snapshot",
            Self::Switch => "task_switch",
            Self::RunQueue => "runqueue_switch",
        }
    }

    /// The hook it sits on, as metrics and messages name it.
    pub const fn hook(self) -> &'static str {
        match self {
            Self::Fork => "sched_process_fork",
            Self::Exec => "sched_process_exec",
            Self::Exit => "sched_process_exit",
            Self::Release => "release_task",
            Self::Free => "sched_process_free",
            Self::Snapshot => "iter/task",
            Self::Switch => "sched_switch",
            Self::RunQueue => "sched_switch/runqueue",
        }
    }
}

/// Which tier was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The best that works.
    Auto,
    /// This one or none.
    Only(Tier),
}

/// What is to be loaded. `Procfs` loads nothing and has no rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How accounting is done.
    pub tier: Tier,
    /// Where final totals come from.
    pub rung: Option<Rung>,
}

impl Plan {
    /// `/proc` only.
    pub const PROCFS: Self = Self {
        tier: Tier::Procfs,
        rung: None,
    };

    /// What is tried after `refused`, for a message.
    pub fn instead_of(self, refused: Self) -> &'static str {
        match self.tier {
            Tier::Procfs => "/proc only",
            tier if tier != refused.tier => "the switch tier",
            _ => "sched_process_free, which is as exact, but tells it later",
        }
    }

    /// Programs in the order in which they are attached: deaths before births, so that nobody is born whose end would
    /// be missed.
    pub fn programs(self) -> Vec<Program> {
        let last = match self.rung {
            Some(Rung::Release) => Program::Release,
            Some(Rung::Free) => Program::Free,
            None => return Vec::new(),
        };
        let reader = match self.tier {
            Tier::Iterator => Program::Snapshot,
            Tier::Switch => Program::Switch,
            Tier::Procfs => return Vec::new(),
        };
        vec![last, Program::Exit, Program::Exec, Program::Fork, reader]
    }
}

/// The plans to be tried, best first; the last one of `Auto` is [`Plan::PROCFS`], which always works. Empty when the
/// tier asked for cannot work here.
pub(super) fn candidates(request: Request, support: &Support) -> Vec<Plan> {
    let mut plans = Vec::new();
    let wants = |tier| request == Request::Auto || request == Request::Only(tier);
    if support.obstacle.is_none() {
        let rungs = [(Rung::Release, support.release_task), (Rung::Free, true)];
        let tiers = [
            (Tier::Iterator, support.task_iterator),
            (Tier::Switch, true),
        ];
        for (tier, _) in tiers
            .into_iter()
            .filter(|(tier, there)| *there && wants(*tier))
        {
            for (rung, _) in rungs.into_iter().filter(|(_, there)| *there) {
                plans.push(Plan {
                    tier,
                    rung: Some(rung),
                });
            }
        }
    }
    if wants(Tier::Procfs) {
        plans.push(Plan::PROCFS);
    }
    plans
}

/// What is left of `plans` after `refused` did not load or attach.
pub(super) fn without(plans: &[Plan], refused: Program) -> Vec<Plan> {
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
            obstacle: None,
            missing: Vec::new(),
        }
    }

    #[test]
    fn the_best_plan_comes_first_and_procfs_last() {
        let plans = candidates(Request::Auto, &able());
        assert_eq!(
            plans[0],
            Plan {
                tier: Tier::Iterator,
                rung: Some(Rung::Release)
            }
        );
        assert_eq!(plans.last(), Some(&Plan::PROCFS));
        assert_eq!(plans.len(), 5);
    }

    #[test]
    fn a_refused_program_takes_its_plans_away_and_no_others() {
        let plans = candidates(Request::Auto, &able());
        let left = without(&plans, Program::Release);
        assert_eq!(
            left[0],
            Plan {
                tier: Tier::Iterator,
                rung: Some(Rung::Free)
            }
        );
        let left = without(&left, Program::Snapshot);
        assert_eq!(
            left[0],
            Plan {
                tier: Tier::Switch,
                rung: Some(Rung::Free)
            }
        );
        assert_eq!(without(&left, Program::Fork), [Plan::PROCFS]);
    }

    #[test]
    fn a_forced_tier_that_cannot_work_leaves_nothing() {
        let unable = Support {
            obstacle: Some(Obstacle::NotBuilt),
            ..able()
        };
        assert!(candidates(Request::Only(Tier::Iterator), &unable).is_empty());
        assert_eq!(candidates(Request::Auto, &unable), [Plan::PROCFS]);
        let old = Support {
            task_iterator: false,
            ..able()
        };
        assert!(candidates(Request::Only(Tier::Iterator), &old).is_empty());
        assert_eq!(candidates(Request::Auto, &old)[0].tier, Tier::Switch);
    }

    #[test]
    fn names_are_told_apart() {
        for (index, program) in Program::ALL.iter().enumerate() {
            assert!(
                program.symbol().len() < 16,
                "the kernel cuts program names at 15 bytes"
            );
            assert!(
                Program::ALL[index + 1..]
                    .iter()
                    .all(|other| other.hook() != program.hook())
            );
        }
    }
}
