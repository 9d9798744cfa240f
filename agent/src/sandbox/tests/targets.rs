//! The targets thread: its filter refuses all calls that it does not need, and every step of a kind of target still works.

use std::io;
use std::mem::size_of;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{CreateFlags, WatchFlags};
use rustix::fs::{
    FlockOperation, Mode, OFlags, ResolveFlags, flock, fstatfs, inotify, openat, openat2,
};
use rustix::thread::CapabilitySet;

use super::*;
use crate::blocking::{Bound, Pool, Replies};

/// A user other than root.
const NOBODY: libc::c_long = 65534;

/// Runs `test` on a thread that is confined as the targets thread.
fn asking<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    confined(|| {
        Sandbox::default().confine_targets(true);
        test()
    })
}

/// The same, and the thread is not root's.
fn asking_as_nobody<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    confined(|| {
        if rustix::process::geteuid().is_root() {
            // The call of the C library would change all threads.
            // SAFETY: takes three numbers.
            let code = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
            assert_eq!(code, 0);
        }
        Sandbox::default().confine_targets(true);
        test()
    })
}

/// The error of a call of which no argument is a pointer or needs to be a valid one.
pub(super) fn error_of(call: libc::c_long, arguments: [libc::c_int; 3]) -> Option<i32> {
    let [first, second, third] = arguments.map(libc::c_long::from);
    // SAFETY: the kernel does not access memory through 0, and refuses it.
    match unsafe { libc::syscall(call, first, second, third, 0_usize, 0_usize) } {
        -1 => io::Error::last_os_error().raw_os_error(),
        _ => None,
    }
}

pub(super) const REFUSED: Option<i32> = Some(libc::ENOSYS);

