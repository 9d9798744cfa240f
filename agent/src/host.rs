//! The host: the roots of `/proc`, `/sys` and the file system, and the host's units and clocks.
//!
//! In: the roots from the command line. Out: paths, and a handful of facts that stay true while the agent runs. Every
//! path that depends on where the host is mounted is built from a [`Host`], so a test can put a tree of files in its
//! place. It reads no process and decides nothing: other modules choose the tier from its facts.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rustix::fs::{FsWord, PROC_SUPER_MAGIC};
use rustix::time::{ClockId, Timespec};

/// Inode of the initial pid namespace, fixed in the kernel (`PROC_PID_INIT_INO` in `include/linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Most bytes of `<procfs>/stat` that are read: enough for about 10,000 CPUs and all interrupts; the line `btime`
/// comes after both.
const STAT_LIMIT: u64 = 4 << 20;

const NANOSECONDS: u64 = 1_000_000_000;

/// Change of the wall clock from which on the boot time is read again. It is longer than a thread is normally
/// preempted between reading two clocks, and shorter than the steps by which a clock is set rather than slewed.
const STEP_NS: u64 = 100_000_000;

/// Why the agent cannot observe the host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The procfs root does not exist.
    #[error("procfs root {} does not exist: mount procfs there or name another root with --procfs", .0.display())]
    Missing(PathBuf),
    /// The procfs root is not a directory.
    #[error("procfs root {} is not a directory: name the directory where procfs is mounted with --procfs", .0.display())]
    NotADirectory(PathBuf),
    /// The procfs root has no file `stat`.
    #[error("{} does not exist, so its directory is no procfs: mount procfs there or name another root with --procfs", .0.display())]
    NoStat(PathBuf),
    /// The file `stat` has no valid `btime` line.
    #[error("{} has no line `btime <seconds>`: is this the stat file of a procfs?", .0.display())]
    NoBootTime(PathBuf),
    /// Reading failed for another reason.
    #[error("cannot read {}: {source}; run the agent as a user that may, or name another root with --procfs", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The observed machine: the agent's own, also when seen from inside a container, or a tree of files.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where procfs is mounted (`-procfs`).
    pub procfs: PathBuf,
    /// Where the host's root file system is mounted (`-path.rootfs`); user names come from there.
    pub rootfs: PathBuf,
    /// Where sysfs is mounted. Containers share the host's kernel, so the agent's own sysfs is always the right one.
    pub sysfs: PathBuf,
    /// Page size of the running kernel, in bytes.
    pub page_size: u64,
    /// Length of a clock tick of procfs (`USER_HZ`), in nanoseconds: 10 ms on every platform that Rust supports.
    pub tick_ns: u64,
    /// When the host booted, in seconds since the epoch: `btime` of `<procfs>/stat`, read again when the wall clock
    /// is set.
    pub boot_time: u64,
    /// The boot time at that reading according to the agent's clocks, in nanoseconds since the epoch; a difference
    /// shows that the wall clock was set.
    booted_ns: u64,
    real_procfs: bool,
}

