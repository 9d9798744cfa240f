//! Changes that end a stillness, and changes that do not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::ptr::null;

use super::*;
use crate::targets::files::{Place, Rule};

/// Makes a change in a directory.
type Disturb = fn(&Path);

/// Looks at `path` below a directory.
fn look(watcher: &Watcher, below: &Path, path: &str) -> Option<Stillness> {
    let mut look = watcher.part();
    let below = Place::trusted(below).unwrap();
    let _ = below.watched(Path::new(path), Rule::InRoot, &mut look);
    watcher.stillness([look])
}

#[test]
fn change_of_any_directory_on_the_path_ends_the_stillness() {
    let changes: [(&str, Disturb); 6] = [
        ("removed", |a| fs::remove_dir_all(a.join("b/old")).unwrap()),
        ("a name", |a| fs::write(a.join("b/new"), "").unwrap()),
        ("a directory", |a| fs::create_dir(a.join("b/new")).unwrap()),
        ("moved in", |a| {
            fs::write(a.join("file"), "").unwrap();
            fs::rename(a.join("file"), a.join("b/new")).unwrap();
        }),
        ("replaced", |a| {
            fs::create_dir(a.join("other")).unwrap();
            fs::rename(a.join("b"), a.join("away")).unwrap();
            fs::rename(a.join("other"), a.join("b")).unwrap();
        }),
        ("a link", |a| {
            let link = a.parent().unwrap().join("link");
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink("elsewhere", link).unwrap();
        }),
    ];
    for (name, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/old")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
        let watcher = Watcher::new();
        let stillness = look(&watcher, folder.path(), "link/b").unwrap();
        assert!(stillness.lasts(), "{name}");
        fs::write(folder.path().join("a/b/old/file"), "").unwrap();
        fs::set_permissions(folder.path().join("a/b/old"), Permissions::from_mode(0o700)).unwrap();
        assert!(stillness.lasts(), "{name}: not on the way");
        change(&folder.path().join("a"));
        assert!(!stillness.lasts() && !stillness.lasts(), "{name}");
    }
}

#[test]
fn directory_that_appears_ends_the_stillness() {
    let folder = tempfile::tempdir().unwrap();
    let watcher = Watcher::new();
    let stillness = look(&watcher, folder.path(), "a/b").unwrap();
    assert!(stillness.lasts());
    fs::create_dir(folder.path().join("a")).unwrap();
    assert!(!stillness.lasts());
}

#[test]
fn next_look_is_still_again_after_any_changes() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    let watcher = Watcher::new();
    let first = look(&watcher, folder.path(), "a").unwrap();
    for n in 0..10_000 {
        fs::write(folder.path().join(format!("a/{n}")), "").unwrap();
    }
    assert!(!first.lasts());
    let mut events = [0; 64 << 10];
    let waiting = read(watcher.inotify.as_ref().unwrap(), &mut events).unwrap();
    assert!(
        waiting <= 4 * 32,
        "a flood of changes is one event: {waiting} bytes"
    );
    fs::write(folder.path().join("b"), "").unwrap();
    let last = watcher.begin();
    let second = look(&watcher, folder.path(), "a").unwrap();
    watcher.end(&last);
    assert!(second.lasts());
    fs::write(folder.path().join("a/x"), "").unwrap();
    assert!(!second.lasts());
}

#[test]
fn directory_that_has_left_the_path_is_not_watched() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let watcher = Watcher::new();
    look(&watcher, folder.path(), "a").unwrap();
    let last = watcher.begin();
    let stillness = look(&watcher, folder.path(), "b").unwrap();
    watcher.end(&last);
    watcher.begin(); // The removal is an event, too.
    fs::write(folder.path().join("a/x"), "").unwrap();
    assert!(stillness.lasts());
    fs::write(folder.path().join("b/x"), "").unwrap();
    assert!(!stillness.lasts());
}

#[test]
fn file_system_without_reliable_events_is_never_still() {
    let watcher = Watcher::new();
    assert!(look(&watcher, Path::new("/proc"), "self").is_none());
    let mut part = watcher.part();
    part.failed(Failure::Malformed);
    part.watch_mounts(Path::new("/proc/self/mountinfo"));
    assert!(part.inotify.is_some());
    part.watch_mounts(Path::new("/nonexistent"));
    assert!(part.inotify.is_none());
    for failure in [Failure::Limit, Failure::Denied] {
        let mut part = watcher.part();
        part.failed(failure);
        assert!(part.inotify.is_none() && watcher.part().inotify.is_some());
    }
}

#[test]
fn mount_ends_the_stillness() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = std::ffi::CString::new(folder.path().to_str().unwrap()).unwrap();
    let thread = std::thread::spawn(move || {
        // SAFETY: only this thread gets another mount namespace.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
        let mount = |kind: Option<&std::ffi::CStr>, target: &std::ffi::CStr, flags| {
            let kind = kind.map_or(null(), std::ffi::CStr::as_ptr);
            // SAFETY: the texts live until the call returns.
            let code = unsafe { libc::mount(kind, target.as_ptr(), kind, flags, null()) };
            assert_eq!(code, 0);
        };
        mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE);
        let watcher = Watcher::new();
        let mut part = watcher.part();
        part.watch_mounts(Path::new("/proc/thread-self/mountinfo"));
        let stillness = watcher.stillness([part]).unwrap();
        assert!(stillness.lasts());
        mount(Some(c"tmpfs"), &path, 0);
        assert!(!stillness.lasts());
    });
    thread.join().unwrap();
}
