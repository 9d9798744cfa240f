//! Histories made from a number: a configuration, flags, a first set of processes, and their events.

use fastrand::Rng;

use super::configuration::{self, NAMES, pick};
use super::world::{LATER, Process, World};
/// Flags that both programs have; half of the histories get none.
const FLAGS: &[&[&str]] = &[
    &[],
    &[],
    &[],
    &[],
    &[],
    &["-children=false"],
    &["-recheck"],
    &["--recheck-with-time-limit=10m"],
    &["-remove-empty-groups"],
    &["-children=false", "-remove-empty-groups=true"],
];

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) name: String,
    pub(crate) flags: Vec<String>,
    /// Empty: the flags select the processes.
    pub(crate) yaml: String,
    pub(crate) first: World,
    /// The whole node after each step.
    pub(crate) steps: Vec<World>,
}

/// Something that happens to a node.
type Event = fn(&mut World, &mut Rng);

/// How often each is, among all.
const EVENTS: &[(u32, Event)] = &[
    (12, work),
    (3, begin),
    (3, fork),
    (3, end),
    (2, exec),
    (2, reuse_number),
    (2, change_state),
    (2, begin_thread),
    (1, orphan),
];

/// Events that the two programs take differently; only in every fourth history each.
const MENDED: [&[Event]; 4] = [&[], &[end_thread], &[break_io, mend], &[break_limits, mend]];

