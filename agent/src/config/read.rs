//! Reading the configuration file: bounded, and only if it is a file.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::Error;

/// The most a configuration may have, bytes. The largest one seen in the wild has 40 KiB.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Reads `path` whole. A byte order mark is dropped.
///
/// # Errors
/// It cannot be read, is something else than a file, is larger than [`MAX_BYTES`], or is not UTF-8. A pipe is read:
/// a shell's `<(...)` is one.
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
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
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