#[test]
fn targets_thread_opens_stream_sockets_only() {
    const FLAGS: libc::c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let streams = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    asking(|| {
        for family in streams {
            for kind in [libc::SOCK_STREAM, libc::SOCK_STREAM | FLAGS] {
                let found = error_of(libc::SYS_socket, [family, kind, 0]);
                assert_ne!(found, REFUSED, "{family} {kind:#x}");
            }
        }
        for (family, kind, protocol) in [
            (libc::AF_INET, libc::SOCK_DGRAM, 0),
            (libc::AF_INET6, libc::SOCK_DGRAM | FLAGS, 0),
            (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
            (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
            (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
            (libc::AF_INET, libc::SOCK_STREAM | 0x10, 0),
            (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
            (libc::AF_UNIX, libc::SOCK_SEQPACKET | FLAGS, 0),
            (libc::AF_NETLINK, libc::SOCK_RAW, 0),
            (libc::AF_PACKET, libc::SOCK_RAW, 0),
            (libc::AF_VSOCK, libc::SOCK_STREAM, 0),
            (libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ] {
            let found = error_of(libc::SYS_socket, [family, kind, protocol]);
            assert_eq!(found, REFUSED, "{family} {kind:#x} {protocol}");
        }
    });
}

#[test]
fn targets_thread_can_neither_listen_nor_start_nor_load_programs() {
    asking(|| {
        for (call, number) in [
            (libc::SYS_bind, 0),
            (libc::SYS_listen, 0),
            (libc::SYS_accept4, 0),
            (libc::SYS_socketpair, libc::AF_UNIX),
            (libc::SYS_bpf, 1), // BPF_MAP_LOOKUP_ELEM
            (libc::SYS_perf_event_open, 0),
            (libc::SYS_execve, 0),
            (libc::SYS_ptrace, 0),
            (libc::SYS_process_vm_readv, 0),
            (libc::SYS_unshare, 0),
            (libc::SYS_setfsuid, 0),
            (libc::SYS_kill, 0),
            (libc::SYS_clone, libc::SIGCHLD),
        ] {
            assert_eq!(error_of(call, [number, 0, 0]), REFUSED, "{call}");
        }
        #[cfg(target_arch = "x86_64")]
        assert_eq!(error_of(libc::SYS_accept, [0, 0, 0]), REFUSED);
    });
}

#[test]
fn targets_thread_reads_files_and_writes_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "text").unwrap();
    let owner: OwnedFd = File::open(directory.path()).unwrap().into();
    let open = |flags: OFlags, resolve| {
        openat2(
            &owner,
            "file",
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
    };
    asking(|| {
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        assert!(File::options().write(true).open(&file).is_err());
        assert!(File::options().read(true).append(true).open(&file).is_err());
        assert!(File::create(directory.path().join("made")).is_err());
        assert!(fs::rename(&file, directory.path().join("other")).is_err());
        // Root may write to this file by its mode, so the call is refused.
        if rustix::process::geteuid().is_root() {
            let found = open(OFlags::RDONLY, ResolveFlags::BENEATH);
            assert_eq!(found.unwrap_err(), rustix::io::Errno::NOSYS);
        }
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    asking_as_nobody(|| {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        assert!(open(OFlags::RDONLY, beneath).is_ok());
        let denied = open(OFlags::RDWR, beneath).unwrap_err();
        assert_eq!(denied, rustix::io::Errno::ACCESS, "another user's file");
    });
}

#[test]
fn targets_thread_keeps_only_the_rights_that_its_kinds_need() {
    let permitted = rustix::thread::capabilities(None).unwrap().permitted;
    let reading = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    for (may_read_others, expected) in [
        (true, permitted.intersection(reading)),
        (false, CapabilitySet::empty()),
    ] {
        confined(|| {
            let sandbox = Sandbox::default();
            assert_eq!(sandbox.steps(), [], "the side does not run");
            sandbox.confine_targets(may_read_others);
            let steps = ["no_new_privs", "capabilities", "seccomp"];
            assert_eq!(sandbox.steps(), steps.map(|step| ("targets", step, true)));
            // It cannot ask for them by `capget` any more.
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            for (set, expected) in [
                ("CapEff", expected),
                ("CapPrm", expected),
                ("CapInh", CapabilitySet::empty()),
            ] {
                let line = format!("{set}:\t{:016x}\n", expected.bits());
                assert!(status.contains(&line), "{line}{status}");
            }
        });
    }
}

/// An instance as a kind of target finds it: a socket in a directory with a lock.
#[test]
fn everything_that_kinds_of_targets_do_works() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let lock = File::create(directory.path().join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    asking(|| {
        let root = File::open(directory.path()).unwrap();
        let open = |name: &str, flags| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(root.as_fd(), name, flags, Mode::empty()).unwrap()
        };
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["lock", "socket"]);
        let lock = open("lock", OFlags::RDONLY | OFlags::NONBLOCK);
        let shared = flock(&lock, FlockOperation::NonBlockingLockShared);
        assert_eq!(shared, Err(rustix::io::Errno::WOULDBLOCK));
        let socket = open("socket", OFlags::PATH);
        let stream = connect(&socket);
        assert_eq!(peer_of(&stream), rustix::process::geteuid().as_raw());
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        let watched = inotify::add_watch(&watch, directory.path(), WatchFlags::CREATE).unwrap();
        inotify::remove_watch(&watch, watched).unwrap();
        assert!(fstatfs(&root).is_ok());
        assert!(fs::read_link("/proc/self/exe").is_ok());
    });
    drop(listener);
}

/// Connects to the socket, even if another file has its path by now.
fn connect(socket: &OwnedFd) -> UnixStream {
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap()
}

fn peer_of(stream: &UnixStream) -> u32 {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap();
    // SAFETY: the kernel writes at most `length` bytes, the size of `peer`.
    let code = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    assert_eq!(code, 0);
    peer.uid
}

#[test]
fn runtime_and_readers_of_files_work_on_the_targets_thread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    confined(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        Sandbox::default().confine_targets(true);
        let mut pool = Pool::<(), PathBuf, Vec<String>>::new(
            "find",
            Bound {
                root: 1,
                each: 1,
                others: 1,
            },
        );
        let names = |path: PathBuf, replies: &Replies<Vec<String>>| {
            let entries = fs::read_dir(path).unwrap().flatten();
            let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
            replies.send(entries.map(name).collect());
        };
        let reader = pool.reader(|_| names).unwrap();
        reader.ask(directory.path().to_owned());
        reader.wait(Duration::from_secs(10)).unwrap();
        assert_eq!(reader.replies().collect::<Vec<_>>(), [["socket"]]);
        // The state of the reader is read as long as it does not answer.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reader.is_asleep() && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
        assert!(reader.is_asleep());
        runtime.block_on(async {
            let connecting = tokio::net::UnixStream::connect(&path);
            let stream = tokio::time::timeout(Duration::from_secs(60), connecting);
            let stream = stream.await.unwrap().unwrap();
            stream.writable().await.unwrap();
            stream.try_write(b"?").unwrap();
            let own = rustix::process::geteuid().as_raw();
            assert_eq!(stream.peer_cred().unwrap().uid(), own);
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        });
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut question = [0];
    stream.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"?");
}
