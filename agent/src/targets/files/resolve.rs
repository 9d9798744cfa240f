//! Resolves paths that local users may change at any time.
//!
//! In: a directory, a path below it and a [`Rule`]. Out: a descriptor with `O_PATH`, which does not open the file itself: no
//! device, no pipe. The kernel resolves the path (`openat2`, Linux 5.6). On an older kernel, or if the seccomp filter of a
//! container forbids that call, [`walk`] opens one name after another with the same result.

use std::cell::Cell;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, fstat, openat, openat2,
    readlinkat, statx,
};
use rustix::io::Errno;

/// Most symbolic links of one path: the limit of the kernel.
const MOST_LINKS: u32 = 40;
/// How often to retry a path with `..` if a directory was renamed meanwhile.
const MOST_TRIES: u32 = 16;
/// Flags to find a file without opening it.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// The kinds of names that a path may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::targets) enum Rule {
    /// Names in the directory and in directories below it of the same file system: no link, no mount point, no `..`.
    ///
    /// Without mount points, users cannot insert file systems of their own (FUSE).
    Inside,
    /// As `Inside`, but mount points are crossed. For paths from the kernel, which contain no link.
    Beneath,
    /// Links and `..` are followed, as if the directory were the root (`chroot`). For paths from a configuration.
    InRoot,
}

impl Rule {
    const fn flags(self) -> ResolveFlags {
        let strict = ResolveFlags::BENEATH
            .union(ResolveFlags::NO_SYMLINKS)
            .union(ResolveFlags::NO_MAGICLINKS);
        match self {
            Self::Inside => strict.union(ResolveFlags::NO_XDEV),
            Self::Beneath => strict,
            Self::InRoot => ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS),
        }
    }
}

thread_local! {
    /// Whether `openat2` is missing for this thread; neither the kernel nor the filter of a thread changes that later.
    static IS_WITHOUT: Cell<bool> = const { Cell::new(false) };
}

/// Opens `path` below a directory, and reads its status.
///
/// # Errors
/// `XDEV` if the path leads out or into another file system, `LOOP` at a link that the rule forbids, otherwise the error of
/// `openat`.
pub(super) fn open(
    below: BorrowedFd<'_>,
    path: &[u8],
    rule: Rule,
) -> Result<(OwnedFd, Stat), Errno> {
    if IS_WITHOUT.get() {
        return walk(below, path, rule, |_| {});
    }
    for _ in 0..MOST_TRIES {
        match openat2(below, path, PLACE, Mode::empty(), rule.flags()) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The filters of container runtimes refuse unknown calls with one of these errors.
            Err(error @ (Errno::NOSYS | Errno::PERM)) => {
                // `PERM` may also be about this path.
                IS_WITHOUT.set(error == Errno::NOSYS);
                return walk(below, path, rule, |_| {});
            }
            result => return looked_at(result?),
        }
    }
    Err(Errno::AGAIN)
}

fn looked_at(found: OwnedFd) -> Result<(OwnedFd, Stat), Errno> {
    let stat = fstat(&found)?;
    Ok((found, stat))
}

