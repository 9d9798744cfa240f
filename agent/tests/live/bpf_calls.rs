//! The `bpf(2)` calls of an agent, each judged by the test before the kernel sees it: let through, refused, or asked for less.
//!
//! A seccomp filter hands them to a thread of the test, which reads the arguments from the agent's memory. The agent is the one
//! that users have: it sees a kernel that refuses.

use std::ffi::CStr;
use std::io::{self, Error, ErrorKind};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::{Child, Command};

/// Commands of `bpf(2)` (kernel: include/uapi/linux/bpf.h).
const MAP_CREATE: u64 = 0;
const PROG_LOAD: u64 = 5;
const RAW_TRACEPOINT_OPEN: u64 = 17;
const LINK_CREATE: u64 = 28;
const ITER_CREATE: u64 = 33;

/// Offsets in `union bpf_attr` of the fields that are read here.
const MAX_ENTRIES: usize = 12;
const MAP_NAME: usize = 28;
const PROG_NAME: usize = 48;
/// Up to the end of all of it.
const ATTRIBUTES: usize = 64;

/// The object of a call. The kernel cuts names at 15 bytes; objects with which aya tries the kernel have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Map {
        name: String,
        entries: u32,
    },
    Program(String),
    /// Of the program that was loaded last: the agent attaches each program of a plan just after it has loaded it.
    Attach(String),
    OpenIterator,
    Other,
}

/// The verdict on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    /// By this error of errno(3).
    Refuse(i32),
    /// A map with so many entries.
    Entries(u32),
}

/// The test's part.
pub(crate) type Judge = Box<dyn FnMut(&Call) -> Verdict + Send>;

/// Starts `command`, whose calls `judge` decides from its first one on. The thread ends with the last process under the
/// filter.
pub(crate) fn spawn(command: &mut Command, judge: Judge) -> Child {
    // A filter stays with its thread, and with all its children: this thread is for nothing else.
    let started = std::thread::scope(|scope| {
        let start = || (filter().unwrap(), command.spawn().unwrap());
        scope.spawn(start).join()
    });
    let (listener, child) = started.unwrap();
    let mut court = Court {
        listener,
        judge,
        loaded: String::new(),
    };
    std::thread::spawn(move || court.sit());
    child
}

/// Hands every `bpf(2)` of this thread and its children to the owner of the returned descriptor.
fn filter() -> io::Result<OwnedFd> {
    let step = |code: u32, on_true: u8, on_false: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: on_true,
        jf: on_false,
        k,
    };
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    // The number of the call comes first in `struct seccomp_data`.
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(is, 0, 1, u32::try_from(libc::SYS_bpf).unwrap()),
        step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).unwrap(),
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program and its steps outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made it, close-on-exec, and no other code knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Error::last_os_error()),
    }
}

struct Court {
    listener: OwnedFd,
    judge: Judge,
    /// The program that was loaded last.
    loaded: String,
}

impl Court {
    fn sit(&mut self) {
        while self.is_wanted() {
            // A caller that was killed meanwhile wants nothing more.
            let Some(case) = self.receive() else { continue };
            let answer = self.decide(&case);
            self.answer(answer);
        }
    }

    /// Waits for a call; `false` when no process is left that could make one.
    fn is_wanted(&self) -> bool {
        let mut wanted = libc::pollfd {
            fd: self.listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `wanted` is one pollfd, and outlives the call.
        unsafe { libc::poll(&raw mut wanted, 1, -1) };
        wanted.revents & libc::POLLHUP == 0
    }

    fn receive(&self) -> Option<libc::seccomp_notif> {
        // SAFETY: all bytes zero are a value of it, and the one that the kernel wants.
        let mut case: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        let fd = self.listener.as_raw_fd();
        // SAFETY: the pointer is to a local of the type that this call writes.
        match unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut case) } {
            0 => Some(case),
            _ => None,
        }
    }

    fn decide(&mut self, case: &libc::seccomp_notif) -> libc::seccomp_notif_resp {
        let mut answer = libc::seccomp_notif_resp {
            id: case.id,
            val: 0,
            error: 0,
            flags: u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap(),
        };
        let memory = Memory::of(case);
        let Some(call) = memory.read().map(|attributes| self.call(case, &attributes)) else {
            return answer;
        };
        match (self.judge)(&call) {
            Verdict::Allow => {}
            Verdict::Refuse(errno) => {
                answer.error = -errno;
                answer.flags = 0;
            }
            Verdict::Entries(entries) => memory.write(MAX_ENTRIES, &entries.to_ne_bytes()),
        }
        answer
    }

    fn call(&mut self, case: &libc::seccomp_notif, attributes: &[u8; ATTRIBUTES]) -> Call {
        let name = |at: usize| {
            let name = CStr::from_bytes_until_nul(&attributes[at..at + 16]).unwrap_or_default();
            name.to_str().unwrap().to_owned()
        };
        match case.data.args[0] {
            MAP_CREATE => Call::Map {
                name: name(MAP_NAME),
                entries: u32::from_ne_bytes(
                    attributes[MAX_ENTRIES..MAX_ENTRIES + 4].try_into().unwrap(),
                ),
            },
            PROG_LOAD => {
                self.loaded = name(PROG_NAME);
                Call::Program(self.loaded.clone())
            }
            RAW_TRACEPOINT_OPEN | LINK_CREATE => Call::Attach(self.loaded.clone()),
            ITER_CREATE => Call::OpenIterator,
            _ => Call::Other,
        }
    }

    fn answer(&self, mut answer: libc::seccomp_notif_resp) {
        let fd = self.listener.as_raw_fd();
        // SAFETY: the pointer is to a local of the type that this call reads.
        let code = unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
        let error = Error::last_os_error();
        assert!(code == 0 || error.kind() == ErrorKind::NotFound, "{error}");
    }
}

/// The attributes of a call, in the caller's memory.
struct Memory {
    pid: libc::pid_t,
    at: usize,
    length: usize,
}

impl Memory {
    fn of(case: &libc::seccomp_notif) -> Self {
        Self {
            pid: libc::pid_t::try_from(case.pid).unwrap(),
            at: usize::try_from(case.data.args[1]).unwrap(),
            length: usize::try_from(case.data.args[2]).unwrap(),
        }
    }

    /// Zero where the call gives less; `None` when the caller is gone.
    fn read(&self) -> Option<[u8; ATTRIBUTES]> {
        let mut bytes = [0; ATTRIBUTES];
        let length = self.length.min(ATTRIBUTES);
        let here = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: length,
        };
        let there = self.part(0, length);
        // SAFETY: the kernel writes to a local of that length, and checks the other side itself.
        let read =
            unsafe { libc::process_vm_readv(self.pid, &raw const here, 1, &raw const there, 1, 0) };
        (usize::try_from(read) == Ok(length)).then_some(bytes)
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        let here = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let there = self.part(offset, bytes.len());
        // SAFETY: the kernel reads the borrowed bytes, and checks the other side itself.
        let written = unsafe {
            libc::process_vm_writev(self.pid, &raw const here, 1, &raw const there, 1, 0)
        };
        assert_eq!(
            usize::try_from(written),
            Ok(bytes.len()),
            "{}",
            Error::last_os_error()
        );
    }

    fn part(&self, offset: usize, length: usize) -> libc::iovec {
        libc::iovec {
            iov_base: std::ptr::without_provenance_mut(self.at + offset),
            iov_len: length,
        }
    }
}
