//! User names: looks up a uid in the host's passwd file.
//!
//! In: `<rootfs>/etc/passwd`. Out: names for `Username` in name templates. The agent reads the file itself and does not use
//! the C library's name service, because it may be a static binary in a container, and needs the names of the host. Users
//! that only LDAP, SSSD or NIS know are shown by number.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Maximum bytes of the file that are read; a line that is cut there is left out.
const CAP: u64 = 4 << 20;

/// Names by uid, read again when an unknown uid appears and the file has changed.
#[derive(Debug)]
pub struct UserNames {
    path: PathBuf,
    names: HashMap<u32, String>,
    read_as: Option<FileVersion>,
    /// Whether the agent has logged that it cannot read the file.
    is_failing: bool,
}

/// Identifies a file and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl FileVersion {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed_s: meta.mtime(),
            changed_ns: meta.mtime_nsec(),
        }
    }
}

impl UserNames {
    /// Names from the passwd file at `path`. Nothing is read before the first lookup.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            names: HashMap::new(),
            read_as: None,
            is_failing: false,
        }
    }

    /// The name of `uid` at the last reading of the file.
    pub(super) fn known(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }

    /// The name of `uid`; the number in decimal if the file has no name for it or cannot be read.
    pub fn name(&mut self, uid: u32) -> String {
        if !self.names.contains_key(&uid) {
            self.read_if_changed();
        }
        self.names
            .get(&uid)
            .cloned()
            .unwrap_or_else(|| uid.to_string())
    }

    fn read_if_changed(&mut self) {
        match self.read_changed() {
            Ok(Some((names, version))) => {
                self.names = names;
                self.read_as = Some(version);
                self.is_failing = false;
            }
            // The root of a container often has no such file.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    let path = self.path.display();
                    log::warn!("cannot read {path}: {error}; users are shown by number");
                }
            }
            Ok(None) | Err(_) => {}
        }
    }

    /// Reads the file; `None` if it has not changed since the last reading.
    fn read_changed(&self) -> io::Result<Option<(HashMap<u32, String>, FileVersion)>> {
        let meta = fs::metadata(&self.path)?;
        let version = FileVersion::of(&meta);
        if Some(version) == self.read_as {
            return Ok(None);
        }
        // Only a regular file is opened: opening a pipe would block, and reading a directory would fail.
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut bytes = Vec::new();
        let file = File::open(&self.path)?;
        file.take(CAP).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == CAP {
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            bytes.truncate(whole);
        }
        Ok(Some((parse_passwd(&bytes), version)))
    }
}

// If several lines have the same uid, the first one counts, as for `getpwuid`.
pub(super) fn parse_passwd(file: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in file.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        let uid = std::str::from_utf8(uid)
            .ok()
            .and_then(|digits| digits.parse().ok());
        if let (Some(uid), false) = (uid, name.is_empty() || name.starts_with(b"#")) {
            names
                .entry(uid)
                .or_insert_with(|| String::from_utf8_lossy(name).into_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_uids_are_numbers_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        let mut users = UserNames::new(path.clone());
        assert_eq!(users.name(0), "0", "no file yet");
        fs::write(
            &path,
            "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        )
        .unwrap();
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(54321), "54321");
        fs::write(&path, "root:x:0:0:::\nnew:x:54321:1:::\n").unwrap();
        assert_eq!(users.name(54321), "new");
        fs::remove_file(&path).unwrap();
        assert_eq!(users.name(54321), "new", "known names stay");
    }

    #[test]
    fn lines_that_are_no_entries_are_skipped() {
        let file =
            b"\n#comment:x:1:\n::2:\nno colon\nbad:x:-1:\nbig:x:4294967296:\nlatin\xe9:x:3:\n\
            first:x:4\nsecond:x:4\n+::::::\n\xff\xff\0";
        let names = parse_passwd(file);
        assert_eq!(names.get(&3).map(String::as_str), Some("latin\u{fffd}"));
        assert_eq!(names.get(&4).map(String::as_str), Some("first"));
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn huge_file_is_read_up_to_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        let mut text = String::from("root:x:0:0\n");
        while text.len() < 5 << 20 {
            text.push_str(&format!(
                "u{0}:x:{0}:0:filling the line up to a useful length::\n",
                text.len()
            ));
        }
        fs::write(&path, &text).unwrap();
        let mut users = UserNames::new(path);
        assert_eq!(users.name(0), "root");
        assert!(
            users
                .names
                .values()
                .all(|name| name == "root" || name.starts_with('u'))
        );
        assert!(users.names.len() < text.lines().count());
    }

    #[test]
    fn directory_in_place_of_the_file_gives_no_names() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(UserNames::new(dir.path().to_owned()).name(7), "7");
    }
}
