//! A fake instance of Passenger: its directory with all files (structure version 4.0), and its admin interface.
//!
//! In: a registry directory, a name, a user and documents. Out: an instance that the agent finds there. A test changes files and
//! behaviour while the instance runs, and asks for the connections and requests that it has seen. The watchdog's lock is held by
//! the test, and the socket is the given user's also by SO_PEERCRED, so a test of another user's instance must be run as root.

pub mod core;
pub mod documents;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use self::core::FakeCore;
use self::documents::{FakeCounts, FakePool};

/// The read-only password of every fake instance.
pub const PASSWORD: &str = "r3adonlyr3adonlyr3adonly";
/// The password that may change things; the agent must never read it.
const FULL_PASSWORD: &str = "fullacc3ssfullacc3ssfull";

/// A running instance. Its directory is removed when this is dropped.
#[derive(Debug)]
pub struct FakePassenger {
    pub directory: PathBuf,
    pub name: String,
    pub uid: u32,
    /// Its admin interface.
    pub core: FakeCore,
    /// Locked while the watchdog lives.
    lock: Option<File>,
}

impl FakePassenger {
    /// An instance of the test's own user with this name (8 letters), and an empty pool.
    pub fn new(registry: &Path, name: &str) -> Self {
        Self::of(registry, name, own_uid())
    }

    /// The same of any user.
    pub fn of(registry: &Path, name: &str, uid: u32) -> Self {
        Self::at(
            &registry.join(format!("passenger.{}", &name[..7])),
            name,
            uid,
        )
    }

    /// The same in a directory with this path.
    pub fn at(directory: &Path, name: &str, uid: u32) -> Self {
        make_directory(directory, 0o755, uid);
        let private = if uid == 0 { 0o755 } else { 0o700 };
        make_directory(&directory.join("agents.s"), private, uid);
        make_directory(&directory.join("apps.s"), 0o700, uid);
        make_directory(&directory.join("web_server_info"), 0o755, uid);
        let mut instance = Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            uid,
            core: FakeCore::start(&directory.join("agents.s"), uid),
            lock: None,
        };
        let pid = std::process::id().to_string();
        instance.write("watchdog.pid", 0o644, &pid);
        instance.write("core.pid", 0o644, &pid);
        instance.write("read_only_admin_password.txt", 0o600, PASSWORD);
        instance.write("full_admin_password.txt", 0o600, FULL_PASSWORD);
        instance.write(
            "properties.json",
            0o644,
            &documents::properties(name, "apache"),
        );
        instance.lock = Some(instance.write("lock", 0o644, ""));
        instance.lock.as_ref().unwrap().lock().unwrap();
        instance.write("creation_finalized", 0o644, "");
        instance.show(&FakePool::new(), FakeCounts::default());
        instance
    }

    /// From now on it answers with these documents.
    pub fn show(&self, pool: &FakePool, counts: FakeCounts) {
        self.core.show(pool.xml(), counts.json());
    }

    /// The path of one of its files.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// Replaces one of its files.
    pub fn write(&self, file: &str, mode: u32, text: &str) -> File {
        let path = self.path(file);
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(mode);
        let mut file = options.open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        give(&path, self.uid);
        file
    }

    /// Every user may use its socket and read its read-only password.
    pub fn open_to_all(&self) {
        for (file, mode) in [("agents.s", 0o755), ("read_only_admin_password.txt", 0o644)] {
            fs::set_permissions(self.path(file), Permissions::from_mode(mode)).unwrap();
        }
    }

    /// Watchdog and core are killed: the lock is free, the socket is dead, the files stay.
    pub fn kill(&mut self) {
        self.lock = None;
        self.core.refuse();
    }
}

impl Drop for FakePassenger {
    fn drop(&mut self) {
        self.core.refuse();
        // A test may have removed it.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn make_directory(path: &Path, mode: u32, uid: u32) {
    DirBuilder::new().mode(mode).create(path).unwrap();
    give(path, uid);
}

/// Changes the owner, which needs root unless the owner is the test's own user.
fn give(path: &Path, uid: u32) {
    if uid != own_uid() {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
