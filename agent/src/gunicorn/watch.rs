//! Follows the processes of Gunicorn through records and passes, and books starts and ends of workers to applications.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::command::{Title, recognise};
use super::member::{Member, Members, Role, WorkerEnd};
use super::view::{ApplicationRow, GunicornView, WorkerRow};
use crate::process::{Event, Facts, ProcessId, RequestReading, RequestTally};

/// Most processes that are tracked. Further ones are not, and [`GunicornView::processes_full`] counts them.
const MOST_PROCESSES: usize = 4096;
/// Most applications. A user other than root may have as many as places are left, so that no user takes all of them. Further ones are
/// not shown, and [`GunicornView::applications_full`] counts them.
const MOST_APPLICATIONS: usize = 128;
const ROOT: Option<u32> = Some(0);

/// The facts in the table about a tracked process after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// The pass saw it.
    Live(Seen),
    /// The pass did not see it, but it is not known to be gone.
    Unseen,
    /// The table has forgotten it.
    Gone,
}

/// A tracked process as the pass saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The process; its start may be finer than the one asked for.
    pub id: ProcessId,
    /// Process id of its present parent.
    pub parent: u32,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// CPU time since its start, nanoseconds.
    pub cpu_ns: u64,
    /// Whether its group counts HTTP requests; `None` while that is not decided.
    pub is_counted: Option<bool>,
}

/// Starts and ends of workers.
#[derive(Debug, Clone, Copy, Default)]
struct Turnover {
    starts: u64,
    ends: [u64; WorkerEnd::ALL.len()],
}

impl Turnover {
    fn add(&mut self, more: &Self) {
        self.starts += more.starts;
        for (sum, more) in self.ends.iter_mut().zip(more.ends) {
            *sum += more;
        }
    }
}

/// One arbiter and its workers.
#[derive(Debug, Default)]
struct Instance {
    name: String,
    /// The user of the arbiter; `None` if it is not known.
    user: Option<u32>,
    /// The arbiter lives.
    is_living: bool,
    /// The group of one of its processes counts requests, or did.
    is_shown: bool,
    /// [`GunicornView::applications_full`] has counted it.
    is_omitted: bool,
    /// Counts that belong to no application yet.
    turnover: Turnover,
}

/// All that is known of Gunicorn on this node.
#[derive(Debug)]
pub struct GunicornWatch {
    /// When records began to come, nanoseconds since boot: the start of a process that was born before is not counted.
    since_ns: u64,
    members: Members,
    /// By the identity of the arbiter. An orphaned worker is its own.
    instances: HashMap<ProcessId, Instance>,
    totals: BTreeMap<Arc<str>, Turnover>,
    /// How many of their names each user has brought.
    brought: HashMap<Option<u32>, usize>,
    view: GunicornView,
}

impl GunicornWatch {
    /// Records come since `since_ns`, nanoseconds since boot.
    pub fn new(since_ns: u64) -> Self {
        Self {
            since_ns,
            members: Members::default(),
            instances: HashMap::new(),
            totals: BTreeMap::new(),
            brought: HashMap::new(),
            view: GunicornView::default(),
        }
    }

    /// The applications as of the last pass.
    pub const fn view(&self) -> &GunicornView {
        &self.view
    }

    /// The living arbiters of the shown applications as of the last pass, with the names of these.
    pub fn arbiters(&self) -> impl Iterator<Item = (ProcessId, &Arc<str>)> {
        let living = self.members.living.values();
        let arbiters = living.filter(|member| member.role == Some(Role::Arbiter));
        arbiters.filter_map(|member| {
            let instance = self.instances.get(&member.id)?;
            let shown = instance.is_shown.then_some(instance.name.as_str())?;
            let (name, _) = self.totals.get_key_value(shown)?;
            Some((member.id, name))
        })
    }

