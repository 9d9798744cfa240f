//! Reading the configuration file: bounded, and only if it is a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Error;

/// The most a configuration may have, bytes. The largest one seen in the wild has 40 KiB.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// How long whoever writes into a pipe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads `path` whole. A byte order mark is dropped.
///
/// # Errors
/// It cannot be read, is something else than a file, is larger than [`MAX_BYTES`], or is not UTF-8. A pipe is read, a shell's `<(...)`
/// is one; but one that nobody fills must not keep the agent from telling so.
pub(super) fn read_config(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    let found = match () {
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_block_device() => Some("a block device"),
        () => None,
    };
    if let Some(found) = found {
        return Err(Error::NotAFile {
            path: path.to_owned(),
            found,
        });
    }
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let bytes = open.and_then(|file| read(&file)).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: MAX_BYTES,
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let newlines = error
            .as_bytes()
            .iter()
            .take(good)
            .filter(|byte| **byte == b'\n')
            .count();
        Error::Syntax {
            path: path.to_owned(),
            line: newlines + 1,
            cause: "found bytes that are not utf-8".to_owned(),
        }
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// All that comes, and no more than one byte too many.
fn read(file: &File) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut file = file.take(MAX_BYTES + 1);
    loop {
        wait(file.get_ref(), deadline)?;
        match file.read_to_end(&mut bytes) {
            Ok(_) => return Ok(bytes),
            // A pipe that is empty for now; what it gave before is kept.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until there is something to read, or an end.
fn wait(file: &File, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut wanted = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let milliseconds = libc::c_int::try_from(left.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `wanted` is one pollfd, and outlives the call.
    match unsafe { libc::poll(&raw mut wanted, 1, milliseconds) } {
        0 => Err(io::Error::new(
            ErrorKind::TimedOut,
            format!(
                "nobody has written it whole within {} s",
                PATIENCE.as_secs()
            ),
        )),
        // What is there is seen by reading, and whoever was interrupted comes again.
        _ => Ok(()),
    }
}