/// [`open`] without `openat2`. Calls `seen` with each directory before a name is looked up in it, and with the last one.
///
/// Mount points are recognized before any call reaches their file system, which may never answer. Before Linux 5.8, only the
/// device number of a directory is known: a mount of the same file system, or one over a single file, is not recognized then.
pub(super) fn walk(
    below: BorrowedFd<'_>,
    path: &[u8],
    rule: Rule,
    mut seen: impl FnMut(BorrowedFd<'_>),
) -> Result<(OwnedFd, Stat), Errno> {
    let follows = rule == Rule::InRoot;
    let mount = || mount_of(below);
    let mount = (rule == Rule::Inside).then(mount).flatten();
    match path.first() {
        None => return Err(Errno::NOENT),
        Some(b'/') if !follows => return Err(Errno::XDEV),
        Some(_) => {}
    }
    let mut names = Vec::new();
    push_names(&mut names, path);
    seen(below);
    let mut way: Vec<(OwnedFd, Stat)> = Vec::new();
    let mut links = 0;
    while let Some(name) = names.pop() {
        if name == b".." {
            // The root is its own parent.
            way.pop();
            if follows {
                continue;
            } else {
                return Err(Errno::XDEV);
            }
        }
        let here = way.last().map_or(below, |(last, _)| last.as_fd());
        let found = openat(
            here,
            name.as_slice(),
            PLACE.union(OFlags::NOFOLLOW),
            Mode::empty(),
        )?;
        if rule == Rule::Inside && mount_of(found.as_fd()) != mount {
            return Err(Errno::XDEV);
        }
        let stat = fstat(&found)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                if !follows || links > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&found, c"", Vec::new())?;
                if target.as_bytes().first() == Some(&b'/') {
                    way.clear();
                }
                push_names(&mut names, target.as_bytes());
                continue;
            }
            FileType::Directory
                if rule == Rule::Inside
                    && mount.is_none()
                    && stat.st_dev != fstat(below)?.st_dev =>
            {
                return Err(Errno::XDEV);
            }
            FileType::Directory => seen(found.as_fd()),
            _ if !names.is_empty() => return Err(Errno::NOTDIR),
            _ => {}
        }
        way.push((found, stat));
    }
    match way.pop() {
        Some(last) => Ok(last),
        None => looked_at(openat(below, c".", PLACE, Mode::empty())?),
    }
}

/// The id of the mount in which a file was opened. The kernel knows it without a call to the file system; `None` before Linux
/// 5.8.
fn mount_of(file: BorrowedFd<'_>) -> Option<u64> {
    let flags = AtFlags::EMPTY_PATH.union(AtFlags::STATX_DONT_SYNC);
    let found = statx(file, c"", flags, StatxFlags::MNT_ID).ok()?;
    let is_known = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    is_known.then_some(found.stx_mnt_id)
}

