//! Processes whose first thread is not their last, or not the one that acts.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::number;
use super::worker::read_line;
use crate::process;

/// `NS LAST [hold]`: the first thread ends; another then uses `NS` nanoseconds of CPU, and ends the process by `exit`
/// or, itself the last, by `thread`. `hold`: in the middle it reports, and waits for a line.
pub(super) fn leader_first(arguments: &[String]) {
    let (ns, last) = (number(&arguments[0]), arguments[1].clone());
    let holds = arguments.get(2).is_some();
    std::thread::spawn(move || {
        await_zombie_leader();
        process::spin_thread(ns);
        if holds {
            println!("held 1");
            read_line();
            process::spin_thread(ns);
        }
        println!("used_ns {}", process::own_cpu_ns());
        match last.as_str() {
            "exit" => process::exit(0),
            _ => process::exit_thread(),
        }
    });
    process::exit_thread();
}

fn await_zombie_leader() {
    let stat = format!("/proc/self/task/{}/stat", process::own_pid());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
}

/// `COUNT`: processes one after another, each of two threads that end at the same moment.
pub(super) fn twins(arguments: &[String]) {
    for _ in 0..number(&arguments[0]) {
        let pid = process::fork(|| {
            let ready = super::crowd::shared();
            std::thread::spawn(|| end_together(ready));
            end_together(ready);
        });
        process::reap(pid);
    }
}

/// Ends this thread when another one is here, too.
fn end_together(ready: &'static AtomicU64) {
    ready.fetch_add(1, Relaxed);
    while ready.load(Relaxed) < 2 {
        std::hint::spin_loop();
    }
    process::exit_thread();
}

/// `COUNT`: starts this number of processes, one after another, and ignores SIGCHLD, so no parent waits for them. In each, the
/// first thread ends first; then two other threads end at the same moment.
pub(super) fn unwaited_twins(arguments: &[String]) {
    process::ignore_children();
    for _ in 0..number(&arguments[0]) {
        process::fork(|| {
            let ready = super::crowd::shared();
            for _ in 0..2 {
                std::thread::spawn(|| {
                    await_zombie_leader();
                    end_together(ready);
                });
            }
            process::exit_thread();
        });
        process::await_no_children();
    }
}

/// `NS NEXT NEXT_NS`: a second thread uses `NS` nanoseconds of CPU, then runs `NEXT` in place of the whole process, which
/// uses `NEXT_NS` more.
pub(super) fn exec_by_thread(arguments: &[String]) {
    let arguments = arguments.to_vec();
    let thread = std::thread::spawn(move || {
        process::spin_thread(number(&arguments[0]));
        let used_ns = process::own_cpu_ns();
        println!("used_ns {used_ns}");
        let total_ns = (used_ns + number(&arguments[2])).to_string();
        let next = Path::new(&arguments[1]);
        process::exec(next, &["next", "scenario", "end", &total_ns, "success"]);
    });
    thread.join().expect("the exec ends this thread, too");
}

/// `COUNT NS`: children that no process can wait for, each with a first thread that ends before its second one. Each
/// reports its CPU time.
pub(super) fn unwaited_threads(arguments: &[String]) {
    process::ignore_children();
    let ns = arguments[1].clone();
    for _ in 0..number(&arguments[0]) {
        let ns = ns.clone();
        process::fork(|| leader_first(&[ns, "thread".to_owned()]));
    }
    process::await_no_children();
}

/// `COUNT NS`: children whose process ids are higher than the ids of their threads. Reports when all are there, and waits for a
/// line. Then one thread of each uses `NS` nanoseconds of CPU and ends, one child after another; the processes stay until the
/// input ends.
pub(super) fn low_thread_ids(arguments: &[String]) {
    let (count, ns) = (number(&arguments[0]), number(&arguments[1]));
    let ready: &'static AtomicU64 = super::crowd::shared();
    let turn: &'static AtomicU64 = super::crowd::shared();
    let child = |nth: u64| {
        let own_pid = process::own_pid();
        // With one thread left the leader alone would show all use.
        process::idle_threads(1);
        let thread = std::thread::spawn(move || {
            assert!(process::own_thread_id() < own_pid);
            ready.fetch_add(1, Relaxed);
            await_at_least(turn, nth + 1);
            process::spin_thread(ns);
        });
        thread.join().unwrap();
        turn.fetch_add(1, Relaxed);
        while read_line().is_some() {}
    };
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let mut numbers = (0..most.trim().parse().unwrap()).rev();
    let children: Vec<i32> = (0..count)
        .map(|nth| numbers.find_map(|pid| fork_with_id(pid, || child(nth))))
        .map(|born| born.expect("a free number"))
        .collect();
    await_at_least(ready, count);
    println!("there {count}");
    read_line();
    turn.fetch_add(1, Relaxed);
    while read_line().is_some() {}
    for pid in children {
        process::reap(pid);
    }
}

/// Forks a child that has the process id `pid`; nothing where that is taken.
fn fork_with_id(pid: i32, child: impl FnOnce()) -> Option<i32> {
    // SAFETY: all bytes zero are a value of it.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.set_tid = (&raw const pid) as u64;
    arguments.set_tid_size = 1;
    // SAFETY: as a fork; see above.
    let born = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    if born == 0 {
        child();
        process::exit(0);
    }
    if born < 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST), "clone3: {error}");
        return None;
    }
    i32::try_from(born).ok()
}

fn await_at_least(value: &AtomicU64, least: u64) {
    while value.load(Relaxed) < least {
        std::thread::sleep(Duration::from_millis(1));
    }
}
