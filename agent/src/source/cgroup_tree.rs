//! Finds the path of a cgroup by the id in an exec record, if the cgroup v2 tree is visible. The id is the inode number of
//! the cgroup's directory.
//!
//! In: an id, and the process that executed a program in it. Out: paths as `/proc/<pid>/cgroup` shows them. If the process is
//! still alive, its cgroup file shows where to look; else the agent walks the tree. Walks are bounded in directories, bytes
//! and time, and the next one must wait; meanwhile an id stays unknown. The paths that the last walk found are kept, and so
//! are the ids that walks did not find.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FsWord;

use super::procfs::parse_cgroup;
use crate::host::{Host, file_system_magic, monotonic_ns};

/// The type of the file system of cgroup v2 (`include/uapi/linux/magic.h`).
const CGROUP2_SUPER_MAGIC: FsWord = 0x6367_7270;
/// Maximum number of directories that a walk reads.
const DIRECTORIES: usize = 10_000;
/// Maximum bytes of paths that wait in a walk, and that are kept after it. Full: the deepest paths are left out.
const PATHS: usize = 1 << 20;
/// Maximum duration of a walk, nanoseconds.
const TIME_NS: u64 = 50_000_000;
/// The next walk may begin after this many times the duration of the last one…
const PAUSES: u64 = 20;
/// …but not sooner than this, nanoseconds.
const PAUSE_NS: u64 = 100_000_000;
/// Maximum number of ids that are remembered as not found. Full: all are forgotten, and looked for again.
const MISSING: usize = 1024;
/// Maximum bytes that are read of `/proc/<pid>/cgroup`.
const FILE: u64 = 128 << 10;

/// The cgroup v2 tree, and the ids that were looked up in it.
#[derive(Debug)]
pub(super) struct CgroupTree {
    root: PathBuf,
    procfs: PathBuf,
    /// Whether processes also have cgroups of version 1.
    is_hybrid: bool,
    walked: HashMap<u64, String>,
    missing: HashSet<u64>,
    not_before_ns: u64,
}

impl CgroupTree {
    /// The tree of this host; `None` if it is not visible, or if the agent's own cgroup namespace makes paths relative to a
    /// cgroup below the root.
    pub(super) fn of(host: &Host) -> Option<Self> {
        let mounted = host.sysfs.join("fs/cgroup");
        let unified = mounted.join("unified");
        let is_hybrid = !is_version_2(&mounted);
        let root = if is_hybrid { unified } else { mounted };
        let first = read(&host.procfs.join("1/cgroup"))?;
        let is_seen_from_below = path_of_version_2(&first)?.starts_with("/..");
        (is_version_2(&root) && !is_seen_from_below)
            .then(|| Self::at(root, host.procfs.clone(), is_hybrid))
    }

    fn at(root: PathBuf, procfs: PathBuf, is_hybrid: bool) -> Self {
        Self {
            root,
            procfs,
            is_hybrid,
            walked: HashMap::new(),
            missing: HashSet::new(),
            not_before_ns: 0,
        }
    }

    /// The paths of the cgroup `id`, in which process `tgid` executed a program; `None` if it cannot be found now.
    pub(super) fn find(&mut self, id: u64, tgid: u32) -> Option<Vec<String>> {
        if self.missing.contains(&id) {
            return None;
        }
        if let Some(paths) = self.paths_of(tgid, id) {
            return Some(paths);
        }
        if !self.walked.contains_key(&id) {
            self.walk(id);
        }
        let path = self.walked.get(&id)?.clone();
        // As for a live process: beside version 1, the root of version 2 says nothing and is left out.
        let is_specific = !self.is_hybrid || path != "/";
        Some(is_specific.then_some(path).into_iter().collect())
    }

    /// The paths of the process's cgroups, if it is still in the cgroup `id`.
    fn paths_of(&self, tgid: u32, id: u64) -> Option<Vec<String>> {
        let file = read(&self.procfs.join(format!("{tgid}/cgroup")))?;
        let place = self
            .root
            .join(path_of_version_2(&file)?.trim_start_matches('/'));
        let is_there = fs::metadata(place).is_ok_and(|found| found.ino() == id);
        Some(parse_cgroup(&file)?.1).filter(|_| is_there)
    }

    fn walk(&mut self, wanted: u64) {
        let began_ns = monotonic_ns();
        if began_ns < self.not_before_ns {
            return;
        }
        let mut walk = Walk::default();
        let is_whole = walk.run(&self.root, wanted, || monotonic_ns() - began_ns < TIME_NS);
        self.walked = walk.found;
        if is_whole && !self.walked.contains_key(&wanted) {
            if self.missing.len() >= MISSING {
                self.missing.clear();
            }
            self.missing.insert(wanted);
        }
        let now_ns = monotonic_ns();
        let pause_ns = PAUSE_NS.max(PAUSES * (now_ns - began_ns));
        self.not_before_ns = now_ns + pause_ns;
    }
}

