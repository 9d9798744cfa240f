//! The file of the stored paths. Blocks.
//!
//! In: a path. Out: the table, and a [`BindingFile`] to write it again. A reader of the file sees the old table or the new one,
//! never a part: the agent writes the new table to a file of its own, and renames it over the old one when it is on the disk.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::table::Bindings;

/// Most bytes of the file: more than the largest table has.
const MOST_BYTES: u64 = 32 << 20;

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct BindingFile {
    path: PathBuf,
    /// The path of the new file before it is renamed.
    new: PathBuf,
    /// Its directory, locked: a second writer would overwrite changes that this one has acknowledged.
    directory: File,
}

impl BindingFile {
    /// Reads the file; a missing file is an empty table. A file that cannot be read is an error, so that it is never overwritten.
    pub(super) fn open(path: &Path) -> Result<(Self, Bindings), String> {
        let folder = directory(path);
        let problem = |error: String| format!("{}: {error}", folder.display());
        let directory = File::open(folder).map_err(|error| problem(error.to_string()))?;
        directory.try_lock().map_err(|error| {
            problem(match error {
                TryLockError::WouldBlock => "another process uses the directory".to_owned(),
                TryLockError::Error(error) => format!("it cannot be locked: {error}"),
            })
        })?;
        let table = read(path)?;
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let file = Self {
            path: path.to_owned(),
            new: new.into(),
            directory,
        };
        Ok((file, table))
    }

    /// Writes the table. After an error the file has the old table or this one.
    pub(super) fn write(&self, table: &Bindings) -> io::Result<()> {
        let written = self.replace(&table.text()?);
        if written.is_err() {
            // A partial file would take the room that the next attempt needs. It may not exist.
            let _ = fs::remove_file(&self.new);
        }
        written
    }

    /// Whether the directory takes a new file.
    pub(super) fn probe(&self) -> Result<(), String> {
        let probed = self.create().and_then(|_| fs::remove_file(&self.new));
        probed.map_err(|error| format!("{}: {error}", self.new.display()))
    }

    fn create(&self) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW).open(&self.new)
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let mut new = self.create()?;
        new.write_all(text)?;
        new.sync_all()?;
        fs::rename(&self.new, &self.path)?;
        // The rename must be on the disk, too.
        self.directory.sync_all()
    }
}

/// The directory of the file.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The table in the file at `path`.
pub(super) fn read(path: &Path) -> Result<Bindings, String> {
    let problem = |error: String| format!("{}: {error}", path.display());
    // Does not block, so that a pipe without a writer does not delay the start.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Bindings::default()),
        Err(error) => return Err(problem(error.to_string())),
    };
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err(problem("it is no regular file".to_owned()));
    }
    let mut text = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| problem(error.to_string()))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(problem(format!("it has more than {MOST_BYTES} bytes")));
    }
    Bindings::parse(&text).map_err(problem)
}

#[cfg(test)]
mod tests {
    use super::super::table::{BindingChange, BindingOutcome, StoredBinding};
    use super::*;

    fn bind(table: &mut Bindings, id: &str, path: &str) {
        let change = BindingChange::Bind(StoredBinding {
            id: id.to_owned(),
            application: id.to_owned(),
            path: path.to_owned(),
        });
        assert_eq!(table.apply(change), BindingOutcome::Stored);
    }

    #[test]
    fn table_is_read_as_it_was_written_and_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.json");
        let (file, mut table) = BindingFile::open(&path).unwrap();
        assert_eq!(table, Bindings::default());
        bind(&mut table, "a", "/x");
        file.write(&table).unwrap();
        assert_eq!(read(&path).unwrap(), table);
        bind(&mut table, "b", "/y");
        file.write(&table).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let refused = BindingFile::open(&path).unwrap_err();
        assert!(
            refused.contains("another process uses the directory"),
            "{refused}"
        );
        drop(file);
        assert_eq!(BindingFile::open(&path).unwrap().1, table);
    }

    #[test]
    fn partial_new_file_of_a_killed_writer_is_ignored_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.json");
        fs::write(folder.path().join("broker.json.new"), "[{\"guid\":").unwrap();
        let (file, mut table) = BindingFile::open(&path).unwrap();
        bind(&mut table, "a", "/x");
        file.write(&table).unwrap();
        assert_eq!(read(&path).unwrap(), table);
    }

    #[test]
    fn failed_write_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.json");
        let (file, mut table) = BindingFile::open(&path).unwrap();
        bind(&mut table, "a", "/x");
        file.write(&table).unwrap();
        // A directory of this name cannot be opened for writing, not even by root.
        fs::create_dir(folder.path().join("broker.json.new")).unwrap();
        let before = table.clone();
        bind(&mut table, "b", "/y");
        assert!(file.write(&table).is_err());
        assert_eq!(read(&path).unwrap(), before);
    }

    #[test]
    fn invalid_file_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.json");
        for text in ["", "[", "{}", "\0"] {
            fs::write(&path, text).unwrap();
            let refused = BindingFile::open(&path).unwrap_err();
            assert!(refused.contains("broker.json: "), "{refused}");
        }
        let refused = read(folder.path()).unwrap_err();
        assert!(refused.contains("no regular file"), "{refused}");
        let missing = folder.path().join("missing/broker.json");
        let refused = BindingFile::open(&missing).unwrap_err();
        assert!(refused.contains("missing: "), "{refused}");
    }
}
