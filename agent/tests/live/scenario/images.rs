//! One program after another in one process, and other users' programs.

use std::path::Path;

use super::number;
use crate::process;

/// `UID CHILD_UID NS PROGRAM`: becomes the user `UID`, and forks a child that becomes `CHILD_UID` (`-`: neither), uses `NS`
/// nanoseconds of CPU and then runs `PROGRAM` as a worker. Reports the use of the child by then.
pub(super) fn launch(arguments: &[String]) {
    become_user(&arguments[0]);
    let child = process::fork(|| {
        become_user(&arguments[1]);
        process::spin(number(&arguments[2]));
        println!("launch_ns {}", process::own_cpu_ns());
        let program = Path::new(&arguments[3]);
        process::exec(program, &["launched", "scenario", "worker"]);
    });
    process::reap(child);
}

fn become_user(uid: &str) {
    if uid != "-" {
        process::set_uid(u32::try_from(number(uid)).unwrap());
    }
}

/// `NS [PROGRAM …]`: uses `NS` nanoseconds of CPU, then runs `PROGRAM` in its place, which does the same with the words that
/// follow.
pub(super) fn chain(arguments: &[String]) {
    process::spin(number(&arguments[0]));
    if let Some(program) = arguments.get(1) {
        let mut words = vec!["chain", "scenario", "chain"];
        words.extend(arguments[2..].iter().map(String::as_str));
        process::exec(Path::new(program), &words);
    }
}
