//! Ways to have children.

use std::path::Path;
use std::process::Command;

use super::number;
use super::worker::read_line;
use crate::process;

/// `COUNT`: children that share this process's memory and end at once.
pub(super) fn vfork(arguments: &[String]) {
    for _ in 0..number(&arguments[0]) {
        process::reap(process::vfork());
    }
}

/// `COUNT NS CHILD`: the same, but each runs a program (the standard library's way to start one).
pub(super) fn vfork_exec(arguments: &[String]) {
    for _ in 0..number(&arguments[0]) {
        let status = Command::new(&arguments[2])
            .args(["scenario", "end", &arguments[1], "success"])
            .status()
            .unwrap();
        assert!(status.success());
    }
    println!("children_ns {}", process::reaped_children_ns());
}

/// `NS [CHILD]`: becomes a daemon the old way: the child of a child goes on alone, uses `NS` nanoseconds of CPU, and reports
/// its CPU time. With `CHILD` it does so as that program.
pub(super) fn double_fork(arguments: &[String]) {
    let ns = &arguments[0];
    let child = process::fork(|| {
        process::fork(|| match arguments.get(1) {
            Some(path) => process::exec(Path::new(path), &["child", "scenario", "tell", ns]),
            None => tell(std::slice::from_ref(ns)),
        });
    });
    process::reap(child);
}

/// `NS`: uses CPU, and reports how much.
pub(super) fn tell(arguments: &[String]) {
    process::spin_to(number(&arguments[0]));
    println!("used_ns {}", process::own_cpu_ns());
}

/// `COUNT NS`: children that no process can wait for; each reports its CPU time.
pub(super) fn unwaited(arguments: &[String]) {
    process::ignore_children();
    for _ in 0..number(&arguments[0]) {
        process::fork(|| tell(&arguments[1..]));
    }
    process::await_no_children();
}

/// `NS NEXT_NS [hold]`: two children with one number, one after the other. `hold`: each reports when it has worked, and
/// waits for a line before it ends.
pub(super) fn reuse(arguments: &[String]) {
    let holds = arguments.get(2).is_some();
    let live = |ns: &str| {
        process::spin_to(number(ns));
        if holds {
            println!("held {}", process::own_pid());
            read_line();
        }
    };
    let pid = process::fork(|| live(&arguments[0]));
    process::reap(pid);
    process::fork_as(pid, || live(&arguments[1]));
    process::reap(pid);
}

/// `COUNT PREFIX [UID]`: programs one after another, each under another name; as user `UID`, if it is named.
pub(super) fn names(arguments: &[String]) {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    let mut path = folder.join(format!("{}first", arguments[1]));
    std::fs::hard_link(&own, &path).unwrap();
    for n in 0..number(&arguments[0]) {
        let next = folder.join(format!("{}{n:x}", arguments[1]));
        std::fs::rename(&path, &next).unwrap();
        let end = ["child", "scenario", "end", "0", "success"];
        process::reap(process::fork(|| {
            if let Some(uid) = arguments.get(2) {
                process::set_uid(u32::try_from(number(uid)).unwrap());
            }
            process::exec(&next, &end)
        }));
        path = next;
    }
    std::fs::remove_file(path).unwrap();
}

/// `FILE NEXT`: goes into the cgroup whose `cgroup.procs` is `FILE`, and runs `NEXT` in its place, which ends at once.
pub(super) fn enter(arguments: &[String]) {
    std::fs::write(&arguments[0], "0").unwrap();
    let next = Path::new(&arguments[1]);
    process::exec(next, &["next", "scenario", "end", "0", "success"]);
}
