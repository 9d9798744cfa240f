use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::mknodat;
use tempfile::TempDir;

use super::*;

fn place(folder: &TempDir) -> Place {
    Place::trusted(folder.path()).unwrap()
}

fn fifo(folder: &TempDir, name: &str) {
    let path = folder.path().join(name);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
}

#[test]
fn regular_file_is_read_with_owner_and_links() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    fs::hard_link(folder.path().join("file"), folder.path().join("other")).unwrap();
    let meta = fs::metadata(folder.path().join("file")).unwrap();
    let place = place(&folder);
    assert_eq!(place.uid, fs::metadata(folder.path()).unwrap().uid());
    let file = place.regular("file").unwrap();
    assert_eq!(
        (file.uid, file.links, file.key),
        (meta.uid(), 2, (meta.dev(), meta.ino()))
    );
    assert_eq!(file.read().unwrap(), b"text");
}

#[test]
fn file_that_is_not_regular_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("directory")).unwrap();
    symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    fifo(&folder, "pipe");
    let place = place(&folder);
    for name in ["directory", "link", "socket", "pipe", "link/x", "pipe/x"] {
        assert_eq!(
            place.regular(name).unwrap_err(),
            Failure::Malformed,
            "{name}"
        );
    }
    for name in ["none", "directory/none", ""] {
        assert_eq!(place.regular(name).unwrap_err(), Failure::Gone, "{name}");
    }
    for name in ["../x", "/etc/passwd", "directory/../../x"] {
        assert_eq!(
            place.regular(name).unwrap_err(),
            Failure::Malformed,
            "{name}"
        );
    }
}

#[test]
fn found_file_is_read_although_another_file_has_taken_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "first").unwrap();
    let file = place(&folder).regular("file").unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "second").unwrap();
    assert_eq!(file.read().unwrap(), b"first");
}

#[test]
fn file_beyond_the_limit_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let most = usize::try_from(MOST_BYTES).unwrap();
    fs::write(folder.path().join("most"), vec![b'x'; most]).unwrap();
    fs::write(folder.path().join("more"), vec![b'x'; most + 1]).unwrap();
    let place = place(&folder);
    assert_eq!(place.regular("most").unwrap().read().unwrap().len(), most);
    assert_eq!(
        place.regular("more").unwrap().read(),
        Err(Failure::TooLarge)
    );
}

#[test]
fn file_other_than_a_socket_is_malformed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("agents.s")).unwrap();
    let _listener = UnixListener::bind(folder.path().join("agents.s/api")).unwrap();
    fs::write(folder.path().join("agents.s/file"), "").unwrap();
    symlink("api", folder.path().join("agents.s/link")).unwrap();
    symlink("agents.s", folder.path().join("linked")).unwrap();
    fifo(&folder, "pipe");
    let place = place(&folder);
    let (socket, uid) = place.socket("agents.s/api").unwrap();
    let meta = fs::metadata(folder.path().join("agents.s/api")).unwrap();
    assert_eq!(
        (fstat(&socket).unwrap().st_ino, uid),
        (meta.ino(), meta.uid())
    );
    for name in [
        "agents.s",
        "agents.s/file",
        "agents.s/link",
        "linked/api",
        "pipe",
    ] {
        assert_eq!(
            place.socket(name).unwrap_err(),
            Failure::Malformed,
            "{name}"
        );
    }
}

#[test]
fn exclusive_lock_is_detected_and_the_check_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    fs::write(&path, "").unwrap();
    let file = place(&folder).regular("lock").unwrap();
    assert_eq!(file.is_locked(), Ok(false));
    let holder = File::open(&path).unwrap();
    holder.try_lock().unwrap();
    assert_eq!(file.is_locked(), Ok(true));
    holder.unlock().unwrap();
    holder.lock_shared().unwrap();
    assert_eq!(
        file.is_locked(),
        Ok(false),
        "a shared lock is no watchdog's"
    );
    holder.unlock().unwrap();
    File::open(&path).unwrap().try_lock().unwrap();
}

#[test]
fn names_are_listed_up_to_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let listed = |most| {
        let mut names = Vec::new();
        let is_whole = place(&folder).names_up_to(most, |name| names.push(name.to_vec()));
        names.sort_unstable();
        names.dedup();
        (is_whole, names.len())
    };
    assert_eq!(listed(0), (Ok(true), 0));
    // More than one system call returns.
    for n in 0..3000 {
        fs::create_dir(folder.path().join(format!("passenger.{n}"))).unwrap();
    }
    assert_eq!(listed(MOST_NAMES), (Ok(true), 3000));
    assert_eq!(listed(3000), (Ok(true), 3000));
    assert_eq!(listed(2999), (Ok(false), 2999));
}

#[test]
fn errors_of_the_system_have_reasons() {
    for (error, wanted) in [
        (Errno::NOENT, Failure::Gone),
        (Errno::SRCH, Failure::Gone),
        (Errno::ACCESS, Failure::Denied),
        (Errno::PERM, Failure::Denied),
        (Errno::LOOP, Failure::Malformed),
        (Errno::NOTDIR, Failure::Malformed),
        (Errno::MFILE, Failure::Limit),
    ] {
        assert_eq!(reason(error), wanted, "{error}");
    }
}