impl Host {
    /// Checks the roots and reads the units.
    ///
    /// # Errors
    /// The procfs root is missing, is not a directory, or has no `stat` with a `btime`; the agent cannot work then.
    pub fn detect(
        procfs: impl Into<PathBuf>,
        rootfs: impl Into<PathBuf>,
    ) -> Result<Self, HostError> {
        let procfs = procfs.into();
        match fs::metadata(&procfs) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(HostError::NotADirectory(procfs)),
            Err(source) => return Err(absent(source, procfs, HostError::Missing)),
        }
        let booted_ns = booted_ns();
        let boot_time = read_boot_time(&procfs.join("stat"))?;
        Ok(Self {
            real_procfs: file_system_magic(&procfs) == Some(PROC_SUPER_MAGIC),
            procfs,
            rootfs: rootfs.into(),
            sysfs: PathBuf::from("/sys"),
            page_size: rustix::param::page_size() as u64,
            tick_ns: NANOSECONDS / rustix::param::clock_ticks_per_second(),
            boot_time,
            booted_ns,
        })
    }

    /// Reads the boot time again if the wall clock was set since the last reading; returns whether it was. Start
    /// times count from the boot, and a machine's clock is often set once it has found the network: without this, an
    /// agent that started earlier would stay wrong for good.
    ///
    /// For a tree of files, the boot time never changes.
    ///
    /// # Errors
    /// The boot time cannot be read any more; the old one stays, and the next call tries again.
    pub fn follow_clock(&mut self) -> Result<bool, HostError> {
        let booted_ns = booted_ns();
        if !self.real_procfs || booted_ns.abs_diff(self.booted_ns) < STEP_NS {
            return Ok(false);
        }
        self.boot_time = read_boot_time(&self.procfs.join("stat"))?;
        self.booted_ns = booted_ns;
        Ok(true)
    }

    /// Time since the host booted, including suspend, in nanoseconds.
    ///
    /// The same scale as start times in `<procfs>/<pid>/stat`: `CLOCK_BOOTTIME` for a procfs mount; for a tree of
    /// files, the wall clock less the tree's `btime`.
    pub fn now_ns(&self) -> u64 {
        if self.real_procfs {
            boottime_ns()
        } else {
            clock_ns(ClockId::Realtime).saturating_sub(self.boot_time.saturating_mul(NANOSECONDS))
        }
    }

    /// Whether the procfs root is a mount of procfs, not a tree of files (`statfs`).
    pub const fn is_procfs_mount(&self) -> bool {
        self.real_procfs
    }

    /// Whether the agent runs in the initial pid namespace and the procfs root shows that namespace.
    ///
    /// `None` if this is unknown, because `<procfs>/self` exists but cannot be read.
    pub fn in_initial_pid_namespace(&self) -> Option<bool> {
        if !self.real_procfs {
            return Some(false);
        }
        let own = self.procfs.join("self");
        // In the procfs of a namespace that does not contain the agent, `self` leads nowhere.
        let shown = match fs::read_link(&own) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(false),
            Err(_) => return None,
        };
        // In the procfs of an outer namespace, `self` is the agent's number there.
        if shown != Path::new(&std::process::id().to_string()) {
            return Some(false);
        }
        let namespace = fs::metadata(own.join("ns/pid")).ok()?;
        Some(namespace.ino() == INITIAL_PID_NAMESPACE)
    }

    /// CPUs that run without a scheduler tick (`nohz_full=`), in the kernel's list format, such as `1-3,6`.
    ///
    /// Source: `/sys/devices/system/cpu/nohz_full`. `None` if there are none or the kernel was built without the
    /// feature.
    pub fn nohz_full(&self) -> Option<String> {
        let path = self.sysfs.join("devices/system/cpu/nohz_full");
        parse_cpu_list(&fs::read_to_string(path).ok()?)
    }

    /// The kernel's type information (BTF), `/sys/kernel/btf/vmlinux`.
    pub fn kernel_btf(&self) -> PathBuf {
        self.sysfs.join("kernel/btf/vmlinux")
    }

    /// The directory where the kubelet links the logs of its containers, `<rootfs>/var/log/containers`.
    pub fn container_logs(&self) -> PathBuf {
        self.rootfs.join("var/log/containers")
    }

    /// The file that assigns subordinate uids to users, `<rootfs>/etc/subuid`.
    pub fn subuid(&self) -> PathBuf {
        self.rootfs.join("etc/subuid")
    }

    /// The file with the host's user names, `<rootfs>/etc/passwd`.
    pub fn passwd(&self) -> PathBuf {
        self.rootfs.join("etc/passwd")
    }
}

fn absent(source: io::Error, path: PathBuf, missing: fn(PathBuf) -> HostError) -> HostError {
    match source.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => HostError::Io { path, source },
    }
}

fn read_boot_time(path: &Path) -> Result<u64, HostError> {
    let mut bytes = Vec::new();
    fs::metadata(path)
        .and_then(|meta| match meta.is_file() {
            true => fs::File::open(path),
            // Reading a pipe could block the start for ever.
            false => Err(io::Error::other("it is no regular file")),
        })
        .and_then(|file| file.take(STAT_LIMIT).read_to_end(&mut bytes))
        .map_err(|source| absent(source, path.to_owned(), HostError::NoStat))?;
    parse_boot_time(&bytes).ok_or_else(|| HostError::NoBootTime(path.to_owned()))
}

// The `KernelStats` of the procfs crate also require CPU lines, which a tree of files need not have.
fn parse_boot_time(stat: &[u8]) -> Option<u64> {
    let line = stat
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"btime "))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

// An empty list is an empty line, or `(null)` on kernels that print an unset pointer.
fn parse_cpu_list(list: &str) -> Option<String> {
    let list = list.trim();
    (!list.is_empty() && list != "(null)").then(|| list.to_owned())
}

/// The type of the file system mounted at `path` (`statfs`).
pub(crate) fn file_system_magic(path: &Path) -> Option<FsWord> {
    rustix::fs::statfs(path).ok().map(|found| found.f_type)
}

/// Nanoseconds since boot (`CLOCK_BOOTTIME`), the same clock as `bpf_ktime_get_boot_ns`.
pub fn boottime_ns() -> u64 {
    clock_ns(ClockId::Boottime)
}

/// When the machine booted according to the current wall clock, in nanoseconds since the epoch.
fn booted_ns() -> u64 {
    clock_ns(ClockId::Realtime).saturating_sub(boottime_ns())
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the same clock as `bpf_ktime_get_ns`.
pub fn monotonic_ns() -> u64 {
    clock_ns(ClockId::Monotonic)
}

/// CPU time of the calling thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::ThreadCPUTime)
}

