//! The broker thread: its filter and Landlock refuse all calls that it does not need, and replacing a file in its directory still
//! works.

use super::*;

#[test]
fn broker_thread_replaces_files_in_its_directory_and_nowhere_else() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, new) = (inside.path().join("file"), inside.path().join("new"));
    let other = outside.path().join("other");
    fs::write(&file, "old").unwrap();
    fs::write(&other, "old").unwrap();
    let directory = File::open(inside.path()).unwrap();
    confined(|| {
        let sandbox = Sandbox::default();
        sandbox.confine_broker(inside.path());
        for text in ["1", "2"] {
            let mut written = File::create(&new).unwrap();
            written.write_all(text.as_bytes()).unwrap();
            written.sync_all().unwrap();
            fs::rename(&new, &file).unwrap();
            directory.sync_all().unwrap();
        }
        File::create(&new).unwrap();
        fs::remove_file(&new).unwrap();
        let has_landlock = sandbox.steps().contains(&("broker", "landlock", true));
        assert_eq!(
            File::options().write(true).open(&other).is_err(),
            has_landlock
        );
        assert_eq!(
            File::create(outside.path().join("made")).is_err(),
            has_landlock
        );
        assert_eq!(File::open(&other).is_err(), has_landlock);
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), "2");
    assert_eq!(fs::read_to_string(&other).unwrap(), "old");
}

#[test]
fn broker_thread_can_neither_connect_nor_start_nor_load_programs() {
    for (call, number) in [
        (libc::SYS_bpf, MAP_LOOKUP_ELEM),
        (libc::SYS_execve, 0),
        (libc::SYS_ptrace, 0),
        (libc::SYS_socket, libc::AF_INET.into()),
        (libc::SYS_connect, 0),
        (libc::SYS_accept4, 0),
        (libc::SYS_clone, libc::SIGCHLD.into()),
        (libc::SYS_fchmod, 0),
        (libc::SYS_mkdirat, 0),
        (libc::SYS_linkat, 0),
    ] {
        let found = confined(|| {
            Sandbox::default().confine_broker(&std::env::temp_dir());
            refusal(call, number)
        });
        assert_eq!(found, Some(libc::ENOSYS), "{call}");
    }
    let steps = confined(|| {
        let sandbox = Sandbox::default();
        sandbox.confine_broker(&std::env::temp_dir());
        sandbox.steps()
    });
    for step in ["no_new_privs", "capabilities", "seccomp"] {
        assert!(steps.contains(&("broker", step, true)), "{steps:?}");
    }
}
