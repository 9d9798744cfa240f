//! Processes one after another.

use std::path::Path;

use super::number;
use crate::process::{self, End};

/// `COUNT NS CHILD…`: processes of `NS` nanoseconds of CPU, one after another; each runs the program `CHILD`, or is nothing but
/// forked where none is named. Reports how they ended and the sum of the results of `wait4`.
pub(super) fn churn(arguments: &[String]) {
    let (count, ns) = (number(&arguments[0]), &arguments[1]);
    let child = arguments.get(2).map(Path::new);
    let mut ends = [0_u64; 3];
    for n in 0..count {
        let end = End::of_nth(n);
        let pid = process::fork(|| match child {
            Some(path) => process::exec(path, &["child", "scenario", "end", ns, end.word()]),
            None => {
                process::spin_to(number(ns));
                end.now();
            }
        });
        let reaped = process::reap(pid);
        assert_eq!(reaped.end, end);
        ends[reaped.end as usize] += 1;
    }
    println!("success {}", ends[End::Success as usize]);
    println!("failure {}", ends[End::Failure as usize]);
    println!("signal {}", ends[End::Signal as usize]);
    println!("children_ns {}", process::reaped_children_ns());
}

/// `NS END`: uses CPU until it has used `NS` nanoseconds since its birth, then ends as `END` says.
pub(super) fn end(arguments: &[String]) {
    process::spin_to(number(&arguments[0]));
    End::from_word(&arguments[1]).now();
}

/// `NS NEXT NEXT_NS`: uses `NS` nanoseconds of CPU, then runs `NEXT` in its place, which uses `NEXT_NS` more. Reports its own
/// use.
pub(super) fn relay(arguments: &[String]) {
    process::spin(number(&arguments[0]));
    let used_ns = process::own_cpu_ns();
    println!("used_ns {used_ns}");
    let total_ns = (used_ns + number(&arguments[2])).to_string();
    let next = Path::new(&arguments[1]);
    process::exec(next, &["next", "scenario", "end", &total_ns, "success"]);
}

/// `COUNT`: as many processes with names of their own, which wait until the input ends. Reports when all are there.
pub(super) fn crowd(arguments: &[String]) {
    let count = number(&arguments[0]);
    let members: Vec<i32> = (0..count)
        .map(|n| {
            process::fork(|| {
                process::set_name(format!("crowd{n}").as_bytes());
                while super::worker::read_line().is_some() {}
            })
        })
        .collect();
    println!("ready {count}");
    while super::worker::read_line().is_some() {}
    for pid in members {
        process::reap(pid);
    }
}

/// `COUNT`: processes one after another, each of which ends under a name of its own.
pub(super) fn names(arguments: &[String]) {
    for n in 0..number(&arguments[0]) {
        let pid = process::fork(|| {
            process::set_name(format!("turn{n}").as_bytes());
            process::exit(0);
        });
        process::reap(pid);
    }
}