#[derive(Debug, Default)]
struct Walk {
    found: HashMap<u64, String>,
    bytes: usize,
    /// Paths below the root, without a leading slash; nearest to the root first, so that a user cannot hide other cgroups by
    /// creating many of their own, which are deeper.
    waiting: VecDeque<String>,
}

impl Walk {
    /// Walks the tree. Returns whether it has seen all of it.
    fn run(&mut self, root: &Path, wanted: u64, has_time: impl Fn() -> bool) -> bool {
        let Ok(top) = fs::metadata(root) else {
            return false;
        };
        self.found.insert(top.ino(), "/".to_owned());
        self.waiting.push_back(String::new());
        let mut is_whole = true;
        for _ in 0..DIRECTORIES {
            let Some(path) = self.waiting.pop_front() else {
                return is_whole;
            };
            if !has_time() {
                return false;
            }
            is_whole &= self.look_into(root, &path, wanted);
        }
        self.waiting.is_empty() && is_whole
    }

    fn look_into(&mut self, root: &Path, path: &str, wanted: u64) -> bool {
        // The cgroup may be gone by now.
        let Ok(entries) = fs::read_dir(root.join(path)) else {
            return true;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let below = match path.is_empty() {
                true => name.into_owned(),
                false => format!("{path}/{name}"),
            };
            let has_room = self.bytes + below.len() <= PATHS;
            if has_room || entry.ino() == wanted {
                self.bytes += below.len();
                self.found.insert(entry.ino(), format!("/{below}"));
            }
            if !has_room {
                return false;
            }
            self.waiting.push_back(below);
        }
        true
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn path_of_version_2(file: &[u8]) -> Option<&str> {
    let lines = std::str::from_utf8(file).ok()?.lines();
    lines.into_iter().find_map(|line| line.strip_prefix("0::"))
}

fn is_version_2(path: &Path) -> bool {
    file_system_magic(path) == Some(CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        folder: tempfile::TempDir,
        tree: CgroupTree,
    }

    impl Fake {
        fn new(is_hybrid: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("cgroup")).unwrap();
            let tree = CgroupTree::at(
                folder.path().join("cgroup"),
                folder.path().join("proc"),
                is_hybrid,
            );
            Self { folder, tree }
        }

        fn cgroup(&self, path: &str) -> u64 {
            let place = self.folder.path().join("cgroup").join(path);
            fs::create_dir_all(&place).unwrap();
            fs::metadata(place).unwrap().ino()
        }

        fn process(&self, tgid: u32, file: &str) {
            let place = self.folder.path().join(format!("proc/{tgid}"));
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("cgroup"), file).unwrap();
        }

        /// Finds as if the last walk was long ago.
        fn find(&mut self, id: u64, tgid: u32) -> Option<Vec<String>> {
            self.tree.not_before_ns = 0;
            self.tree.find(id, tgid)
        }
    }

    #[test]
    fn cgroup_of_a_process_that_ended_is_found_by_its_inode() {
        let mut fake = Fake::new(false);
        let deep = fake.cgroup("system.slice/job.service");
        let root = fake.cgroup("");
        assert_eq!(fake.find(deep, 7).unwrap(), ["/system.slice/job.service"]);
        assert_eq!(fake.find(root, 7).unwrap(), ["/"]);
        assert_eq!(fake.find(deep + 1_000_000, 7), None);
        assert!(fake.tree.missing.contains(&(deep + 1_000_000)));
    }

    #[test]
    fn live_process_gives_its_cgroup_only_if_the_inode_agrees() {
        let mut fake = Fake::new(true);
        let (here, there) = (fake.cgroup("a/here"), fake.cgroup("a/there"));
        fake.process(7, "2:cpu:/a\n0::/a/here\n");
        assert_eq!(fake.find(here, 7).unwrap(), ["/a", "/a/here"]);
        assert_eq!(fake.find(there, 7).unwrap(), ["/a/there"]);
        let root = fake.cgroup("");
        assert!(fake.find(root, 7).unwrap().is_empty());
    }

    #[test]
    fn next_walk_waits_for_its_time() {
        let mut fake = Fake::new(false);
        let first = fake.cgroup("a");
        assert!(fake.find(first, 7).is_some());
        let second = fake.cgroup("b");
        assert_eq!(fake.tree.find(second, 7), None);
        assert!(fake.find(second, 7).is_some(), "it was not given up");
    }

    #[test]
    fn tree_beyond_the_bounds_is_walked_from_its_root_down() {
        let fake = Fake::new(false);
        let name = "n".repeat(200);
        for n in 0..60 {
            fake.cgroup(&format!("user/{n}{name}/{name}/{name}/{name}"));
        }
        let near = fake.cgroup("system.slice/x.service");
        let mut walk = Walk::default();
        assert!(walk.run(&fake.tree.root, near, || true));
        assert!(walk.bytes <= PATHS);
        let mut short = Walk {
            bytes: PATHS - 60,
            ..Walk::default()
        };
        assert!(!short.run(&fake.tree.root, near, || true));
        assert_eq!(short.found[&near], "/system.slice/x.service");
        let mut none = Walk::default();
        assert!(!none.run(&fake.tree.root, near, || false));
    }
}
