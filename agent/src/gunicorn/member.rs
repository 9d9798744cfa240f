//! One process of Gunicorn, and the tree that these processes form.

use std::collections::HashMap;
use std::sync::Arc;

use super::command::{Appearance, Title};
use super::cpu::CpuWindow;
use crate::process::{ExitStatus, ProcessId};

/// The role of a process of Gunicorn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Arbiter,
    /// A worker of the arbiter with this identity.
    Worker(ProcessId),
    /// Forked by a worker, or a process that serves no requests.
    Helper,
}

impl Role {
    /// The arbiter of the instance to which the process `id` with this role belongs.
    pub(super) fn arbiter(self, id: ProcessId) -> Option<ProcessId> {
        match self {
            Self::Arbiter => Some(id),
            Self::Worker(arbiter) => Some(arbiter),
            Self::Helper => None,
        }
    }
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEnd {
    /// Exit code 0.
    Exit,
    /// Another exit code.
    Error,
    /// By a signal.
    Signal,
    /// By the kernel, for want of memory.
    Oom,
    /// After its arbiter sent it ABRT or KILL.
    Timeout,
    /// The record of its end was lost.
    Unknown,
}

impl WorkerEnd {
    /// All ends with their label values, in the order of their counts.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Exit, "exit"),
        (Self::Error, "error"),
        (Self::Signal, "signal"),
        (Self::Oom, "oom"),
        (Self::Timeout, "timeout"),
        (Self::Unknown, "unknown"),
    ];

    pub(super) const fn of(status: ExitStatus, oom_killed: bool) -> Self {
        match status {
            _ if oom_killed => Self::Oom,
            ExitStatus::Success => Self::Exit,
            ExitStatus::Failure => Self::Error,
            ExitStatus::Signal => Self::Signal,
            ExitStatus::Unknown => Self::Unknown,
        }
    }
}

/// One tracked process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: ProcessId,
    /// Its effective uid when it became Gunicorn; `None` if that is not known.
    pub(super) user: Option<u32>,
    /// Process id of the process that forked it, as its fork record says; else of its present parent.
    pub(super) parent: u32,
    /// Its fork record came.
    pub(super) is_forked: bool,
    /// It has itself started Gunicorn, by exec.
    pub(super) has_execed: bool,
    pub(super) title: Title,
    pub(super) name: String,
    pub(super) role: Option<Role>,
    /// The name of the application that it upgrades (USR2): the arbiter that has forked it has this name.
    pub(super) upgrade_of: Option<String>,
    pub(super) end: Option<WorkerEnd>,
    /// Its parent has sent it ABRT or KILL.
    pub(super) is_timed_out: bool,
    /// It has ended, and its group counts requests.
    pub(super) was_counted: bool,
    pub(super) cpu: CpuWindow,
    /// Made when the process is first shown, so that it stays when the wall clock is set.
    pub(super) worker_id: Option<Arc<str>>,
}

impl Member {
    pub(super) fn new(id: ProcessId, parent: u32, user: Option<u32>, looks: Appearance) -> Self {
        Self {
            id,
            user,
            parent,
            is_forked: false,
            has_execed: false,
            title: looks.title,
            name: looks.name,
            role: None,
            upgrade_of: None,
            end: None,
            is_timed_out: false,
            was_counted: false,
            cpu: CpuWindow::since(id.start_ns),
            worker_id: None,
        }
    }

    /// A child with the image of `self`.
    pub(super) fn child(&self, id: ProcessId) -> Self {
        let looks = Appearance {
            title: Title::Absent,
            name: self.name.clone(),
        };
        let mut child = Self::new(id, self.id.tgid, self.user, looks);
        child.is_forked = true;
        child.role = match self.role {
            Some(Role::Worker(_) | Role::Helper) => Some(Role::Helper),
            Some(Role::Arbiter) | None => None,
        };
        child
    }

    /// The name of its application. During an upgrade the new arbiter has that of the old one with `.2` in its title.
    pub(super) fn app(&self) -> &str {
        match &self.upgrade_of {
            Some(former)
                if self.title == Title::Absent
                    || self.name.strip_suffix(".2") == Some(former.as_str()) =>
            {
                former
            }
            _ => &self.name,
        }
    }

    pub(super) fn take_appearance(&mut self, looks: Appearance) {
        (self.title, self.name) = (looks.title, looks.name);
    }

    /// Whether `id` means this process. One source may know its start only to the tick.
    pub(super) const fn is(&self, id: ProcessId) -> bool {
        self.id.tgid == id.tgid && self.id.tick() == id.tick()
    }
}

