//! The files of the whole system: `stat`, without which there is no start, and `etc/passwd`, without which users have numbers.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::BTIME;
use crate::support::agent::Launch;
use crate::support::fake_proc::FakeProc;

fn fifo(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn without_the_stat_of_the_system_the_agent_does_not_start() {
    let told = |break_it: fn(&Path)| {
        let tree = FakeProc::new(BTIME);
        let path = tree.procfs().join("stat");
        break_it(&path);
        let error = Launch::on(&tree).run().one_error();
        error.replace(path.to_str().unwrap(), "STAT")
    };
    let missing = told(|path| fs::remove_file(path).unwrap());
    assert!(missing.starts_with("STAT does not exist"), "{missing}");
    let garbage = told(|path| fs::write(path, b"\xff\0btime \xff\nbtime x\n").unwrap());
    assert!(garbage.starts_with("STAT has no line `btime"), "{garbage}");
    let pipe = told(fifo);
    assert!(
        pipe.starts_with("cannot read STAT: it is no regular file"),
        "{pipe}"
    );
}

#[test]
fn users_without_a_readable_passwd_have_numbers_and_one_warning_says_so() {
    let breaking: [fn(&Path); 3] = [
        fifo,
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink(path, path).unwrap();
        },
    ];
    for break_it in breaking {
        let tree = FakeProc::new(BTIME);
        let path = tree.rootfs().join("etc/passwd");
        break_it(&path);
        for (pid, uid) in [(5, 0), (6, 1000)] {
            tree.process(pid).uids((uid, uid)).write();
        }
        let launch = Launch::on(&tree).arg("-accounting=procfs");
        let agent = launch
            .config("process_names: [{name: 'of {{.Username}}', cmdline: ['.']}]")
            .start();
        assert_eq!(
            agent.scrape().groups().keys().collect::<Vec<_>>(),
            ["of 0", "of 1000"]
        );
        let warnings = agent.messages("warn");
        let cause = format!("cannot read {}: ", path.display());
        let effect = "; users are shown by number";
        assert!(
            matches!(&warnings[..], [one] if one.starts_with(&cause) && one.ends_with(effect)),
            "{warnings:?}"
        );
        // The file is back, so users of new processes have names.
        match path.is_dir() {
            true => fs::remove_dir(&path).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
        tree.passwd("alice:x:1001:1001::/:/bin/sh\n");
        tree.process(7).uids((1001, 1001)).write();
        assert!(agent.scrape().groups().contains_key("of alice"));
    }
}
