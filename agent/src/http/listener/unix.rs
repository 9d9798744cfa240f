//! A Unix socket at a path, which only the owner and the group of its file may use.
//!
//! Checks the directories of the path, replaces the socket of a dead process, and removes the file at the end.

use std::convert::Infallible;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, fchmod};
use rustix::process::umask;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixSocket};

use super::directories;

/// Mode of the socket file: connecting needs the right to write, so owner and group may connect.
const MODE: u32 = 0o660;
/// The umask that leaves [`MODE`] unchanged.
const UMASK: u32 = 0o007;
/// Length of the backlog of connections that wait to be accepted; the same as for TCP.
const BACKLOG: u32 = 1024;

/// The file of a bound socket. Dropping it removes the file, unless another file has taken its place. A thread of its
/// own removes it, so that the HTTP thread needs no right to remove files.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// Dropping the sender ends the thread's wait; nothing is ever sent. Both fields are `Some` until then.
    held: Option<Sender<Infallible>>,
    remover: Option<JoinHandle<()>>,
}

/// Binds `path`, replacing a socket that a dead process left there. Call this before other threads create files,
/// because it changes the umask of the process for a moment.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), String> {
    directories::check(path)?;
    remove_stale_socket(path)?;
    let said = |error: io::Error| reason(&error);
    let socket = UnixSocket::new_stream().map_err(said)?;
    bind_with_mode(&socket, path).map_err(said)?;
    let file = SocketFile::of(path).map_err(said)?;
    let listener = socket.listen(BACKLOG).map_err(said)?;
    Ok((listener, file))
}

/// Binds `path` to a file that has [`MODE`] from the start: the kernel gives it the mode of the socket less the
/// umask. A `chmod` of the path afterwards could change another file that another user has put there.
fn bind_with_mode(socket: &UnixSocket, path: &Path) -> io::Result<()> {
    fchmod(socket, Mode::from_raw_mode(MODE))?;
    let former = umask(Mode::from_raw_mode(UMASK));
    let bound = socket.bind(path);
    umask(former);
    bound
}

/// Removes the file at `path` if it is a socket without a listener.
fn remove_stale_socket(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()), // no file there, or bind reports the error
        Ok(found) if !found.file_type().is_socket() => {
            return Err(
                "the path is not a socket; remove the file or choose another path".to_owned(),
            );
        }
        Ok(_) => {}
    }
    match connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| {
                format!(
                    "a socket that a dead process left there cannot be removed: {error}; remove it"
                )
            }),
        // Also if that program is too busy to answer or uses another socket type.
        _ => Err("another program listens there; stop it or choose another path".to_owned()),
    }
}

/// Connects without blocking: the listening program may hang.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The reason why a path cannot be bound, and how to fix it.
fn reason(error: &io::Error) -> String {
    let text = match error.kind() {
        ErrorKind::NotFound => {
            "no such directory; create it, or let systemd create it (RuntimeDirectory=headcount)"
        }
        ErrorKind::PermissionDenied => {
            "no permission to create a socket there; run as root, or choose a directory that this user may write"
        }
        ErrorKind::AddrInUse => "another program listens there; stop it or choose another path",
        _ => return error.to_string(),
    };
    text.to_owned()
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let (path, bound) = (path.to_owned(), identity(&fs::symlink_metadata(path)?));
        let (held, is_held) = channel::<Infallible>();
        let remover = thread::Builder::new()
            .name("headcount-unix".to_owned())
            .spawn(move || {
                let _ = is_held.recv();
                remove(&path, bound);
            })?;
        Ok(Self {
            held: Some(held),
            remover: Some(remover),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(self.held.take());
        if let Some(remover) = self.remover.take() {
            // The thread returns no result.
            let _ = remover.join();
        }
    }
}

fn remove(path: &Path, bound: (u64, u64)) {
    let is_ours = fs::symlink_metadata(path).is_ok_and(|found| identity(&found) == bound);
    if is_ours && let Err(error) = fs::remove_file(path) {
        log::warn!("cannot remove the socket {}: {error}", path.display());
    }
}

/// Device and inode, which identify the file.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A directory for a test, whose thread has a umask of its own from now on: a bind changes it for a moment, and other tests
    /// run in other threads.
    fn directory() -> tempfile::TempDir {
        // SAFETY: a call without pointers.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0);
        tempfile::tempdir().unwrap()
    }

    #[tokio::test]
    async fn socket_file_has_its_mode_and_disappears_with_the_listener() {
        let directory = directory();
        let path = directory.path().join("s");
        let (listener, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
        let client = UnixStream::connect(&path).unwrap();
        let (_stream, _) = listener.accept().await.unwrap();
        drop((client, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_socket_without_listener_is_replaced() {
        let directory = directory();
        let path = directory.path().join("s");
        // std leaves the file behind, like a process that is killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_listener, file) = bind(&path).unwrap();
        let error = bind(&path).unwrap_err();
        assert!(
            error.starts_with("another program listens there"),
            "{error}"
        );

        // The agent does not remove another file in its place.
        fs::rename(&path, directory.path().join("old")).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(file);
        let error = bind(&path).unwrap_err();
        assert!(
            error.starts_with("the path is not a socket; remove"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn socket_mode_is_set_before_bind_under_any_umask() {
        let directory = directory();
        for (name, mask) in [("a", 0o000), ("b", 0o022), ("c", 0o077)] {
            let path = directory.path().join(name);
            let socket = UnixSocket::new_stream().unwrap();
            let former = umask(Mode::from_raw_mode(mask));
            bind_with_mode(&socket, &path).unwrap();
            let kept = umask(former);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
            assert_eq!(kept.as_raw_mode(), mask, "the umask is as before");
        }
    }

    #[tokio::test]
    async fn missing_directory_is_an_error_with_the_remedy() {
        let directory = directory();
        let error = bind(&directory.path().join("no/s")).unwrap_err();
        assert!(error.contains("RuntimeDirectory="), "{error}");
    }
}
