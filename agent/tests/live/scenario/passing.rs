//! Descriptors over Unix sockets (`SCM_RIGHTS`).

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::os::unix::net::UnixStream;

/// Room for one descriptor in a control message, aligned as the kernel wants it.
#[repr(align(8))]
struct Control([u8; 24]);

fn with_message<T>(control: &mut Control, run: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = [1_u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: all bytes zero are a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    run(&mut message)
}

/// Sends a descriptor, with one byte.
pub(super) fn send_descriptor(to: &UnixStream, descriptor: RawFd) {
    let mut control = Control([0; 24]);
    control.0[..8].copy_from_slice(&20_u64.to_ne_bytes());
    control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    control.0[16..20].copy_from_slice(&descriptor.to_ne_bytes());
    with_message(&mut control, |message| {
        // SAFETY: the message points to locals that live until it returns.
        let sent = unsafe { libc::sendmsg(to.as_raw_fd(), message, 0) };
        assert_eq!(sent, 1, "sendmsg: {}", io::Error::last_os_error());
    });
}

/// Waits for a descriptor, which is a connection's.
pub(super) fn take_descriptor(from: &UnixStream) -> TcpStream {
    let mut control = Control([0; 24]);
    with_message(&mut control, |message| {
        // SAFETY: as in `send_descriptor`.
        let taken = unsafe { libc::recvmsg(from.as_raw_fd(), message, 0) };
        assert_eq!(taken, 1, "recvmsg: {}", io::Error::last_os_error());
    });
    let descriptor = RawFd::from_ne_bytes(control.0[16..20].try_into().unwrap());
    // SAFETY: the kernel has just made it for this process.
    unsafe { TcpStream::from_raw_fd(descriptor) }
}
