//! The files of one source: which there are, and what they show. The functions here block.
//!
//! In come a path of the configuration and what was known of its files; out comes what has changed. A file that has not changed is not
//! read again. The paths are the administrator's, so links are followed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rustix::io::Errno;

use super::found::{FoundInstances, ReadTime};
use super::routes;
use crate::targets::failure::Failure;
use crate::targets::files::reason;

/// Largest file that is read, bytes.
const MOST_BYTES: u64 = 16 << 20;

/// What the files of a source contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourceKind {
    RoutesFile,
}

/// A path of the configuration.
#[derive(Debug, Clone)]
pub(super) struct FileSource {
    pub(super) kind: SourceKind,
    /// Its last part may have one `*`, if it is one of `file_sd`.
    pub(super) path: PathBuf,
}

/// What is the same as long as a file has not changed: device, inode, bytes, and nanoseconds of the last changes of its content and
/// of its inode.
pub(super) type FileStamp = (u64, u64, u64, i128, i128);

/// Why a file has no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFault {
    pub(super) failure: Failure,
    /// With the path, and the line if there is one.
    pub(super) cause: String,
}

/// The result for a file.
#[derive(Debug)]
pub(super) enum FileLook {
    Unchanged,
    Read(FileStamp, Result<FoundInstances, FileFault>),
    /// It cannot be opened or looked at.
    Failed(FileFault),
}

/// The files of a source.
#[derive(Debug, Default)]
pub(super) struct SourceLook {
    /// All files that there are.
    pub(super) files: Vec<(PathBuf, FileLook)>,
    /// Why there may be more.
    pub(super) fault: Option<FileFault>,
}

impl SourceKind {
    pub(super) const ALL: [Self; 1] = [Self::RoutesFile];

    /// Its key in the configuration, and the value of the label `source`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::RoutesFile => "routes_file",
        }
    }

    fn parse(self, text: &[u8], read: ReadTime) -> Result<FoundInstances, (usize, String)> {
        match self {
            Self::RoutesFile => routes::parse(text, read)
                .map_err(|error| (error.line().max(1), excerpt(&error.to_string()))),
        }
    }
}

impl FileSource {
    /// Looks at the files, and reads those that have changed since `known`.
    pub(super) fn look(&self, known: &BTreeMap<PathBuf, FileStamp>) -> SourceLook {
        match self.kind {
            SourceKind::RoutesFile => {
                let look = self.look_at(&self.path, known.get(&self.path).copied());
                SourceLook {
                    files: vec![(self.path.clone(), look)],
                    fault: None,
                }
            }
        }
    }

    fn look_at(&self, path: &Path, known: Option<FileStamp>) -> FileLook {
        let fault = |failure, cause: &str| FileFault {
            failure,
            cause: format!("{}: {cause}", path.display()),
        };
        let of_io = |error: &io::Error| fault(failure_of(error), &error.to_string());
        let (file, stamp, written) = match open(path) {
            Ok(opened) => opened,
            Err(error) => return FileLook::Failed(of_io(&error)),
        };
        if known == Some(stamp) {
            return FileLook::Unchanged;
        }
        let mut text = Vec::new();
        let found = match file.take(MOST_BYTES + 1).read_to_end(&mut text) {
            Err(error) => Err(of_io(&error)),
            Ok(_) if text.len() as u64 > MOST_BYTES => Err(fault(
                Failure::TooLarge,
                &format!("larger than {MOST_BYTES} bytes"),
            )),
            Ok(_) => {
                let read = ReadTime {
                    now: Instant::now(),
                    // A file of the future was written just now.
                    age: SystemTime::now()
                        .duration_since(written)
                        .unwrap_or_default(),
                };
                self.kind
                    .parse(&text, read)
                    .map_err(|(line, cause)| FileFault {
                        failure: Failure::Malformed,
                        cause: format!("{}:{line}: {cause}", path.display()),
                    })
            }
        };
        FileLook::Read(stamp, found)
    }
}

/// Opens a regular file. Returns when it was last written, too.
fn open(path: &Path) -> io::Result<(File, FileStamp, SystemTime)> {
    // Opening a pipe does not wait for its writer.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
    let stamp = (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        ns(metadata.mtime(), metadata.mtime_nsec()),
        ns(metadata.ctime(), metadata.ctime_nsec()),
    );
    Ok((file, stamp, metadata.modified()?))
}

fn failure_of(error: &io::Error) -> Failure {
    Errno::from_io_error(error).map_or(Failure::Malformed, reason)
}

/// Enough of a parser's message, which may quote the file.
fn excerpt(text: &str) -> String {
    text.chars().take(200).collect()
}
