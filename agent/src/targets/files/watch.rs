//! Detects changes of directories, so that unchanged directories need not be listed again.
//!
//! In: the directories on the path to the listed one, each before a name is looked up in it, and the tables of mounts. Out: a
//! [`Stillness`]. While it lasts, another look would find the same.
//!
//! ```text
//! Watcher::begin --> WatchedLook: watch, look up, watch, ..., list --> Stillness --lasts?--> the last result, or look again
//! ```
//!
//! The kernel reports changes by inotify. A watch ends with its first event (`IN_ONESHOT`): the queue holds at most two events
//! for each, so no user can fill it, and a busy directory costs nothing between two looks. Mounts cause no such event; the table
//! of mounts becomes readable instead. The check whether a stillness lasts reaches no file system, so it cannot block.
//!
//! Changes that another machine or a server makes cause no event. So only local file systems are watched ([`is_local`]). A look
//! that passes other file systems, or for which the kernel gives no watch, has no stillness, and the next look lists the
//! directories again.

use std::collections::HashSet;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, fstatfs, open};
use rustix::io::read;

use crate::targets::failure::Failure;

/// All events in which a name appears or disappears. Changes of permissions are left out: to report them, the kernel visits every
/// cached name of the directory, which takes longer than listing it.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM);
/// Magic numbers of `statfs` (include/uapi/linux/magic.h; fs/zfs): ext2 to ext4, XFS, btrfs, tmpfs, ramfs, overlayfs, F2FS, ZFS,
/// EROFS, squashfs. The layers below an overlayfs must not change by themselves.
const LOCAL: [u64; 10] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0x8584_58f6,
    0x794c_7630,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xe0f5_e1e2,
    0x7371_7368,
];

type Watches = Arc<Mutex<HashSet<i32>>>;

/// Owns the watches of all looks.
#[derive(Debug)]
pub(in crate::targets) struct Watcher {
    /// `None`: the kernel gives no inotify instance.
    inotify: Option<Arc<OwnedFd>>,
    /// The watches of the last look.
    watches: Watches,
}

/// One look at directories, or the part of it that one thread makes.
#[derive(Debug)]
pub(in crate::targets) struct WatchedLook {
    /// `None`: some directory of the look is not watched.
    inotify: Option<Arc<OwnedFd>>,
    watches: Watches,
    mounts: Vec<OwnedFd>,
}

/// The time without changes after a look. While it lasts, another look would find the same.
#[derive(Debug)]
pub(crate) struct Stillness {
    inotify: Arc<OwnedFd>,
    mounts: Vec<OwnedFd>,
    /// Whether a change was reported. The kernel reports some changes only once, so this keeps the first report.
    is_over: AtomicBool,
}

impl Watcher {
    pub(in crate::targets) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        Self {
            inotify: inotify.ok().map(Arc::new),
            watches: Watches::default(),
        }
    }

    /// Begins a look: drops all changes reported up to now. Returns the watches of the last look, for [`Self::end`].
    pub(in crate::targets) fn begin(&self) -> HashSet<i32> {
        let mut events = [0; 4096];
        while let Some(inotify) = &self.inotify
            && read(inotify, &mut events).is_ok_and(|length| length > 0)
        {}
        mem::take(&mut lock(&self.watches))
    }

    /// A part of the look.
    pub(in crate::targets) fn part(&self) -> WatchedLook {
        WatchedLook {
            inotify: self.inotify.clone(),
            watches: Arc::clone(&self.watches),
            mounts: Vec::new(),
        }
    }

    /// Ends a look: removes the watches of the last look that this one does not need.
    pub(in crate::targets) fn end(&self, last: &HashSet<i32>) {
        if let Some(inotify) = &self.inotify {
            for watch in last.difference(&lock(&self.watches)) {
                // The kernel has already removed watches that had an event.
                let _ = inotify::remove_watch(inotify, *watch);
            }
        }
    }

    /// The common stillness of all parts of a look; `None` if one part is not watched completely.
    pub(in crate::targets) fn stillness(
        &self,
        parts: impl IntoIterator<Item = WatchedLook>,
    ) -> Option<Stillness> {
        let mut mounts = Vec::new();
        for part in parts {
            part.inotify?;
            mounts.extend(part.mounts);
        }
        let inotify = self.inotify.clone()?;
        Some(Stillness {
            inotify,
            mounts,
            is_over: AtomicBool::new(false),
        })
    }
}

impl WatchedLook {
    /// Watches the mounts in this table (`/proc/<pid>/mountinfo`).
    pub(in crate::targets) fn watch_mounts(&mut self, table: &Path) {
        if self.inotify.is_none() {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match open(table, flags, Mode::empty()) {
            Ok(table) => self.mounts.push(table),
            Err(_) => self.give_up(),
        }
    }

    /// Watches this directory.
    pub(super) fn watch(&mut self, directory: BorrowedFd<'_>) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let flags = CHANGES | WatchFlags::ONESHOT | WatchFlags::ONLYDIR;
        let watch = match is_local(directory) {
            true => inotify::add_watch(inotify, path, flags).ok(),
            false => None,
        };
        match watch {
            Some(watch) => {
                lock(&self.watches).insert(watch);
            }
            None => self.give_up(),
        }
    }

    /// Notes a failed call. If the agent lacked rights, descriptors or memory, the next call may succeed without any event.
    pub(in crate::targets) fn failed(&mut self, failure: Failure) {
        if matches!(failure, Failure::Limit | Failure::Denied) {
            self.give_up();
        }
    }

    /// Notes that some part of the look is not watched.
    pub(in crate::targets) fn give_up(&mut self) {
        self.inotify = None;
    }
}

impl Stillness {
    /// Whether no change was reported since the look began. The next look must not begin before this returns `false`, because it
    /// drops the reports.
    pub(crate) fn lasts(&self) -> bool {
        if self.is_over.load(Relaxed) {
            return false;
        }
        let changed = self
            .mounts
            .iter()
            .map(|table| PollFd::new(table, PollFlags::PRI));
        let mut all: Vec<PollFd<'_>> = changed.collect();
        all.push(PollFd::from_borrowed_fd(
            self.inotify.as_fd(),
            PollFlags::IN,
        ));
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let lasts = poll(&mut all, Some(&at_once)) == Ok(0);
        if !lasts {
            self.is_over.store(true, Relaxed);
        }
        lasts
    }
}

/// Whether the kernel makes, and so reports, all changes of this file system.
fn is_local(directory: BorrowedFd<'_>) -> bool {
    let kind = fstatfs(directory).map(|system| system.f_type);
    #[allow(clippy::unnecessary_cast)] // signed, and narrower, on some platforms
    kind.is_ok_and(|kind| LOCAL.contains(&(kind as u64 & 0xffff_ffff)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
