//! Servers in separate processes, so that a test can kill them with -9: a server with a fixed answer, forked from this process,
//! and Debian's nats-server.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use crate::support::agent::until;

/// Largest request that the server reads.
const REQUEST: usize = 4096;

/// A child process. Dropping this kills it with -9 and waits for its end.
pub(crate) struct Mortal(libc::pid_t);

impl Mortal {
    /// Starts a process that listens at `address` and answers each request with `answer`.
    pub(crate) fn serving(address: SocketAddr, answer: &[u8]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        // SAFETY: the child only runs `serve`, which makes only system calls and never returns.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            serve(listener.as_raw_fd(), answer);
        }
        assert!(pid > 0, "{}", std::io::Error::last_os_error());
        Self(pid)
    }

    /// Starts a nats-server that listens at `address`.
    #[allow(
        clippy::zombie_processes,
        reason = "it is waited for by its pid, when this is dropped"
    )]
    pub(crate) fn nats(program: &OsStr, address: SocketAddr) -> Self {
        let child = Command::new(program)
            .args(["-a", &address.ip().to_string()])
            .args(["-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("nats-server", || TcpStream::connect(address).is_ok());
        Self(child.id().cast_signed())
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        // SAFETY: takes two numbers; the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: takes numbers and no pointer to write to.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}

/// Answers for ever. Allocates no memory, because a thread that does not exist in this process may hold the allocator's lock. The
/// process ends with the thread that has forked it.
fn serve(listener: libc::c_int, answer: &[u8]) -> ! {
    // SAFETY: system calls with numbers, and with buffers that outlive them.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Closes all other descriptors, such as the listeners of other tests.
        libc::dup2(listener, 3);
        libc::syscall(libc::SYS_close_range, 4, libc::c_uint::MAX, 0);
        loop {
            let client = libc::accept(3, std::ptr::null_mut(), std::ptr::null_mut());
            let mut heard = [0_u8; REQUEST];
            let mut end = 0;
            while !heard[..end].ends_with(b"\r\n\r\n") {
                let room = &mut heard[end..];
                match libc::read(client, room.as_mut_ptr().cast(), room.len()) {
                    count @ 1.. => end += count.unsigned_abs(),
                    _ => break,
                }
            }
            let mut left = answer;
            while !left.is_empty() {
                match libc::write(client, left.as_ptr().cast(), left.len().min(1_000)) {
                    count @ 1.. => left = &left[count.unsigned_abs()..],
                    _ => break,
                }
            }
            libc::close(client);
        }
    }
}
