//! The files of the web configuration: reads them and detects later changes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Largest size of a file of certificates, in bytes: a bundle of all public authorities has 250 KB.
const MAX_BYTES: u64 = 1 << 20;

/// The identity of one version of a file. A replaced file has another inode; a rewritten file has another ctime,
/// which no process can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// The files of one reading, a handful, with their stamps before it; `None` if a file was missing.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<(PathBuf, Option<Stamp>)>);

impl Files {
    /// Records the stamp of `path`. Call this before reading it, so that a change during the reading is seen at the
    /// next check.
    ///
    /// # Errors
    /// The file cannot be found, or is not a regular file: reading a pipe again would block for ever.
    pub(super) fn note(&mut self, path: &Path) -> io::Result<()> {
        let found = stamp(path);
        self.0.push((path.to_owned(), found.as_ref().ok().copied()));
        found.map(|_| ())
    }

    /// Reads the whole file at `path` and records its stamp.
    ///
    /// # Errors
    /// The file cannot be read, is not a regular file, or is larger than [`MAX_BYTES`].
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.note(path)?;
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other("the file is larger than 1 MiB"));
        }
        Ok(bytes)
    }

    /// The paths of the files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn have_changed(&self) -> bool {
        let is_new = |(path, known): &(PathBuf, Option<Stamp>)| stamp(path).ok() != *known;
        self.0.iter().any(is_new)
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(Stamp {
        device: found.dev(),
        inode: found.ino(),
        bytes: found.len(),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_appears_changes_or_disappears_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut files = Files::default();
        assert!(files.note(&path).is_err());
        assert!(!files.have_changed(), "still not there");

        fs::write(&path, "1").unwrap();
        assert!(files.have_changed(), "appeared");
        let mut files = Files::default();
        assert_eq!(files.read(&path).unwrap(), b"1");
        assert!(!files.have_changed());

        let other = directory.path().join("b");
        fs::write(&other, "2").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(files.have_changed(), "replaced by one as long");
        let mut files = Files::default();
        files.note(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(files.have_changed(), "gone");
    }

    #[test]
    fn directory_or_too_large_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::default();
        let refused = files.read(directory.path()).unwrap_err().to_string();
        assert_eq!(refused, "it is no regular file");
        let path = directory.path().join("a");
        fs::write(&path, vec![0; 1 + (1 << 20)]).unwrap();
        let refused = files.read(&path).unwrap_err().to_string();
        assert_eq!(refused, "the file is larger than 1 MiB");
    }
}
