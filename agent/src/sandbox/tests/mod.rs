//! The sandbox, applied to a thread of its own in each test: forbidden calls are refused, and the needed ones work.

mod broker;
mod names;
mod targets;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::{ptr, thread};

use super::*;

/// Commands of `bpf()` (kernel: `enum bpf_cmd`).
const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;

/// Runs `test` on a new thread, so that the rights it gives up stay with the other tests.
fn confined<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(test).join().unwrap())
}

/// The error of a call with a number and no valid pointer.
fn refusal(call: libc::c_long, number: libc::c_long) -> Option<i32> {
    let none = ptr::null::<u8>();
    // SAFETY: the pointers are null, so the kernel accesses no memory through them.
    let code = unsafe { libc::syscall(call, number, none, 0_usize, 0_usize, 0_usize) };
    match code {
        -1 => io::Error::last_os_error().raw_os_error(),
        _ => None,
    }
}

#[test]
fn the_thread_of_http_can_neither_load_programs_nor_start_any() {
    for (call, number) in [
        (libc::SYS_bpf, PROG_LOAD),
        (libc::SYS_bpf, MAP_LOOKUP_ELEM),
        (libc::SYS_execve, 0),
        (libc::SYS_ptrace, 0),
        (libc::SYS_unshare, 0),
        (libc::SYS_seccomp, 99),
        (libc::SYS_socket, libc::AF_INET.into()),
        (libc::SYS_connect, 0),
        (libc::SYS_clone, libc::SIGCHLD.into()),
    ] {
        let found = confined(|| {
            Sandbox::default().confine_http(&[] as &[PathBuf]);
            refusal(call, number)
        });
        assert_eq!(found, Some(libc::ENOSYS), "{call}");
    }
}

#[test]
fn the_thread_of_http_reads_its_files_and_no_others() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, other) = (inside.path().join("web.yml"), outside.path().join("x"));
    fs::write(&file, "old").unwrap();
    fs::write(&other, "secret").unwrap();
    let (confined_now, is_confined) = std::sync::mpsc::channel();
    let (replaced_now, is_replaced) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let (file, other, inside) = (&file, &other, inside.path());
        scope.spawn(move || {
            let sandbox = Sandbox::default();
            sandbox.confine_http(&[file]);
            let has_landlock = sandbox.steps().contains(&("http", "landlock", true));
            assert_eq!(fs::read_to_string(file).unwrap(), "old");
            assert_eq!(File::open(other).is_err(), has_landlock);
            assert!(File::options().append(true).open(file).is_err());
            assert!(File::create(inside.join("made")).is_err());
            confined_now.send(()).unwrap();
            is_replaced.recv().unwrap();
            assert_eq!(fs::read_to_string(file).unwrap(), "new");
        });
        is_confined.recv().unwrap();
        // Like a certificate renewal: another file takes its place.
        fs::write(inside.join("next"), "new").unwrap();
        fs::rename(inside.join("next"), file).unwrap();
        replaced_now.send(()).unwrap();
    });
}

#[test]
fn files_behind_symbolic_links_are_read_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let (live, archive) = (
        directory.path().join("live"),
        directory.path().join("archive"),
    );
    fs::create_dir(&live).unwrap();
    fs::create_dir(&archive).unwrap();
    fs::write(archive.join("key1.pem"), "1").unwrap();
    fs::write(archive.join("key2.pem"), "2").unwrap();
    let link = live.join("key.pem");
    symlink("../archive/key1.pem", &link).unwrap();
    let files = [link.clone()];
    let read = confined(|| {
        Sandbox::default().confine_http(&files);
        [link, archive.join("key2.pem")].map(|path| fs::read_to_string(path).unwrap())
    });
    assert_eq!(
        read,
        ["1", "2"],
        "and the next one, to which the link will lead"
    );
}

#[test]
fn the_thread_of_http_still_serves() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(b"?").unwrap();
    confined(|| {
        Sandbox::default().confine_http(&[] as &[PathBuf]);
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut question = [0];
        stream.read_exact(&mut question).unwrap();
        // A password is hashed on a thread of its own, and an exposition is large.
        let answer = thread::spawn(|| vec![b'!'; 1 << 20]).join().unwrap();
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.write(&answer[..1]).unwrap(), 1);
        let mut random = [0_u8; 16];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).unwrap();
    });
    let mut answer = [0];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"!");
}