/// Puts the names of `path` on the stack, the first one on top.
fn push_names(names: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|byte| *byte == b'/');
    let parts = parts.filter(|name| !name.is_empty() && *name != b".");
    let at = names.len();
    names.extend(parts.map(<[u8]>::to_vec));
    if let Some(new) = names.get_mut(at..) {
        new.reverse();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::Path;

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    use super::*;

    type Opener = fn(BorrowedFd<'_>, &[u8], Rule) -> Result<OwnedFd, Errno>;

    /// Both ways to resolve a path. `openat2` has no fallback here, which would hide its result.
    const OPENERS: [(&str, Opener); 2] = [
        ("openat2", |below, path, rule| {
            openat2(below, path, PLACE, Mode::empty(), rule.flags())
        }),
        ("walk", |below, path, rule| {
            walk(below, path, rule, |_| {}).map(|(found, _)| found)
        }),
    ];

    fn inode(found: &OwnedFd) -> u64 {
        fstat(found).unwrap().st_ino
    }

    /// A root with a directory, a file, and links of all kinds, and a secret file outside the root.
    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("var")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        fs::write(tree.path().join("secret"), "x").unwrap();
        for (target, link) in [
            ("b", "a/near"),
            ("/a", "var/run"),
            ("../../../../../a", "var/up"),
            ("../../secret", "a/out"),
            ("loop", "loop"),
            ("/proc/self/root", "magic"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        tree
    }

    #[test]
    fn kernel_and_walk_find_the_same_file_or_fail_with_the_same_error() {
        let tree = tree();
        let root = tree.path().join("root");
        let below = fs::File::open(&root).unwrap();
        let found = |path: &str| Ok(fs::symlink_metadata(root.join(path)).unwrap().ino());
        let rows = [
            ("a/b/file", Rule::Inside, found("a/b/file")),
            ("./a//b/", Rule::Inside, found("a/b")),
            (".", Rule::Inside, found(".")),
            ("a/b/none", Rule::Inside, Err(Errno::NOENT)),
            ("", Rule::Inside, Err(Errno::NOENT)),
            ("a/b/file/x", Rule::Inside, Err(Errno::NOTDIR)),
            ("/a", Rule::Inside, Err(Errno::XDEV)),
            ("../secret", Rule::Inside, Err(Errno::XDEV)),
            ("a/near", Rule::Inside, Err(Errno::LOOP)),
            ("a/near/file", Rule::Inside, Err(Errno::LOOP)),
            ("a/out", Rule::Inside, Err(Errno::LOOP)),
            ("a/near/file", Rule::Beneath, Err(Errno::LOOP)),
            ("/a/b/file", Rule::Beneath, Err(Errno::XDEV)),
            ("/a/near/file", Rule::InRoot, found("a/b/file")),
            ("/var/run/b", Rule::InRoot, found("a/b")),
            ("var/up/b", Rule::InRoot, found("a/b")),
            ("/../..", Rule::InRoot, found(".")),
            ("/", Rule::InRoot, found(".")),
            ("a/out", Rule::InRoot, Err(Errno::NOENT)),
            ("loop", Rule::InRoot, Err(Errno::LOOP)),
            ("magic", Rule::InRoot, Err(Errno::NOENT)),
        ];
        for (name, opener) in OPENERS {
            for (path, rule, wanted) in rows {
                let opened = opener(below.as_fd(), path.as_bytes(), rule);
                assert_eq!(
                    opened.map(|found| inode(&found)),
                    wanted,
                    "{name} {path} {rule:?}"
                );
            }
        }
    }

    #[test]
    fn walk_reports_each_directory_before_a_name_is_looked_up_in_it() {
        let tree = tree();
        let root = tree.path().join("root");
        let below = fs::File::open(&root).unwrap();
        for (path, wanted) in [
            ("a/b/file", &[".", "a", "a/b"][..]),
            ("/var/run/b", &[".", "var", "a", "a/b"]),
            ("var/none/x", &[".", "var"]),
        ] {
            let mut seen = Vec::new();
            let _ = walk(below.as_fd(), path.as_bytes(), Rule::InRoot, |directory| {
                seen.push(fstat(directory).unwrap().st_ino);
            });
            let inode = |path: &&str| fs::metadata(root.join(path)).unwrap().ino();
            let wanted: Vec<u64> = wanted.iter().map(inode).collect();
            assert_eq!(seen, wanted, "{path}");
        }
    }

    #[test]
    fn mount_point_is_crossed_by_the_rule_beneath_only() {
        let root = fs::File::open("/").unwrap();
        let wanted = fs::metadata("/proc").unwrap();
        if wanted.dev() == fs::metadata("/").unwrap().dev() || !Path::new("/proc/self").exists() {
            return;
        }
        for (name, opener) in OPENERS {
            let opened = |rule| opener(root.as_fd(), b"proc", rule).map(|found| inode(&found));
            assert_eq!(opened(Rule::Inside), Err(Errno::XDEV), "{name}");
            assert_eq!(opened(Rule::Beneath), Ok(wanted.ino()), "{name}");
        }
    }

    /// Calls `tried` in a thread with a mount namespace of its own, below a directory in which `a`, `file` and `open` are.
    fn with_mounts(tried: impl FnOnce(&Path) + Send + 'static) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "open"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("file"), "x").unwrap();
        let thread = std::thread::spawn(move || {
            // SAFETY: it changes this thread alone.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
            mount(
                "none",
                Path::new("/"),
                "",
                libc::MS_PRIVATE | libc::MS_REC,
                "",
            );
            tried(folder.path());
        });
        thread.join().unwrap();
    }

    fn mount(from: &str, to: &Path, kind: &str, flags: libc::c_ulong, data: &str) {
        let to = to.to_str().unwrap();
        let [from, to, kind, data] =
            [from, to, kind, data].map(|text| std::ffi::CString::new(text).unwrap());
        // SAFETY: the strings outlive the call.
        let code = unsafe {
            libc::mount(
                from.as_ptr(),
                to.as_ptr(),
                kind.as_ptr(),
                flags,
                data.as_ptr().cast(),
            )
        };
        assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    }

    #[test]
    fn mount_of_the_same_file_system_is_recognized() {
        with_mounts(|folder| {
            let from = folder.to_str().unwrap();
            mount(from, &folder.join("a"), "", libc::MS_BIND, "");
            let file = folder.join("file");
            mount(file.to_str().unwrap(), &file, "", libc::MS_BIND, "");
            let below = fs::File::open(folder).unwrap();
            for (name, opener) in OPENERS {
                for path in ["a", "a/open", "file"] {
                    let opened = opener(below.as_fd(), path.as_bytes(), Rule::Inside);
                    assert_eq!(opened.map(|_| ()), Err(Errno::XDEV), "{name} {path}");
                }
                assert!(opener(below.as_fd(), b"open", Rule::Inside).is_ok());
                assert!(opener(below.as_fd(), b"a/open", Rule::Beneath).is_ok());
            }
        });
    }

    #[test]
    fn file_system_that_never_answers_is_not_asked() {
        with_mounts(|folder| {
            let Ok(server) = File::options().read(true).write(true).open("/dev/fuse") else {
                return;
            };
            let number = server.as_raw_fd();
            let data = format!("fd={number},rootmode=40000,user_id=0,group_id=0,allow_other");
            mount("hang", &folder.join("a"), "fuse", 0, &data);
            let below = File::open(folder).unwrap();
            for (name, opener) in OPENERS {
                let (done, is_done) = std::sync::mpsc::channel();
                let below = below.try_clone().unwrap();
                std::thread::spawn(move || {
                    let opened = opener(below.as_fd(), b"a", Rule::Inside);
                    done.send(opened.map(|_| ())).unwrap();
                });
                let opened = is_done.recv_timeout(std::time::Duration::from_secs(20));
                assert_eq!(opened, Ok(Err(Errno::XDEV)), "{name}");
            }
            // When the server ends, all threads that wait for it return.
            drop(server);
        });
    }

    #[test]
    fn magic_link_never_leads_out_of_the_root() {
        let proc = fs::File::open("/proc/self").unwrap();
        for (name, opener) in OPENERS {
            for rule in [Rule::Inside, Rule::Beneath, Rule::InRoot] {
                assert!(
                    opener(proc.as_fd(), b"root/etc", rule).is_err(),
                    "{name} {rule:?}"
                );
            }
        }
    }

    /// Calls `tried` in a thread in which `openat2` fails with this error.
    fn without_openat2(error: i32, tried: impl FnOnce() + Send + 'static) {
        let error = u32::try_from(error).unwrap();
        let filter = SeccompFilter::new(
            [(libc::SYS_openat2, Vec::new())].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(error),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        let thread = std::thread::spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            tried();
        });
        thread.join().unwrap();
    }

    #[test]
    fn path_is_walked_if_kernel_or_filter_lacks_openat2() {
        for error in [libc::ENOSYS, libc::EPERM] {
            let tree = tree();
            let path = tree.path().join("root");
            let wanted = fs::metadata(path.join("a/b/file")).unwrap().ino();
            without_openat2(error, move || {
                let root = fs::File::open(&path).unwrap();
                let kernel = openat2(&root, c".", PLACE, Mode::empty(), ResolveFlags::empty());
                assert_eq!(kernel.unwrap_err().raw_os_error(), error);
                for _ in 0..2 {
                    let found = open(root.as_fd(), b"/var/run/near/file", Rule::InRoot);
                    let (found, stat) = found.unwrap();
                    assert_eq!((inode(&found), stat.st_ino), (wanted, wanted));
                }
                let refused = open(root.as_fd(), b"a/near/file", Rule::Inside);
                assert_eq!(refused.unwrap_err(), Errno::LOOP);
            });
        }
    }
}