impl History {
    pub(crate) fn new(number: u64) -> Self {
        let mut chance = Rng::with_seed(number);
        let yaml = configuration::yaml(&mut chance);
        let mut world = World::default();
        let mut init = process(&mut chance, "init", 0);
        init.parent = 0;
        world.processes.insert(1, init);
        for _ in 0..chance.usize(3..12) {
            newcomer(&mut world, &mut chance, 0);
        }
        let first = world.clone();
        let steps = (0..chance.usize(4..9))
            .map(|_| {
                for _ in 0..chance.usize(0..8) {
                    event(number, &mut chance)(&mut world, &mut chance);
                }
                world.clone()
            })
            .collect();
        let flags = pick(&mut chance, FLAGS);
        Self {
            name: number.to_string(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            yaml,
            first,
            steps,
        }
    }
}

fn event(number: u64, chance: &mut Rng) -> Event {
    let mended = MENDED[(number % 4) as usize];
    if !mended.is_empty() && chance.u8(..) < 80 {
        return pick(chance, mended);
    }
    let all: u32 = EVENTS.iter().map(|(weight, _)| weight).sum();
    let mut at = chance.u32(..all);
    for (weight, event) in EVENTS {
        if at < *weight {
            return *event;
        }
        at -= weight;
    }
    work
}

fn process(chance: &mut Rng, name: &str, start_ticks: u64) -> Process {
    let argv: Vec<String> = match chance.u8(..8) {
        0 => Vec::new(),
        1 => vec![format!("/usr/bin/{name}"), "-x".into(), "q r".into()],
        2 => vec![format!("{name}: worker")],
        3 => vec![format!("-{name}")],
        4 => vec![name.into(), "-jar".into(), "a.jar".into(), String::new()],
        5 => vec![format!("/opt/{name}/"), String::new(), "q".into()],
        _ => vec![name.into()],
    };
    Process {
        argv,
        uid: pick(chance, &[0, 0, 54_321]),
        state: pick(chance, &['S', 'S', 'R', 'D', 'T']),
        start_ticks: start_ticks + chance.u64(100..10_000),
        used: [(); 6].map(|()| chance.u64(..5000)),
        rss_pages: chance.u64(..10_000),
        swap_kib: chance.u64(..100),
        descriptors: chance.usize(..6),
        fd_limit: pick(chance, &["1024", "4096", "unlimited"]),
        wchan: pick(chance, &["0", "ep_poll", "futex_wait_queue"]),
        cgroup: pick(
            chance,
            &[
                "0::/\n",
                "0::/system.slice/x.service\n",
                "8:cpu:/a\n1:b:/c:d\n",
                "",
            ],
        ),
        switches: [chance.u64(..500), chance.u64(..500)],
        ..Process::idle(name)
    }
}

/// Its number.
fn newcomer(world: &mut World, chance: &mut Rng, start_ticks: u64) -> u32 {
    let pid = loop {
        let pid = chance.u32(2..400);
        if !world.processes.contains_key(&pid) {
            break pid;
        }
    };
    let name = pick(chance, NAMES);
    let mut process = process(chance, name, start_ticks);
    process.parent = any_process(world, chance);
    world.processes.insert(pid, process);
    pid
}

fn any_process(world: &World, chance: &mut Rng) -> u32 {
    let all: Vec<u32> = world.processes.keys().copied().collect();
    pick(chance, &all)
}

/// One of them but for the first.
fn victim(world: &World, chance: &mut Rng) -> Option<u32> {
    let all: Vec<u32> = world.processes.keys().copied().skip(1).collect();
    (!all.is_empty()).then(|| pick(chance, &all))
}

fn work(world: &mut World, chance: &mut Rng) {
    let pid = any_process(world, chance);
    if let Some(process) = world.processes.get_mut(&pid) {
        for used in &mut process.used {
            *used += chance.u64(..300);
        }
        for switches in &mut process.switches {
            *switches += chance.u64(..50);
        }
        for thread in process.threads.values_mut().flatten() {
            *thread += chance.u64(..30);
        }
        process.rss_pages = chance.u64(..10_000);
        process.descriptors = chance.usize(..6);
    }
}

fn begin(world: &mut World, chance: &mut Rng) {
    newcomer(world, chance, *LATER);
}

/// A child that still looks as its parent does.
fn fork(world: &mut World, chance: &mut Rng) {
    let parent = any_process(world, chance);
    let Some(mut child) = world.processes.get(&parent).cloned() else {
        return;
    };
    let pid = newcomer(world, chance, *LATER);
    if let Some(newest) = world.processes.get_mut(&pid) {
        child.start_ticks = newest.start_ticks;
        child.parent = parent;
        child.threads.clear();
        *newest = child;
    }
}

fn end(world: &mut World, chance: &mut Rng) {
    if let Some(pid) = victim(world, chance) {
        if let Some(process) = world.processes.remove(&pid) {
            world.threads_ended |= !process.threads.is_empty();
        }
        orphan_children(world, pid);
    }
}

/// As the kernel does: no process is ever its own ancestor.
fn orphan_children(world: &mut World, pid: u32) {
    for process in world.processes.values_mut() {
        if process.parent == pid {
            process.parent = 1;
        }
    }
}

fn exec(world: &mut World, chance: &mut Rng) {
    let name = pick(chance, NAMES);
    if let Some(process) = victim(world, chance).and_then(|pid| world.processes.get_mut(&pid)) {
        process.comm = name.to_owned();
        process.argv = vec![format!("/usr/bin/{name}")];
    }
}

fn reuse_number(world: &mut World, chance: &mut Rng) {
    let Some(pid) = victim(world, chance) else {
        return;
    };
    orphan_children(world, pid);
    let latest = world.processes.values().map(|one| one.start_ticks).max();
    let start_ticks = latest.unwrap_or(0).max(*LATER) + 1;
    let name = pick(chance, NAMES);
    let mut process = process(chance, name, start_ticks);
    process.parent = any_process(world, chance);
    if process.parent == pid {
        process.parent = 1;
    }
    if let Some(old) = world.processes.insert(pid, process) {
        world.threads_ended |= !old.threads.is_empty();
    }
}

fn change_state(world: &mut World, chance: &mut Rng) {
    let (state, wchan) = (
        pick(chance, &['R', 'S', 'D', 'T', 'I', 'Z']),
        pick(chance, &["0", "ep_poll"]),
    );
    if let Some(process) = victim(world, chance).and_then(|pid| world.processes.get_mut(&pid)) {
        (process.state, process.wchan) = (state, wchan);
    }
}

fn begin_thread(world: &mut World, chance: &mut Rng) {
    let tid = chance.u32(1000..100_000);
    let counters = [chance.u64(..20), chance.u64(..20)];
    if let Some(process) = victim(world, chance).and_then(|pid| world.processes.get_mut(&pid)) {
        process.threads.insert(tid, counters);
    }
}

/// Its parent is init from now on.
fn orphan(world: &mut World, chance: &mut Rng) {
    if let Some(process) = victim(world, chance).and_then(|pid| world.processes.get_mut(&pid)) {
        process.parent = 1;
    }
}

fn end_thread(world: &mut World, _: &mut Rng) {
    for process in world.processes.values_mut() {
        if process.threads.pop_first().is_some() {
            world.threads_ended = true;
            return;
        }
    }
}

fn break_io(world: &mut World, chance: &mut Rng) {
    world.io_broke |= break_file(world, chance, "io");
}

fn break_limits(world: &mut World, chance: &mut Rng) {
    world.hard_broke |= break_file(world, chance, "limits");
}

fn break_file(world: &mut World, chance: &mut Rng, file: &'static str) -> bool {
    let Some(process) = victim(world, chance).and_then(|pid| world.processes.get_mut(&pid)) else {
        return false;
    };
    process.broken = Some(file);
    true
}

fn mend(world: &mut World, _: &mut Rng) {
    for process in world.processes.values_mut() {
        process.broken = None;
    }
}
