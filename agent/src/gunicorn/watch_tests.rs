//! Histories of arbiters and workers, with the view after each pass.

use std::collections::BTreeMap;

use super::*;
use crate::process::{
    Counters, Event, ExitStatus, Facts, Former, METHOD_GET, ProcessId, RequestReading,
    ServedReading,
};

const S: u64 = 1_000_000_000;
/// Records come since here.
const SINCE: u64 = 1_000 * S;
const BOOT: u64 = 1_700_000_000;
const EXIT: (ExitStatus, bool) = (ExitStatus::Success, false);

/// A node: its living processes, and the agent's facts about them.
struct Node {
    watch: GunicornWatch,
    now_ns: u64,
    living: BTreeMap<u32, Seen>,
    reading: RequestReading,
}

/// Living workers by process id, starts, and ends by reason that are not 0.
type ShownApplication = (Vec<u32>, u64, Vec<(&'static str, u64)>);

impl Node {
    fn new() -> Self {
        Self {
            watch: GunicornWatch::new(SINCE),
            now_ns: SINCE + 50 * S,
            living: BTreeMap::new(),
            reading: RequestReading::default(),
        }
    }

    fn live(&mut self, tgid: u32, parent: u32, start_ns: u64) -> ProcessId {
        let id = ProcessId { tgid, start_ns };
        let seen = Seen {
            id,
            parent,
            memory_bytes: 4096,
            cpu_ns: 0,
            is_counted: Some(true),
        };
        self.living.insert(tgid, seen);
        id
    }

    fn id(&self, tgid: u32) -> ProcessId {
        self.living[&tgid].id
    }

    fn facts(words: &[&str], parent: u32) -> Facts {
        Facts {
            parent,
            argv: words.iter().collect(),
            uid: Some(0),
            ..Facts::default()
        }
    }

    /// A process that is older than the agent.
    fn find(&mut self, tgid: u32, parent: u32, words: &[&str]) {
        let id = self.live(tgid, parent, 10 * S + u64::from(tgid));
        self.watch.note(id, &Self::facts(words, parent));
    }

    fn exec(&mut self, tgid: u32, words: &[&str]) {
        self.exec_as(0, tgid, words);
    }

    fn exec_as(&mut self, uid: u32, tgid: u32, words: &[&str]) {
        self.now_ns += S;
        if !self.living.contains_key(&tgid) {
            self.live(tgid, 1, self.now_ns + 7);
        }
        let parent = self.living[&tgid].parent;
        self.watch.apply(&Event::Execed {
            id: self.id(tgid),
            facts: Box::new(Facts {
                uid: Some(uid),
                ..Self::facts(words, parent)
            }),
            parent,
            counters: Counters::default(),
            former: Former::default(),
        });
    }

    fn fork(&mut self, parent: u32, child: u32) {
        self.now_ns += S;
        let parent = self.id(parent);
        let child = self.live(child, parent.tgid, self.now_ns + 3);
        self.watch.apply(&Event::Forked { child, parent });
    }

    fn exit(&mut self, tgid: u32, (status, oom_killed): (ExitStatus, bool)) {
        let Seen { id, is_counted, .. } = self.living.remove(&tgid).unwrap();
        self.watch.apply(&Event::Exited {
            id,
            counters: Counters::default(),
            status,
            oom_killed,
        });
        if is_counted == Some(true) {
            self.watch.note_counted(&[id]);
        }
        let orphans = self.living.values_mut();
        for orphan in orphans.filter(|one| one.parent == tgid) {
            orphan.parent = 1;
        }
    }

    /// Whether the groups of all processes count requests.
    fn count(&mut self, is_counted: Option<bool>) {
        for seen in self.living.values_mut() {
            seen.is_counted = is_counted;
        }
    }

    fn pass(&mut self) {
        self.now_ns += S;
        let look = |id: ProcessId| match self.living.get(&id.tgid) {
            Some(seen) if seen.id.tick() == id.tick() => Sight::Live(*seen),
            _ => Sight::Gone,
        };
        self.watch
            .settle(self.now_ns, BOOT, look, Some(&self.reading));
    }

    /// The shown values of each application.
    fn shown(&self) -> BTreeMap<String, ShownApplication> {
        let view = self.watch.view();
        let apps = view.applications.iter().map(|app| {
            let workers = view.workers.iter().filter(|one| one.app == app.name);
            let workers: Vec<u32> = workers.map(|one| one.pid.parse().unwrap()).collect();
            assert_eq!(workers.len() as u64, app.workers);
            let ends = WorkerEnd::ALL.into_iter().zip(app.ends);
            let ends = ends.filter(|(_, count)| *count > 0);
            let ends = ends.map(|((_, word), count)| (word, count)).collect();
            (app.name.to_string(), (workers, app.starts, ends))
        });
        apps.collect()
    }

    fn check(&self, app: &str, workers: &[u32], starts: u64, ends: &[(&'static str, u64)]) {
        let expected = (workers.to_vec(), starts, ends.to_vec());
        assert_eq!(self.shown(), BTreeMap::from([(app.to_owned(), expected)]));
    }
}

const GUNICORN: &[&str] = &[
    "/usr/bin/python3",
    "/usr/bin/gunicorn",
    "-w",
    "2",
    "app:app",
];
const MASTER: &[&str] = &["gunicorn: master [app:app]"];
const WORKER: &[&str] = &["gunicorn: worker [app:app]"];

/// An arbiter, 10, with the workers 11 and 12, all younger than the agent.
fn young() -> Node {
    let mut node = Node::new();
    node.exec(10, GUNICORN);
    node.fork(10, 11);
    node.fork(10, 12);
    node.pass();
    node.check("app:app", &[11, 12], 2, &[]);
    node
}

#[test]
fn workers_that_are_older_than_the_agent_are_shown_and_did_not_start() {
    for (arbiter, worker) in [(MASTER, WORKER), (GUNICORN, GUNICORN)] {
        let mut node = Node::new();
        node.find(10, 1, arbiter);
        node.find(11, 10, worker);
        node.find(12, 10, worker);
        node.find(13, 12, worker);
        node.pass();
        node.check("app:app", &[11, 12], 0, &[]);
        let view = node.watch.view();
        assert_eq!(view.applications[0].start_ns, Some(10 * S + 10));
        assert_eq!(&*view.workers[0].worker_id, "worker_11_1700000010");
        node.exit(11, EXIT);
        node.fork(10, 14);
        node.pass();
        node.check("app:app", &[12, 14], 1, &[("exit", 1)]);
    }
}

#[test]
fn workers_that_live_between_two_passes_count() {
    let mut node = young();
    for (worker, end) in [
        (20, EXIT),
        (21, (ExitStatus::Failure, false)),
        (22, (ExitStatus::Signal, false)),
        (23, (ExitStatus::Signal, true)),
    ] {
        node.fork(10, worker);
        node.exit(worker, end);
    }
    node.pass();
    let ends = [("exit", 1), ("error", 1), ("signal", 1), ("oom", 1)];
    node.check("app:app", &[11, 12], 6, &ends);
    node.pass();
    node.check("app:app", &[11, 12], 6, &ends);
}

#[test]
fn kill_by_the_arbiter_is_a_timeout_with_any_exit_code() {
    let mut node = young();
    let killed = [node.id(11), node.id(12)];
    node.watch.note_kills(&killed[..1]);
    node.exit(11, (ExitStatus::Failure, false));
    node.exit(12, (ExitStatus::Signal, false));
    node.watch.note_kills(&killed[1..]);
    node.fork(10, 13);
    node.exit(13, (ExitStatus::Signal, false));
    node.pass();
    node.check("app:app", &[], 3, &[("signal", 1), ("timeout", 2)]);
}

#[test]
fn programs_that_an_arbiter_or_a_worker_starts_are_no_workers() {
    let mut node = young();
    node.fork(10, 20);
    node.exec(20, &["sh", "-c", "true"]);
    node.fork(11, 21);
    node.exec(21, &["convert", "x"]);
    node.fork(11, 22);
    node.fork(22, 23);
    node.pass();
    node.check("app:app", &[11, 12], 2, &[]);
    node.exit(20, EXIT);
    node.exit(21, EXIT);
    node.exit(22, EXIT);
    let id = node.id(23);
    node.watch.note(id, &Node::facts(GUNICORN, 1));
    node.pass();
    node.check("app:app", &[11, 12], 2, &[]);
}

#[test]
fn young_worker_with_the_title_of_its_arbiter_is_a_worker() {
    let mut node = young();
    node.fork(10, 13);
    let id = node.id(13);
    node.watch.note(id, &Node::facts(MASTER, 10));
    node.pass();
    node.check("app:app", &[11, 12, 13], 3, &[]);
}

#[test]
fn usr2_gives_the_application_a_second_arbiter_and_no_counter_falls() {
    let mut node = young();
    node.fork(10, 20);
    node.exec(20, GUNICORN);
    node.fork(20, 21);
    node.pass();
    node.check("app:app", &[11, 12, 21], 3, &[]);
    let before = node.watch.view().applications[0].start_ns;
    for worker in [11, 12] {
        node.exit(worker, EXIT);
    }
    node.exit(10, EXIT);
    node.pass();
    node.check("app:app", &[21], 3, &[("exit", 2)]);
    assert!(node.watch.view().applications[0].start_ns > before);
    node.exit(21, EXIT);
    node.exit(20, EXIT);
    node.pass();
    node.check("app:app", &[], 3, &[("exit", 3)]);
    assert_eq!(node.watch.view().applications[0].start_ns, None);
}

#[test]
fn name_that_an_arbiter_has_during_an_upgrade_is_that_of_its_parent() {
    let mut node = young();
    node.fork(10, 20);
    node.exec(20, GUNICORN);
    node.fork(20, 21);
    let id = node.id(20);
    node.watch
        .note(id, &Node::facts(&["gunicorn: master [app:app.2]"], 10));
    node.pass();
    node.check("app:app", &[11, 12, 21], 3, &[]);
    for tgid in [11, 12, 10] {
        node.exit(tgid, EXIT);
        node.pass();
    }
    node.check("app:app", &[21], 3, &[("exit", 2)]);
    let mut late = Node::new();
    late.find(10, 1, MASTER);
    late.find(20, 10, &["gunicorn: master [app:app.2]"]);
    late.find(21, 20, &["gunicorn: worker [app:app.2]"]);
    late.pass();
    late.check("app:app", &[21], 0, &[]);
    let mut own = Node::new();
    own.find(10, 1, &["gunicorn: master [v1.2]"]);
    own.pass();
    own.check("v1.2", &[], 0, &[]);
}

#[test]
fn daemon_is_found_through_the_processes_that_started_it() {
    let mut node = Node::new();
    node.exec(10, GUNICORN);
    node.fork(10, 11);
    node.exit(10, EXIT);
    node.fork(11, 12);
    node.exit(11, EXIT);
    node.fork(12, 13);
    node.fork(12, 14);
    node.exit(14, (ExitStatus::Failure, false));
    node.pass();
    node.check("app:app", &[13], 2, &[("error", 1)]);
}

#[test]
fn application_between_two_passes_is_shown_if_it_had_workers() {
    let mut node = Node::new();
    node.exec(10, &["gunicorn", "--version"]);
    node.exit(10, EXIT);
    node.exec(20, GUNICORN);
    node.fork(20, 21);
    node.fork(20, 22);
    node.exit(21, (ExitStatus::Failure, false));
    node.exit(22, EXIT);
    node.exit(20, EXIT);
    node.pass();
    node.check("app:app", &[], 2, &[("exit", 1), ("error", 1)]);
}

#[test]
fn title_names_the_application_and_is_read_until_it_is_there() {
    let mut node = Node::new();
    node.exec(10, &["gunicorn", "-c", "conf.py"]);
    node.fork(10, 11);
    node.count(None);
    node.pass();
    node.exit(11, EXIT);
    assert_eq!(node.watch.untitled(), [node.id(10)]);
    let id = node.id(10);
    node.watch
        .note(id, &Node::facts(&["gunicorn: master [shop]"], 1));
    node.pass();
    assert!(node.shown().is_empty(), "no group counts requests");
    assert_eq!(node.watch.untitled(), []);
    node.living.get_mut(&10).unwrap().is_counted = Some(true);
    node.pass();
    node.check("shop", &[], 1, &[("exit", 1)]);
}

#[test]
fn workers_outlive_their_arbiter() {
    let mut node = young();
    node.exit(10, (ExitStatus::Signal, false));
    node.pass();
    node.check("app:app", &[11, 12], 2, &[]);
    node.exit(11, EXIT);
    node.pass();
    node.exit(12, EXIT);
    node.pass();
    node.check("app:app", &[], 2, &[("exit", 2)]);
}

#[test]
fn lost_end_is_unknown() {
    let mut node = young();
    node.living.remove(&11);
    let id = node.id(12);
    node.living.remove(&12);
    node.fork(10, 12);
    assert_ne!(node.id(12), id, "the process id is used again");
    node.pass();
    node.check("app:app", &[12], 3, &[("unknown", 2)]);
}

#[test]
fn worker_with_a_request_in_flight_is_busy() {
    let mut node = young();
    let mut served = ServedReading {
        id: node.id(12),
        counters: Default::default(),
    };
    served.counters.begun[METHOD_GET] = 3;
    served.counters.ended[METHOD_GET][1] = 2;
    node.reading.owners.push(served);
    node.pass();
    let view = node.watch.view();
    assert_eq!(
        (view.applications[0].busy, view.applications[0].workers),
        (Some(1), 2)
    );
    let of = |n: usize| view.workers[n].served.as_ref().unwrap().counters().begun[METHOD_GET];
    assert_eq!((of(0), of(1)), (0, 3));
}

#[test]
fn processes_and_applications_beyond_the_bounds_are_counted() {
    let mut node = Node::new();
    for n in 0..130 {
        node.exec(100 + n, &["gunicorn", &format!("app{n}:app")]);
    }
    node.pass();
    node.pass();
    let view = node.watch.view();
    assert_eq!((view.applications.len(), view.applications_full), (128, 2));
    let before = node.watch.view().processes_full;
    for n in 0..5000 {
        node.fork(100, 1000 + n);
    }
    node.pass();
    let view = node.watch.view();
    let omitted = view.processes_full - before;
    assert_eq!(view.workers.len() as u64 + omitted, 5000);
    assert!(omitted > 0);
}

#[test]
fn user_who_starts_many_applications_leaves_places_for_those_of_others() {
    let mut node = Node::new();
    for n in 0..200 {
        node.exec_as(1000, 100 + n, &["gunicorn", &format!("app{n}:app")]);
    }
    node.pass();
    node.exec_as(1001, 10, &["gunicorn", "other:app"]);
    node.exec(11, &["gunicorn", "root:app"]);
    node.pass();
    let view = node.watch.view();
    let names = view.applications.iter().map(|one| &*one.name);
    let of_others = names.filter(|name| ["other:app", "root:app"].contains(name));
    assert_eq!(of_others.count(), 2);
    assert_eq!((view.applications.len(), view.applications_full), (66, 136));
}

#[test]
fn application_outside_of_groups_that_count_takes_no_room() {
    let mut node = Node::new();
    node.exec(10, GUNICORN);
    node.fork(10, 11);
    node.fork(11, 12);
    node.count(Some(false));
    node.pass();
    assert!(node.shown().is_empty());
    assert_eq!(node.watch.untitled(), []);
    node.count(Some(true));
    node.fork(10, 13);
    node.pass();
    assert!(node.shown().is_empty(), "it is forgotten until a reload");
    for (tgid, parent) in [(10, 1), (11, 10), (12, 11), (13, 10)] {
        let id = node.id(tgid);
        node.watch.note(id, &Node::facts(GUNICORN, parent));
    }
    node.pass();
    node.check("app:app", &[11, 13], 2, &[]);
}

#[test]
fn arbiters_are_those_of_shown_applications() {
    let arbiters = |node: &Node| {
        let all = node.watch.arbiters();
        let mut all: Vec<_> = all.map(|(id, app)| (id.tgid, app.to_string())).collect();
        all.sort_unstable();
        all
    };
    let mut node = young();
    assert_eq!(arbiters(&node), [(10, "app:app".to_owned())]);
    // An upgrade (USR2): the name without `.2`.
    node.fork(10, 13);
    node.exec(13, GUNICORN);
    node.pass();
    let both = [10, 13].map(|tgid| (tgid, "app:app".to_owned()));
    assert_eq!(arbiters(&node), both);
    node.exit(10, EXIT);
    node.pass();
    assert_eq!(arbiters(&node), [(13, "app:app".to_owned())]);

    let mut outside = Node::new();
    outside.find(10, 1, MASTER);
    outside.count(Some(false));
    outside.pass();
    assert_eq!(arbiters(&outside), []);
}
