//! Processes whose first thread is not their last, or not the one that acts.

use super::{number, worker::read_line};
use crate::process;
use std::path::Path;

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

/// `COUNT NS`: children that nobody can wait for, each with a first thread that ends before its second one. Each
/// reports what it has used.
pub(super) fn unwaited_threads(arguments: &[String]) {
    process::ignore_children();
    let ns = arguments[1].clone();
    for _ in 0..number(&arguments[0]) {
        let ns = ns.clone();
        process::fork(|| leader_first(&[ns, "thread".to_owned()]));
    }
    process::await_no_children();
}