    /// Takes one record.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Forked { child, parent } => self.forked(*child, *parent),
            Event::Execed { id, facts, .. } => self.execed(*id, facts),
            Event::Exited {
                id,
                status,
                oom_killed,
                ..
            } => self.members.end(*id, WorkerEnd::of(*status, *oom_killed)),
            Event::Released(_) => {}
        }
    }

    fn forked(&mut self, child: ProcessId, parent: ProcessId) {
        let Some(known) = self.members.living.get(&parent.tgid) else {
            return;
        };
        if parent.start_ns != 0 && !known.is(parent) {
            return;
        }
        let new = known.child(child);
        match self.members.any_mut(child) {
            // A pass came first.
            Some(known) if known.role.is_none() => {
                (known.parent, known.is_forked) = (new.parent, true);
            }
            Some(_) => {}
            None => self.track(new),
        }
    }

    fn execed(&mut self, id: ProcessId, facts: &Facts) {
        // The image before it has ended. Mostly it was a fork that an arbiter or a worker made to start a program.
        if let Some(Role::Worker(_)) = self.members.living_mut(id).and_then(|member| member.role) {
            self.members.end(id, WorkerEnd::Exit);
        }
        let known = self.members.living_mut(id).map(|member| member.role);
        match (recognise(facts), known) {
            (Some(looks), Some(_)) => {
                if let Some(member) = self.members.living_mut(id) {
                    member.take_appearance(looks);
                    (member.role, member.has_execed) = (None, true);
                }
            }
            (Some(looks), None) => {
                let mut member = Member::new(id, facts.parent, facts.uid, looks);
                member.has_execed = true;
                self.track(member);
            }
            (None, Some(Some(Role::Arbiter))) => self.members.end(id, WorkerEnd::Exit),
            (None, Some(_)) => {
                self.members.living.remove(&id.tgid);
            }
            (None, None) => {}
        }
    }

    fn track(&mut self, member: Member) {
        if self.members.len() >= MOST_PROCESSES {
            self.view.processes_full += 1;
            return;
        }
        let id = member.id;
        if let Some(former) = self.members.living.insert(id.tgid, member)
            && former.role != Some(Role::Helper)
        {
            // The record of its end was lost, and its process id has another process by now.
            let end = Some(WorkerEnd::Unknown);
            self.members.ended.push(Member { end, ..former });
        }
    }

    /// Takes the facts of a live process.
    pub fn note(&mut self, id: ProcessId, facts: &Facts) {
        let Some(looks) = recognise(facts) else {
            return;
        };
        match self.members.living_mut(id) {
            Some(member) => member.take_appearance(looks),
            None => self.track(Member::new(id, facts.parent, facts.uid, looks)),
        }
    }

    /// Arbiters that may yet give themselves a title with another name: their facts are to be read again before each
    /// [`Self::settle`].
    pub fn untitled(&self) -> Vec<ProcessId> {
        let living = self.members.living.values();
        let untitled = living
            .filter(|member| member.title == Title::Absent && member.role == Some(Role::Arbiter));
        untitled.map(|member| member.id).collect()
    }

    /// The parents of these processes have sent them ABRT or KILL.
    pub fn note_kills(&mut self, killed: &[ProcessId]) {
        for id in killed {
            if let Some(member) = self.members.any_mut(*id) {
                member.is_timed_out = true;
            }
        }
    }

    /// The processes that have ended since the last [`Self::settle`].
    pub fn ended(&self) -> impl Iterator<Item = ProcessId> {
        self.members.ended.iter().map(|member| member.id)
    }

    /// The groups of these processes, which have ended, count requests.
    pub fn note_counted(&mut self, ended: &[ProcessId]) {
        for id in ended {
            if let Some(member) = self.members.any_mut(*id) {
                member.was_counted = true;
            }
        }
    }

    /// To be called after a pass that began at `now_ns`, nanoseconds since boot, when the records before it are applied and processes
    /// are classified: decides roles, books, and makes the view. `boot_time`: seconds since the epoch.
    pub fn settle(
        &mut self,
        now_ns: u64,
        boot_time: u64,
        look: impl Fn(ProcessId) -> Sight,
        requests: Option<&RequestReading>,
    ) {
        let seen = self.look(look);
        for (id, role) in self.members.decide() {
            self.enrol(id, role);
        }
        self.name(&seen);
        self.book_ends();
        self.forget_outside(&seen);
        self.book_turnover();
        let served = requests.map(by_process);
        self.make_view(now_ns, boot_time, &seen, served.as_ref());
    }

    /// The living processes of the pass. Those that the table has forgotten have ended.
    fn look(&mut self, look: impl Fn(ProcessId) -> Sight) -> HashMap<ProcessId, Seen> {
        let mut seen = HashMap::with_capacity(self.members.living.len());
        let mut gone = Vec::new();
        for member in self.members.living.values_mut() {
            match look(member.id) {
                Sight::Live(now) => {
                    if member.role.is_none() {
                        member.id = now.id;
                    }
                    if !member.is_forked {
                        member.parent = now.parent;
                    }
                    seen.insert(member.id, now);
                }
                Sight::Unseen => {}
                Sight::Gone => gone.push(member.id),
            }
        }
        for id in gone {
            self.members.end(id, WorkerEnd::Unknown);
        }
        seen
    }

    /// A role was decided.
    fn enrol(&mut self, id: ProcessId, role: Role) {
        match role {
            Role::Arbiter => {
                let instance = self.instances.entry(id).or_default();
                instance.is_living = true;
            }
            Role::Worker(arbiter) => {
                let instance = self.instances.entry(arbiter).or_default();
                instance.turnover.starts += u64::from(id.start_ns >= self.since_ns);
            }
            Role::Helper => {}
        }
    }

    /// Gives the instances the names that their processes have now, and shows those that are counted. An arbiter that has ended
    /// without a worker was no application, but `gunicorn --version` or the like.
    fn name(&mut self, seen: &HashMap<ProcessId, Seen>) {
        for member in self.members.all_mut() {
            let arbiter = member.role.and_then(|role| role.arbiter(member.id));
            let Some(arbiter) = arbiter else { continue };
            let Some(instance) = self.instances.get_mut(&arbiter) else {
                continue;
            };
            if arbiter == member.id {
                member.app().clone_into(&mut instance.name);
                instance.user = member.user;
            }
            let seen = seen.get(&member.id);
            instance.is_shown |= seen.is_some_and(|seen| seen.is_counted == Some(true))
                || member.was_counted && arbiter != member.id;
        }
    }

    /// Books the ends of workers to their instances, and forgets ended processes.
    fn book_ends(&mut self) {
        for member in std::mem::take(&mut self.members.ended) {
            let end = match member.end {
                // Only the kernel kills for want of memory.
                Some(WorkerEnd::Oom) => WorkerEnd::Oom,
                _ if member.is_timed_out => WorkerEnd::Timeout,
                end => end.unwrap_or(WorkerEnd::Unknown),
            };
            match member.role {
                Some(Role::Arbiter) => {
                    if let Some(instance) = self.instances.get_mut(&member.id) {
                        instance.is_living = false;
                    }
                }
                Some(Role::Worker(arbiter)) => {
                    if let Some(instance) = self.instances.get_mut(&arbiter) {
                        instance.turnover.ends[end as usize] += 1;
                    }
                }
                Some(Role::Helper) | None => {}
            }
        }
    }

    /// Forgets instances of which no process is in a group that counts requests, so that they take no room. A reload that changes
    /// groups gives the facts of their processes again.
    fn forget_outside(&mut self, seen: &HashMap<ProcessId, Seen>) {
        let living = self.members.living.values();
        let inside: HashSet<ProcessId> = living
            .filter(|member| {
                let seen = seen.get(&member.id);
                seen.and_then(|seen| seen.is_counted) != Some(false)
            })
            .filter_map(|member| member.role?.arbiter(member.id))
            .collect();
        let instances = &mut self.instances;
        instances.retain(|id, one| one.is_shown || inside.contains(id));
        let living = &mut self.members.living;
        living.retain(|_, member| {
            let arbiter = member.role.and_then(|role| role.arbiter(member.id));
            arbiter.is_none_or(|arbiter| instances.contains_key(&arbiter))
        });
        let parents: HashSet<u32> = living.keys().copied().collect();
        living.retain(|_, member| {
            member.role != Some(Role::Helper) || parents.contains(&member.parent)
        });
    }

    /// Moves the counts of instances to the applications, and forgets instances that have ended.
    fn book_turnover(&mut self) {
        for instance in self.instances.values_mut().filter(|one| one.is_shown) {
            if !self.totals.contains_key(instance.name.as_str()) {
                let left = MOST_APPLICATIONS.saturating_sub(self.totals.len());
                let brought = self.brought.get(&instance.user).copied();
                if left == 0 || instance.user != ROOT && brought.unwrap_or(0) >= left {
                    let was_counted = std::mem::replace(&mut instance.is_omitted, true);
                    self.view.applications_full += u64::from(!was_counted);
                    continue;
                }
                *self.brought.entry(instance.user).or_default() += 1;
            }
            let name = Arc::from(instance.name.as_str());
            let turnover = std::mem::take(&mut instance.turnover);
            self.totals.entry(name).or_default().add(&turnover);
        }
        let living = self.members.living.values();
        let with_workers: HashSet<_> = living
            .filter_map(|member| match member.role {
                Some(Role::Worker(arbiter)) => Some(arbiter),
                _ => None,
            })
            .collect();
        self.instances
            .retain(|id, one| one.is_living || with_workers.contains(id));
    }

    fn make_view(
        &mut self,
        now_ns: u64,
        boot_time: u64,
        seen: &HashMap<ProcessId, Seen>,
        served: Option<&HashMap<(u32, u64), RequestTally>>,
    ) {
        let mut rows: BTreeMap<Arc<str>, ApplicationRow> = BTreeMap::new();
        for (name, turnover) in &self.totals {
            let row = ApplicationRow {
                name: Arc::clone(name),
                busy: served.map(|_| 0),
                starts: turnover.starts,
                ends: turnover.ends,
                ..ApplicationRow::default()
            };
            rows.insert(Arc::clone(name), row);
        }
        let mut workers = Vec::new();
        for member in self.members.living.values_mut() {
            let arbiter = member.role.and_then(|role| role.arbiter(member.id));
            let instance = arbiter.and_then(|arbiter| self.instances.get(&arbiter));
            let instance = instance.filter(|one| one.is_shown);
            let row = instance.and_then(|one| rows.get_mut(one.name.as_str()));
            let (Some(row), Some(seen)) = (row, seen.get(&member.id)) else {
                continue;
            };
            if member.role == Some(Role::Arbiter) {
                let start_ns = row.start_ns.unwrap_or(u64::MAX).min(member.id.start_ns);
                row.start_ns = Some(start_ns);
                continue;
            }
            let key = (member.id.tgid, member.id.tick());
            let served = served.filter(|_| seen.is_counted == Some(true));
            let served = served.map(|by| by.get(&key).copied().unwrap_or_default());
            let is_busy = served.is_some_and(|served| served.in_flight() > 0);
            row.workers += 1;
            if let Some(busy) = &mut row.busy {
                *busy += u64::from(is_busy);
            }
            let worker = WorkerRow {
                app: Arc::clone(&row.name),
                worker_id: Arc::clone(worker_id(member, boot_time)),
                pid: member.id.tgid.to_string(),
                memory_bytes: seen.memory_bytes,
                cpu_ns: seen.cpu_ns,
                cpu_percent: member.cpu.percent(now_ns, seen.cpu_ns),
                uptime_ns: now_ns.saturating_sub(member.id.start_ns),
                served: served.map(Box::new),
            };
            workers.push((member.id.start_ns, worker));
        }
        workers.sort_by(|(start, one), (other_start, other)| {
            let key = (&one.app, start, &one.worker_id);
            key.cmp(&(&other.app, other_start, &other.worker_id))
        });
        self.view.applications = rows.into_values().collect();
        self.view.workers = workers.into_iter().map(|(_, worker)| worker).collect();
    }
}

fn worker_id(member: &mut Member, boot_time: u64) -> &Arc<str> {
    let ProcessId { tgid, start_ns } = member.id;
    member.worker_id.get_or_insert_with(|| {
        let start = boot_time.saturating_add(start_ns / 1_000_000_000);
        format!("worker_{tgid}_{start}").into()
    })
}

/// The counts of a reading, by process id and tick of the start.
fn by_process(reading: &RequestReading) -> HashMap<(u32, u64), RequestTally> {
    let owners = reading.owners.iter().map(|owner| {
        let mut tally = RequestTally::default();
        tally.add(&owner.counters);
        ((owner.id.tgid, owner.id.tick()), tally)
    });
    owners.collect()
}
