//! One process of Gunicorn, and the tree that these processes form.

use std::collections::HashMap;
use std::sync::Arc;

use super::command::{Appearance, Title};
use super::cpu::CpuWindow;
use crate::process::{ExitStatus, ProcessId};

/// What a process of Gunicorn does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Arbiter,
    /// A worker of the arbiter with this identity.
    Worker(ProcessId),
    /// Forked by a worker, or a process that serves no requests.
    Helper,
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
    /// Process id of the process that forked it, as its fork record says; else of its present parent.
    pub(super) parent: u32,
    /// Its fork record came.
    pub(super) is_forked: bool,
    /// It has itself started Gunicorn, by exec.
    pub(super) has_execed: bool,
    pub(super) title: Title,
    pub(super) name: String,
    pub(super) role: Option<Role>,
    pub(super) end: Option<WorkerEnd>,
    /// Its parent has sent it ABRT or KILL.
    pub(super) is_timed_out: bool,
    pub(super) cpu: CpuWindow,
    /// Made when the process is first shown, so that it stays when the wall clock is set.
    pub(super) worker_id: Option<Arc<str>>,
}

impl Member {
    pub(super) fn new(id: ProcessId, parent: u32, looks: Appearance) -> Self {
        Self {
            id,
            parent,
            is_forked: false,
            has_execed: false,
            title: looks.title,
            name: looks.name,
            role: None,
            end: None,
            is_timed_out: false,
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
        let mut child = Self::new(id, self.id.tgid, looks);
        child.is_forked = true;
        child.role = match self.role {
            Some(Role::Worker(_) | Role::Helper) => Some(Role::Helper),
            Some(Role::Arbiter) | None => None,
        };
        child
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

    pub(super) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Member> {
        self.living.get_mut(&id.tgid).filter(|member| member.is(id))
    }

    fn by_tgid(&self, tgid: u32) -> Option<&Member> {
        let ended = || self.ended.iter().find(|member| member.id.tgid == tgid);
        self.living.get(&tgid).or_else(ended)
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

    /// Moves a living process to the ended ones. What is no worker and has no children to be decided leaves nothing.
    pub(super) fn end(&mut self, id: ProcessId, end: WorkerEnd) {
        if self.get_mut(id).is_some()
            && let Some(member) = self.living.remove(&id.tgid)
            && member.role != Some(Role::Helper)
        {
            self.ended.push(Member {
                end: Some(end),
                ..member
            });
        }
    }

    /// Decides the roles of all processes without one, parents before children. Returns what was decided.
    pub(super) fn decide(&mut self) -> Vec<(ProcessId, Role)> {
        let undecided = self.living.values().chain(&self.ended);
        let undecided = undecided.filter(|member| member.role.is_none());
        let mut ids: Vec<_> = undecided.map(|member| member.id).collect();
        ids.sort_unstable_by_key(|id| (id.start_ns, id.tgid));
        let mut decided = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(member) = self.any_mut(id) else {
                continue;
            };
            let role = {
                let member = &*member;
                let (title, parent) = (member.title, member.parent);
                let (is_forked, is_living) = (member.is_forked, member.end.is_none());
                match title {
                    Title::Other => Role::Helper,
                    _ if member.has_execed => Role::Arbiter,
                    _ => self.role_of_child(id, parent, title, is_forked, is_living),
                }
            };
            if let Some(member) = self.any_mut(id) {
                member.role = Some(role);
                decided.push((id, role));
            }
        }
        decided
    }

    fn role_of_child(
        &self,
        id: ProcessId,
        parent: u32,
        title: Title,
        is_forked: bool,
        is_living: bool,
    ) -> Role {
        let parent = self.by_tgid(parent).filter(|parent| parent.id != id);
        match parent.and_then(|parent| Some((parent, parent.role?))) {
            // A young worker still has the title that its arbiter had at the fork.
            Some((arbiter, Role::Arbiter)) if is_forked || title != Title::Master => {
                Role::Worker(arbiter.id)
            }
            // A new arbiter (USR2) whose exec the agent has not seen.
            Some((_, Role::Arbiter)) => Role::Arbiter,
            // `--daemon`: the process that was started forks another one, which forks the arbiter, and both end.
            Some((child, Role::Worker(first))) if is_living && self.have_ended(child, first) => {
                Role::Arbiter
            }
            Some((_, Role::Worker(_) | Role::Helper)) => Role::Helper,
            None if title == Title::Worker => Role::Worker(id),
            None => Role::Arbiter,
        }
    }

    /// Whether both have ended since the last pass.
    fn have_ended(&self, one: &Member, other: ProcessId) -> bool {
        one.end.is_some() && self.ended.iter().any(|member| member.id == other)
    }
}
