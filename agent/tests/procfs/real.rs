//! On the `/proc` of this machine: a value is compared with the process's own knowledge of itself or of a child.

use super::*;

fn real() -> Procfs {
    Procfs::new(Host::detect("/proc", "/").unwrap())
}

#[test]
fn facts_of_this_process_agree_with_its_own() {
    let (ready, wait) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let worker = std::thread::spawn(move || {
        // SAFETY: the call takes no argument and cannot fail.
        ready.send(unsafe { libc::gettid() }).unwrap();
        let _ = ended.recv();
    });
    let tid = u32::try_from(wait.recv().unwrap()).unwrap();
    let own = std::process::id();
    let mut procfs = real();
    let pass = procfs.pass().unwrap();
    let sample = pass
        .processes
        .iter()
        .find(|sample| sample.id.tgid == own)
        .unwrap();
    assert!(
        sample.threads >= 2
            && sample.memory.resident_bytes > 0
            && sample.memory.virtual_bytes > sample.memory.resident_bytes
    );
    assert!(sample.id.start_ns <= pass.started_ns && sample.fd_limit.is_some());
    assert!(
        sample.counters.io.is_some(),
        "a process may read its own io"
    );
    // SAFETY: neither call takes an argument or can fail.
    let (parent, uid) = unsafe { (libc::getppid(), libc::geteuid()) };
    assert_eq!(i64::from(sample.parent), i64::from(parent));
    assert!(
        pass.threads
            .iter()
            .any(|thread| (thread.tgid, thread.tid) == (own, tid))
    );
    assert!(
        pass.threads
            .is_sorted_by_key(|thread| (thread.tgid, thread.tid))
    );
    assert!(pass.threads.iter().all(|thread| thread.tgid != thread.tid));

    let facts = procfs.facts(own, Some(sample.id.start_ns)).unwrap();
    let comm = std::fs::read("/proc/self/comm").unwrap();
    assert_eq!(facts.comm, comm.trim_ascii_end());
    let argv: Vec<_> = std::env::args().map(String::into_bytes).collect();
    assert_eq!(facts.argv.iter().collect::<Vec<_>>(), argv);
    if uid == 0 {
        assert_eq!(facts.username, "root");
    }
    assert!(!facts.cgroups.is_empty());
    assert_eq!((facts.uid, facts.parent), (Some(uid), sample.parent));
    assert_eq!(facts.cwd, b"", "only read on request");
    let facts = real().with_cwd(true).facts(own, None).unwrap();
    let cwd = std::env::current_dir().unwrap();
    assert_eq!(facts.cwd, cwd.into_os_string().into_encoded_bytes());
    end.send(()).unwrap();
    worker.join().unwrap();
}

#[test]
fn open_descriptors_of_a_child_are_counted() {
    // A shell that waits for its input to end; it has 0, 1, 2 and 9.
    let mut child = std::process::Command::new("sh")
        .args(["-c", "exec 9</dev/null; echo ready; read -r line"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
        &mut line,
    )
    .unwrap();
    let listed = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
        .unwrap()
        .count();
    assert_eq!(real().open_files(child.id()).unwrap(), listed as u64);
    assert!(listed >= 4);
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_child_is_seen_while_it_lives_as_a_zombie_and_never_after() {
    let mut procfs = real();
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let tgid = child.id();
    let see = |procfs: &mut Procfs| {
        procfs
            .pass()
            .unwrap()
            .processes
            .into_iter()
            .find(|sample| sample.id.tgid == tgid)
    };
    let alive = see(&mut procfs).unwrap();
    child.kill().unwrap();
    // Waits for the end without reaping.
    // SAFETY: the kernel writes into `info`, which lives as long as the call.
    let code = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(
            libc::P_PID,
            tgid,
            &raw mut info,
            libc::WEXITED | libc::WNOWAIT,
        )
    };
    assert_eq!(code, 0);
    let zombie = see(&mut procfs).unwrap();
    assert_eq!((zombie.id, zombie.state), (alive.id, State::Zombie));
    assert_eq!(
        (
            zombie.memory.resident_bytes,
            zombie.memory.virtual_bytes,
            zombie.memory.swapped_bytes
        ),
        (0, 0, 0)
    );
    assert!(
        procfs
            .facts(tgid, Some(zombie.id.start_ns))
            .unwrap()
            .argv
            .is_empty()
    );
    assert_eq!(procfs.open_files(tgid).unwrap(), 0);
    child.wait().unwrap();
    assert_eq!(see(&mut procfs), None);
    assert!(
        procfs
            .facts(tgid, Some(zombie.id.start_ns))
            .unwrap_err()
            .is_gone()
    );
}