#[test]
fn the_thread_of_the_state_uses_maps_and_makes_none() {
    let refusals = |uses_bpf| {
        confined(|| {
            Sandbox::default().confine_state(uses_bpf, || true);
            [PROG_LOAD, MAP_CREATE, LINK_CREATE, MAP_LOOKUP_ELEM]
                .map(|command| refusal(libc::SYS_bpf, command))
        })
    };
    let denied = Some(libc::EPERM);
    // The filter lets it through, and the kernel answers that there is no such map.
    assert_eq!(refusals(true), [denied, denied, denied, Some(libc::EINVAL)]);
    assert_eq!(refusals(false), [denied; 4]);
}

#[test]
fn no_thread_starts_programs_or_traces() {
    let found = confined(|| {
        system_calls::deny().unwrap();
        let calls = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_unshare,
            libc::SYS_io_uring_setup,
        ];
        (
            calls.map(|call| refusal(call, 0)),
            File::open("/proc/self/status").is_ok(),
        )
    });
    assert_eq!(found, ([Some(libc::EPERM); 5], true));
}

/// The error of a call that sends signal 0, which has no effect; `None` if the signal was sent.
fn probe(call: libc::c_long, arguments: [libc::c_long; 3]) -> Option<i32> {
    let [first, second, third] = arguments;
    // SAFETY: takes three numbers.
    match unsafe { libc::syscall(call, first, second, third) } {
        0 => None,
        _ => io::Error::last_os_error().raw_os_error(),
    }
}

#[test]
fn http_thread_signals_no_process_but_its_own() {
    let own = libc::c_long::from(std::process::id());
    // The parent of this process is alive; signal 0 does not disturb it.
    let other = libc::c_long::from(std::os::unix::process::parent_id());
    let found = confined(|| {
        // SAFETY: takes nothing and gives a number.
        let thread = libc::c_long::from(unsafe { libc::gettid() });
        let before = probe(libc::SYS_tgkill, [other, other, 0]);
        Sandbox::default().confine_http(&[] as &[PathBuf]);
        let calls = [
            probe(libc::SYS_tgkill, [own, thread, 0]),
            probe(libc::SYS_tgkill, [other, other, 0]),
            probe(libc::SYS_tkill, [other, 0, 0]),
            probe(libc::SYS_tkill, [thread, 0, 0]),
            probe(libc::SYS_kill, [other, 0, 0]),
        ];
        (before, calls)
    });
    let refused = Some(libc::ENOSYS);
    assert_eq!(found.1, [None, refused, refused, refused, refused]);
    assert_ne!(found.0, refused, "the filter alone refuses it");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_forms_of_calls_are_denied_on_every_thread() {
    const X32: libc::c_long = 0x4000_0000;
    // A kernel without x32 knows none of these calls and returns another error than the filter.
    let without = confined(|| refusal(X32 | libc::SYS_getpid, 0));
    assert_ne!(without, Some(libc::EPERM));
    let calls = [
        libc::SYS_getpid,
        libc::SYS_ptrace,
        libc::SYS_execve,
        libc::SYS_bpf,
    ];
    let found = confined(|| {
        system_calls::deny().unwrap();
        let x32 = calls.map(|call| refusal(X32 | call, 0));
        (x32, refusal(-1, 0), File::open("/proc/self/status").is_ok())
    });
    let denied = Some(libc::EPERM);
    assert_eq!(found, ([denied; 4], denied, true));
    // The state thread and the HTTP thread add filters of their own.
    let found = confined(|| {
        system_calls::deny().unwrap();
        Sandbox::default().confine_state(true, || true);
        refusal(X32 | libc::SYS_bpf, 0)
    });
    assert_eq!(found, denied);
    let found = confined(|| {
        Sandbox::default().confine_http(&[] as &[PathBuf]);
        refusal(X32 | libc::SYS_getpid, 0)
    });
    assert_eq!(found, Some(libc::ENOSYS));
}

#[test]
fn a_capability_is_kept_only_where_something_does_not_work_without() {
    let permitted = rustix::thread::capabilities(None).unwrap().permitted;
    let kept = |works: bool| confined(|| capabilities::keep_none(|| works).unwrap().to_string());
    assert_eq!(kept(true), "none");
    let can_read_all = permitted.contains(rustix::thread::CapabilitySet::DAC_READ_SEARCH);
    assert_eq!(
        kept(false),
        if can_read_all {
            "CAP_DAC_READ_SEARCH"
        } else {
            "none"
        }
    );
    let left = confined(|| {
        let _ = capabilities::keep_none(|| true).unwrap();
        rustix::thread::capabilities(None).unwrap()
    });
    assert!(left.permitted.is_empty() && left.effective.is_empty() && left.inheritable.is_empty());
}
