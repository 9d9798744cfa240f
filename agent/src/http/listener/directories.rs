//! The check of the directories of a Unix socket's path: whether other users can replace the files in them.
//!
//! The agent may run as root. If another user can write to a directory of the path, that user can replace the socket
//! file, or a directory above it, between two steps of the agent: root would then create or remove files where that
//! user wants. So the agent refuses such a path.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Symbolic links followed in one path; the kernel's limit.
const MAX_LINKS: u32 = 40;
const ROOT: u32 = 0;
const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
/// In such a directory, only the owner of a file may rename or remove it.
const STICKY: u32 = 0o1000;

/// Fails, with the remedy in the error, unless only root and the user of this process can replace files in the
/// directories of `path`, including those that symbolic links lead through.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let mut way: Vec<OsString> = names(path.parent().unwrap_or(path)).rev().collect();
    let mut here = PathBuf::from("/");
    let mut links = 0;
    loop {
        let Ok(found) = fs::metadata(&here) else {
            return Ok(()); // the error of binding names the mistake
        };
        if let Some(fault) = fault(&found, own_user(), own_group()) {
            return Err(format!(
                "directory {} {fault}, so another user can replace the socket; choose a directory that only root and the agent's user can \
                 write, such as /run/headcount (RuntimeDirectory=headcount)",
                here.display()
            ));
        }
        let Some(name) = way.pop() else { return Ok(()) };
        if name == ".." {
            here.pop();
            continue;
        }
        here.push(name);
        if let Ok(target) = fs::read_link(&here) {
            links += 1;
            if links > MAX_LINKS {
                return Ok(());
            }
            here.pop();
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            way.extend(names(&target).rev());
        }
    }
}

/// The components of a path, including `..`, without the root.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let names = path.components().filter_map(|one| match one {
        Component::Normal(_) | Component::ParentDir => Some(one.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.collect::<Vec<_>>().into_iter()
}

/// Why users other than root and `user` can replace files in this directory; `None` if they cannot.
fn fault(directory: &Metadata, user: u32, group: u32) -> Option<String> {
    let (owner, mode) = (directory.uid(), directory.mode());
    if owner != ROOT && owner != user {
        return Some(format!("belongs to user {owner}"));
    }
    if mode & STICKY != 0 {
        return None;
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Some("can be written by every user".to_owned());
    }
    let of_others = directory.gid() != ROOT && directory.gid() != group;
    (mode & WRITABLE_BY_GROUP != 0 && of_others)
        .then(|| format!("can be written by group {}", directory.gid()))
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn own_group() -> u32 {
    rustix::process::getegid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn directory(mode: u32) -> tempfile::TempDir {
        let made = tempfile::tempdir().unwrap();
        fs::set_permissions(made.path(), Permissions::from_mode(mode)).unwrap();
        made
    }

    fn refusal(path: &Path) -> String {
        check(&path.join("s")).unwrap_err()
    }

    #[test]
    fn directory_that_only_its_owner_writes_is_accepted() {
        for mode in [0o700, 0o755, 0o1777] {
            assert_eq!(check(&directory(mode).path().join("s")), Ok(()), "{mode:o}");
        }
    }

    #[test]
    fn directory_that_every_user_writes_is_refused_with_the_remedy() {
        let open = directory(0o777);
        let error = refusal(open.path());
        assert!(error.contains("can be written by every user"), "{error}");
        assert!(error.contains("RuntimeDirectory="), "{error}");
        let below = open.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        assert!(refusal(&below).contains("every user"), "also above it");
    }

    #[test]
    fn directory_of_another_user_or_group_is_refused() {
        let made = directory(0o755);
        let found = fs::metadata(made.path()).unwrap();
        let (user, group) = (found.uid(), found.gid());
        assert_eq!(fault(&found, user, group), None);
        if user != ROOT {
            let error = fault(&found, user + 1, group).unwrap();
            assert_eq!(error, format!("belongs to user {user}"));
            return;
        }
        chown(made.path(), Some(12345), Some(54321)).unwrap();
        assert!(refusal(made.path()).contains("belongs to user 12345"));
        chown(made.path(), Some(ROOT), None).unwrap();
        assert_eq!(check(&made.path().join("s")), Ok(()));
        fs::set_permissions(made.path(), Permissions::from_mode(0o775)).unwrap();
        assert!(refusal(made.path()).contains("written by group 54321"));
    }

    #[test]
    fn symbolic_link_is_judged_by_where_it_is_and_where_it_leads() {
        let (safe, open) = (directory(0o755), directory(0o777));
        let inside = open.path().join("inside");
        fs::create_dir(&inside).unwrap();
        symlink(&inside, safe.path().join("out")).unwrap();
        symlink(safe.path(), open.path().join("back")).unwrap();
        assert!(refusal(&safe.path().join("out")).contains("every user"));
        assert!(refusal(&open.path().join("back")).contains("every user"));
        // The last directory is safe, but a link in the path can be replaced.
        symlink(open.path().join("back"), safe.path().join("via")).unwrap();
        assert!(refusal(&safe.path().join("via")).contains("every user"));
        symlink(".", safe.path().join("here")).unwrap();
        assert_eq!(check(&safe.path().join("here/../s")), Ok(()));
        symlink("loop", safe.path().join("loop")).unwrap();
        assert_eq!(check(&safe.path().join("loop/s")), Ok(()), "binding fails");
    }
}