/// The tracked processes: the living ones, and those that ended since the last pass.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) living: HashMap<u32, Member>,
    pub(super) ended: Vec<Member>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.living.len() + self.ended.len()
    }

    /// The living process `id`.
    pub(super) fn living_mut(&mut self, id: ProcessId) -> Option<&mut Member> {
        self.living.get_mut(&id.tgid).filter(|member| member.is(id))
    }

    fn by_tgid(&self, tgid: u32) -> Option<&Member> {
        let ended = || self.ended.iter().find(|member| member.id.tgid == tgid);
        self.living.get(&tgid).or_else(ended)
    }

    /// As [`Self::any_mut`].
    fn any(&self, id: ProcessId) -> Option<&Member> {
        match self.living.get(&id.tgid) {
            Some(member) if member.is(id) => Some(member),
            _ => self.ended.iter().find(|member| member.is(id)),
        }
    }

    /// The living or ended process `id`.
    pub(super) fn any_mut(&mut self, id: ProcessId) -> Option<&mut Member> {
        match self.living.get_mut(&id.tgid) {
            Some(member) if member.is(id) => Some(member),
            _ => self.ended.iter_mut().find(|member| member.is(id)),
        }
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.living.values_mut().chain(&mut self.ended)
    }

    /// Moves a living process to those that have ended. A helper, which is neither arbiter nor worker, is dropped.
    pub(super) fn end(&mut self, id: ProcessId, end: WorkerEnd) {
        if self.living_mut(id).is_some()
            && let Some(member) = self.living.remove(&id.tgid)
            && member.role != Some(Role::Helper)
        {
            self.ended.push(Member {
                end: Some(end),
                ..member
            });
        }
    }

    /// Decides the roles of all processes without one, parents before children. Returns the decisions.
    pub(super) fn decide(&mut self) -> Vec<(ProcessId, Role)> {
        let undecided = self.living.values().chain(&self.ended);
        let undecided = undecided.filter(|member| member.role.is_none());
        let mut ids: Vec<_> = undecided.map(|member| member.id).collect();
        ids.sort_unstable_by_key(|id| (id.start_ns, id.tgid));
        let mut decided = Vec::with_capacity(ids.len());
        for id in ids {
            let Some((role, upgrade_of)) = self.any(id).map(|member| self.role_of(member)) else {
                continue;
            };
            if let Some(member) = self.any_mut(id) {
                (member.role, member.upgrade_of) = (Some(role), upgrade_of);
                let parent = member.parent;
                decided.push((id, role));
                if role == Role::Arbiter {
                    self.pass_over(parent, &mut decided);
                }
            }
        }
        decided
    }

    /// An arbiter has this parent. If that is a worker (`--daemon`), it serves no requests.
    fn pass_over(&mut self, parent: u32, decided: &mut Vec<(ProcessId, Role)>) {
        let parents = self.ended.iter_mut().filter(|one| one.id.tgid == parent);
        for parent in parents {
            if let Some(Role::Worker(_)) = parent.role {
                parent.role = Some(Role::Helper);
                decided.retain(|(id, _)| *id != parent.id);
            }
        }
    }

    /// The role of a process, and the name of the application that it upgrades as a further arbiter.
    fn role_of(&self, member: &Member) -> (Role, Option<String>) {
        let parent = self.by_tgid(member.parent);
        let parent = parent.filter(|parent| parent.id != member.id);
        let is_living = member.end.is_none();
        let role = match parent.and_then(|parent| Some((parent, parent.role?))) {
            _ if member.title == Title::Other => Role::Helper,
            _ if member.has_execed => Role::Arbiter,
            // A young worker still has the title that its arbiter had at the fork.
            Some((arbiter, Role::Arbiter)) if member.is_forked || member.title != Title::Master => {
                Role::Worker(arbiter.id)
            }
            // A new arbiter (USR2) whose exec the agent has not seen.
            Some((_, Role::Arbiter)) => Role::Arbiter,
            // `--daemon`: the process that was started forks another one, which forks the arbiter, and both end.
            Some((child, Role::Worker(first))) if is_living && self.have_ended(child, first) => {
                Role::Arbiter
            }
            Some((_, Role::Worker(_) | Role::Helper)) => Role::Helper,
            None if member.title == Title::Worker => Role::Worker(member.id),
            None => Role::Arbiter,
        };
        let old =
            parent.filter(|parent| (role, parent.role) == (Role::Arbiter, Some(Role::Arbiter)));
        (role, old.map(|old| old.app().to_owned()))
    }

    /// Whether both have ended since the last pass.
    fn have_ended(&self, one: &Member, other: ProcessId) -> bool {
        one.end.is_some() && self.ended.iter().any(|member| member.id == other)
    }
}
