//! Finds and reads the files of one source. The functions here block.
//!
//! In: a path of the configuration, and the stamps of its files at the last look. Out: the new content of changed files.
//! Unchanged files are not read again. The administrator chooses the paths, so links are followed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rustix::io::Errno;

use super::found::{FoundInstances, MOST_INSTANCES, ReadTime};
use super::{file_sd, routes};
use crate::config::{FanInConfig, excerpt_of};
use crate::targets::failure::Failure;
use crate::targets::files::reason;

/// Largest file that is read, bytes.
const MOST_BYTES: u64 = 16 << 20;
/// Most files of a pattern. More are a failure: the order of names in the directory decides which ones are read.
const MOST_FILES: usize = 1_000;

/// The kind of a source: the format of its files, or that it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourceKind {
    RoutesFile,
    FileSd,
    /// No files: routers, whose answers are treated like the content of a file.
    Gorouters,
    /// No files: the bus, whose entries are treated like the content of a file.
    Nats,
}

/// A path of the configuration.
#[derive(Debug, Clone)]
pub(super) struct FileSource {
    pub(super) kind: SourceKind,
    /// The last part of a path of `file_sd` may have one `*`.
    pub(super) path: PathBuf,
}

/// Identifies the content of a file: device, inode, size in bytes, and the times in nanoseconds of the last changes of its
/// content and of its inode.
pub(super) type FileStamp = (u64, u64, u64, i128, i128);

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFault {
    pub(super) failure: Failure,
    /// The message, with the path, and the line if there is one.
    pub(super) cause: String,
}

/// The result for a file.
#[derive(Debug)]
pub(super) enum FileLook {
    Unchanged,
    Read(FileStamp, Result<FoundInstances, FileFault>),
    /// The file cannot be opened, or its status cannot be read.
    Failed(FileFault),
}

/// The files of a source.
#[derive(Debug, Default)]
pub(super) struct SourceLook {
    /// All files that were found.
    pub(super) files: Vec<(PathBuf, FileLook)>,
    /// Why files may be missing from the list.
    pub(super) fault: Option<FileFault>,
}

impl SourceKind {
    pub(super) const ALL: [Self; 4] = [Self::RoutesFile, Self::FileSd, Self::Gorouters, Self::Nats];

    /// Its key in the configuration, and the value of the label `source`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::RoutesFile => "routes_file",
            Self::FileSd => "file_sd",
            Self::Gorouters => "gorouters",
            Self::Nats => "nats",
        }
    }

    fn parse(
        self,
        path: &Path,
        text: &[u8],
        read: ReadTime,
    ) -> Result<FoundInstances, (usize, String)> {
        let extension = path.extension().unwrap_or_default();
        match self {
            Self::RoutesFile | Self::Gorouters | Self::Nats => {
                routes::parse(text, read).map_err(|error| (error.line().max(1), error.to_string()))
            }
            Self::FileSd if extension.eq_ignore_ascii_case("json") => file_sd::parse_json(text),
            Self::FileSd => file_sd::parse_yaml(text),
        }
    }
}

impl FileSource {
    /// The sources of a configuration.
    pub(super) fn all(config: &FanInConfig) -> impl Iterator<Item = Self> {
        let routes_file = config
            .routes_file
            .iter()
            .map(|path| (SourceKind::RoutesFile, path));
        let file_sd = config.file_sd.iter().map(|path| (SourceKind::FileSd, path));
        let paths = routes_file.chain(file_sd);
        paths.map(|(kind, path)| Self {
            kind,
            path: path.clone(),
        })
    }

    /// Looks at the files, and reads those that have changed since `known`.
    pub(super) fn look(&self, known: &BTreeMap<PathBuf, FileStamp>) -> SourceLook {
        let (paths, fault) = self.paths();
        let mut look = SourceLook {
            files: Vec::with_capacity(paths.len()),
            fault,
        };
        let mut room = MOST_INSTANCES;
        for path in paths {
            let mut file = self.look_at(&path, known.get(&path).copied());
            match &mut file {
                FileLook::Read(_, Ok(found)) => room = found.cut(room),
                // The file has been removed, so its instances are removed.
                FileLook::Failed(fault)
                    if self.kind == SourceKind::FileSd && fault.failure == Failure::Gone =>
                {
                    continue;
                }
                _ => {}
            }
            look.files.push((path, file));
        }
        look
    }

    /// The paths of the files, sorted, and why some may be missing.
    fn paths(&self) -> (Vec<PathBuf>, Option<FileFault>) {
        let name = self.path.file_name().unwrap_or_default().as_bytes();
        let star = name.iter().position(|byte| *byte == b'*');
        let Some((begin, end)) = star.map(|at| (&name[..at], &name[at + 1..])) else {
            return (vec![self.path.clone()], None);
        };
        if self.kind != SourceKind::FileSd {
            return (vec![self.path.clone()], None);
        }
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let fault = |failure, cause: &str| FileFault {
            failure,
            cause: format!("{}: {cause}", self.path.display()),
        };
        let mut paths = Vec::new();
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return (paths, Some(fault(failure_of(&error), &error.to_string()))),
        };
        for entry in entries {
            let name = match entry {
                Ok(entry) => entry.file_name(),
                Err(error) => return (paths, Some(fault(failure_of(&error), &error.to_string()))),
            };
            let bytes = name.as_bytes();
            let is_long = bytes.len() >= begin.len() + end.len();
            if is_long && bytes.starts_with(begin) && bytes.ends_with(end) {
                paths.push(folder.join(name));
            }
            if paths.len() > MOST_FILES {
                paths.pop();
                let cause = format!("more than {MOST_FILES} files");
                return (paths, Some(fault(Failure::Limit, &cause)));
            }
        }
        paths.sort();
        (paths, None)
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
                    // A file with a time in the future counts as written just now.
                    age: SystemTime::now()
                        .duration_since(written)
                        .unwrap_or_default(),
                };
                self.kind
                    .parse(path, &text, read)
                    .map_err(|(line, cause)| FileFault {
                        failure: Failure::Malformed,
                        // The parser's message may quote the file.
                        cause: format!("{}:{line}: {}", path.display(), excerpt_of(&cause, 200)),
                    })
            }
        };
        FileLook::Read(stamp, found)
    }
}

/// Opens a regular file. Also returns when it was last written.
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
