//! Sockets that systemd opened and passed: descriptors from 3 on, announced in `LISTEN_FDS` and `LISTEN_PID`.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{Listener, Socket as Kind};

/// Takes over all passed sockets; the implementation of [`Listener::passed`].
pub(super) fn take() -> Result<Vec<Listener>, String> {
    let numbers = sd_notify::listen_fds()
        .map_err(|error| format!("LISTEN_FDS and LISTEN_PID name no open sockets: {error}"))?;
    if numbers.len() == 0 {
        return Err(
            "no socket was passed (LISTEN_FDS, LISTEN_PID); start the agent by a .socket unit with ListenStream=, or \
             leave the flag out"
                .to_owned(),
        );
    }
    numbers
        .map(|number| {
            listener(number).map_err(|error| {
                format!(
                    "descriptor {number}: {error}; its .socket unit needs ListenStream= and Accept=no"
                )
            })
        })
        .collect()
}

fn listener(number: RawFd) -> io::Result<Listener> {
    // SAFETY: `sd_notify` has just found it open, and no code closes it meanwhile.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let socket = SockRef::from(&borrowed);
    let domain = socket.domain()?;
    if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        return Err(io::Error::other("not a listening stream socket"));
    }
    // SAFETY: the service manager passed the descriptor to this process, and the caller takes it once: it has no
    // other owner.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(number) });
    socket.set_nonblocking(true)?;
    if domain == Domain::UNIX {
        let socket = UnixListener::from_std(OwnedFd::from(socket).into())?;
        return Ok(Listener(Kind::Unix {
            socket,
            _file: None,
        }));
    }
    let socket = TcpListener::from_std(socket.into())?;
    Ok(Listener(Kind::Tcp(socket)))
}
