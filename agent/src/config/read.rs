//! Reads a configuration file: at most 1 MiB, and only regular files, pipes and character devices.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ConfigError;

/// Largest size of a configuration file, in bytes. The largest known one has 40 KiB.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// How long the writer of a pipe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the whole file at `path`. A byte order mark is dropped. A pipe is read too, because a shell's `<(...)` is
/// one; it has [`PATIENCE`] to deliver its content, so that an idle pipe becomes an error instead of a hang.
///
/// # Errors
/// The file cannot be read, is a directory, socket or block device, is larger than [`MAX_BYTES`], or is not UTF-8.
pub(super) fn read_config(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
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
        return Err(ConfigError::NotAFile {
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
        return Err(ConfigError::TooLarge {
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
        let is_utf16 = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        let found = if is_utf16 {
            "text in utf-16"
        } else {
            "bytes that are not utf-8"
        };
        ConfigError::Syntax {
            path: path.to_owned(),
            line: newlines + 1,
            cause: format!("found {found}; save the file as utf-8"),
        }
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// Reads to the end of the file, and at most one byte beyond [`MAX_BYTES`].
fn read(file: &File) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut file = file.take(MAX_BYTES + 1);
    loop {
        wait(file.get_ref(), deadline)?;
        match file.read_to_end(&mut bytes) {
            Ok(_) => return Ok(bytes),
            // The pipe is empty for now; the bytes read so far are kept.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until there is something to read, or the end of the file.
fn wait(file: &File, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut wanted = [PollFd::new(file, PollFlags::IN)];
    match poll(&mut wanted, Timespec::try_from(left).ok().as_ref()) {
        Ok(0) => Err(io::Error::new(
            ErrorKind::TimedOut,
            format!(
                "the writing process did not finish within {} s",
                PATIENCE.as_secs()
            ),
        )),
        // Errors show up in the following read, and an interrupted call is repeated.
        _ => Ok(()),
    }
}