/// CPU time of this process, in nanoseconds: all threads, ended ones included.
pub(crate) fn process_cpu_ns() -> u64 {
    clock_ns(ClockId::ProcessCPUTime)
}

/// CPU time of all threads of this process except the calling one.
pub fn other_threads_cpu() -> Duration {
    Duration::from_nanos(process_cpu_ns().saturating_sub(thread_cpu_ns()))
}

/// Length of a tick of the kernel's timer, nanoseconds.
pub fn tick_ns() -> u64 {
    nanoseconds(rustix::time::clock_getres(ClockId::MonotonicCoarse))
}

fn clock_ns(clock: ClockId) -> u64 {
    nanoseconds(rustix::time::clock_gettime(clock))
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(NANOSECONDS)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_is_the_btime_line() {
        assert_eq!(parse_boot_time(b"btime 1508450329\n"), Some(1_508_450_329));
        assert_eq!(
            parse_boot_time(b"cpu 1 2\nintr 5\nbtime 7\nprocesses 3\n"),
            Some(7)
        );
        for bad in [
            &b""[..],
            b"btime\n",
            b"btime x\n",
            b"xbtime 7\n",
            b"btime -1\n",
            b"btime \xff\n",
        ] {
            assert_eq!(parse_boot_time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_unset_cpu_list_is_none() {
        assert_eq!(parse_cpu_list("1-3,6\n").as_deref(), Some("1-3,6"));
        assert_eq!(parse_cpu_list("\n"), None);
        assert_eq!(parse_cpu_list("  (null)\n"), None);
    }

    #[test]
    fn ticks_off_is_read_from_sysfs() {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Host::detect("/proc", "/").unwrap();
        host.sysfs = dir.path().to_owned();
        assert_eq!(host.nohz_full(), None);
        fs::create_dir_all(dir.path().join("devices/system/cpu")).unwrap();
        fs::write(dir.path().join("devices/system/cpu/nohz_full"), "1-3\n").unwrap();
        assert_eq!(host.nohz_full().as_deref(), Some("1-3"));
    }

    #[test]
    fn this_machine_is_detected() {
        let host = Host::detect("/proc", "/").unwrap();
        assert!(host.is_procfs_mount());
        assert!(host.page_size >= 4096 && host.page_size.is_power_of_two());
        assert_eq!(host.tick_ns, 10_000_000);
        assert!(host.boot_time > 1_000_000_000);
        let now = host.now_ns();
        assert!(now > 0 && host.now_ns() >= now);
        assert!(host.in_initial_pid_namespace().is_some());
    }

    #[test]
    fn the_boot_time_is_read_again_when_the_wall_clock_was_set() {
        const OLD: u64 = 1;
        let mut host = Host::detect("/proc", "/").unwrap();
        let booted = host.boot_time;
        host.boot_time = OLD;
        assert!(!host.follow_clock().unwrap(), "the clock was not set");
        assert_eq!(host.boot_time, OLD);
        for step_ns in [-3600 * 1_000_000_000_i64, 3600 * 1_000_000_000] {
            host.boot_time = OLD;
            host.booted_ns = host.booted_ns.saturating_add_signed(step_ns);
            assert!(host.follow_clock().unwrap());
            assert!(host.boot_time.abs_diff(booted) <= 1);
        }

        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stat"), "btime 1700000000\n").unwrap();
        let mut host = Host::detect(dir.path(), "/").unwrap();
        host.booted_ns = 0;
        fs::write(dir.path().join("stat"), "btime 1800000000\n").unwrap();
        assert!(!host.follow_clock().unwrap());
        assert_eq!(host.boot_time, 1_700_000_000, "what a tree claims stays");
    }

    #[test]
    fn a_root_that_cannot_work_is_refused_with_path_cause_and_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("nowhere");
        let text = Host::detect(&missing, "/").unwrap_err().to_string();
        assert!(
            text.contains("nowhere does not exist") && text.contains("-procfs"),
            "{text}"
        );

        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let text = Host::detect(&file, "/").unwrap_err().to_string();
        assert!(
            text.contains("file is not a directory") && text.contains("-procfs"),
            "{text}"
        );

        let text = Host::detect(dir.path(), "/").unwrap_err().to_string();
        assert!(
            text.contains("stat does not exist") && text.contains("-procfs"),
            "{text}"
        );

        fs::write(dir.path().join("stat"), "cpu 1\n").unwrap();
        assert!(matches!(
            Host::detect(dir.path(), "/"),
            Err(HostError::NoBootTime(_))
        ));

        fs::write(dir.path().join("stat"), "btime 1700000000\n").unwrap();
        let host = Host::detect(dir.path(), "/").unwrap();
        assert!(!host.is_procfs_mount());
        assert_eq!(host.in_initial_pid_namespace(), Some(false));
        assert!(host.now_ns() > 0);
    }
}
