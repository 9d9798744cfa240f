//! A tree of files that looks like procfs: processes with every file a pass or a name looks at.
//!
//! In come processes as a test describes them, out goes a directory for `-procfs`, with `etc/passwd` beside it for
//! `-path.rootfs`. Between scrapes a test writes a process again, removes it, or makes a file of it unreadable. The
//! kernel's escaping is not imitated: bytes go into the files as they are given.

use std::fs;
use std::path::{Path, PathBuf};

/// The tree; it is removed when this is dropped.
#[derive(Debug)]
pub struct FakeProc {
    dir: tempfile::TempDir,
}

impl FakeProc {
    /// An empty tree of a host that booted at `btime`, seconds since the epoch. The users `root` and `nobody` have names.
    pub fn new(btime: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc")).unwrap();
        fs::create_dir_all(dir.path().join("etc")).unwrap();
        let tree = Self { dir };
        fs::write(
            tree.procfs().join("stat"),
            format!("cpu  0 0 0 0\nbtime {btime}\n"),
        )
        .unwrap();
        tree.passwd("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
        tree
    }

    /// The value of `-procfs`.
    pub fn procfs(&self) -> PathBuf {
        self.rootfs().join("proc")
    }

    /// The value of `-path.rootfs`.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Replaces the passwd file.
    pub fn passwd(&self, text: &str) {
        fs::write(self.rootfs().join("etc/passwd"), text).unwrap();
    }

    /// Where the kubelet links the logs of its containers; the first link makes it.
    pub fn container_logs(&self) -> PathBuf {
        self.rootfs().join("var/log/containers")
    }

    /// The kubelet links the log of a container, `name` being `<pod>_<namespace>_<container>`.
    pub fn link_log(&self, name: impl AsRef<std::ffi::OsStr>, container_id: &str) {
        self.link_log_to(name, container_id, "/var/log/pods/nobody-reads-this");
    }

    /// The same, leading to `target`.
    pub fn link_log_to(&self, name: impl AsRef<std::ffi::OsStr>, container_id: &str, target: &str) {
        fs::create_dir_all(self.container_logs()).unwrap();
        let mut file = name.as_ref().to_owned();
        file.push(format!("-{container_id}.log"));
        std::os::unix::fs::symlink(target, self.container_logs().join(file)).unwrap();
    }

    /// Describes a process; [`FakeProcess::write`] puts it into the tree, in place of a former process.
    pub fn process(&self, pid: u32) -> FakeProcess {
        FakeProcess::new(self.path(pid), pid)
    }

    /// Directory of a process.
    pub fn path(&self, pid: u32) -> PathBuf {
        self.procfs().join(pid.to_string())
    }

    /// The process ends.
    pub fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.path(pid)).unwrap();
    }

    /// Puts `bytes` into a file of a process, such as `stat` or `task/7/io`.
    pub fn write(&self, pid: u32, file: &str, bytes: impl AsRef<[u8]>) {
        self.delete(pid, file);
        fs::write(self.path(pid).join(file), bytes).unwrap();
    }

    /// Takes a file or directory of a process away.
    pub fn delete(&self, pid: u32, file: &str) {
        remove(&self.path(pid).join(file));
    }

    /// Makes a file or directory of a process unreadable for root too, whom modes do not stop: a file becomes a
    /// directory, a directory becomes a file.
    pub fn make_unreadable(&self, pid: u32, file: &str) {
        let path = self.path(pid).join(file);
        let was_directory = path.is_dir();
        remove(&path);
        if was_directory {
            fs::write(path, "").unwrap();
        } else {
            fs::create_dir(path).unwrap();
        }
    }

    /// The whole root disappears for a while.
    pub fn hide(&self) {
        fs::rename(self.procfs(), self.rootfs().join("hidden")).unwrap();
    }

    /// And comes back.
    pub fn unhide(&self) {
        fs::rename(self.rootfs().join("hidden"), self.procfs()).unwrap();
    }
}

/// One mapping as `smaps` and `smaps_rollup` show it.
pub fn smaps(pss_kib: u64, swap_pss_kib: u64) -> String {
    format!(
        "55d3c0a00000-7ffd3f1f2000 ---p 00000000 00:00 0                          [rollup]\n\
         Rss:                5544 kB\nPss:            {pss_kib:8} kB\nPss_Dirty:           500 kB\n\
         Swap:                  9 kB\nSwapPss:        {swap_pss_kib:8} kB\nLocked:                0 kB\n"
    )
}

fn remove(path: &Path) {
    if path.is_symlink() {
        fs::remove_file(path).unwrap();
    } else if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

/// A thread beside the main one.
#[derive(Debug, Clone)]
pub struct FakeThread {
    pub tid: u32,
    pub comm: Vec<u8>,
    pub state: char,
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub major_faults: u64,
    pub minor_faults: u64,
    pub start_ticks: u64,
    pub voluntary: u64,
    pub nonvoluntary: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub wchan: String,
}

impl FakeThread {
    /// A sleeping thread that has used nothing.
    pub fn new(tid: u32, comm: impl AsRef<[u8]>) -> Self {
        Self {
            tid,
            comm: comm.as_ref().to_vec(),
            state: 'S',
            user_ticks: 0,
            system_ticks: 0,
            major_faults: 0,
            minor_faults: 0,
            start_ticks: 100,
            voluntary: 0,
            nonvoluntary: 0,
            read_bytes: 0,
            write_bytes: 0,
            wchan: "0".to_owned(),
        }
    }
}

/// A process to be written. The fields may also be set directly; the methods are for chains.
#[derive(Debug, Clone)]
pub struct FakeProcess {
    path: PathBuf,
    pub pid: u32,
    /// The main thread: name, state, start and its own switches; its ticks, faults and IO are the whole process's.
    pub main: FakeThread,
    pub parent: u32,
    pub argv: Vec<Vec<u8>>,
    /// Real and effective.
    pub uids: (u32, u32),
    pub virtual_bytes: u64,
    pub rss_pages: u64,
    pub swap_kib: u64,
    /// Targets of descriptors 0, 1, ….
    pub descriptors: Vec<String>,
    /// Soft column of `Max open files`.
    pub fd_limit: String,
    pub cgroup: String,
    /// `Pss` and `SwapPss` in KiB; `None`: there is no `smaps_rollup`.
    pub share_kib: Option<(u64, u64)>,
    /// Working directory; empty for none.
    pub cwd: String,
    /// Further threads; `num_threads` is one more.
    pub threads: Vec<FakeThread>,
}

/// Builder methods that set one field each.
macro_rules! setters {
    ($($name:ident($($field:ident).+: $type:ty);)*) => { $(
        pub fn $name(mut self, value: $type) -> Self {
            self.$($field).+ = value;
            self
        }
    )* };
}

impl FakeProcess {
    fn new(path: PathBuf, pid: u32) -> Self {
        Self {
            path,
            pid,
            main: FakeThread::new(pid, "fake"),
            parent: 1,
            argv: vec![b"fake".to_vec()],
            uids: (0, 0),
            virtual_bytes: 4 << 20,
            rss_pages: 100,
            swap_kib: 0,
            descriptors: Vec::new(),
            fd_limit: "1024".to_owned(),
            cgroup: "0::/\n".to_owned(),
            share_kib: None,
            cwd: String::new(),
            threads: Vec::new(),
        }
    }

    setters! {
        state(main.state: char);
        parent(parent: u32);
        user_ticks(main.user_ticks: u64);
        system_ticks(main.system_ticks: u64);
        major_faults(main.major_faults: u64);
        minor_faults(main.minor_faults: u64);
        start_ticks(main.start_ticks: u64);
        virtual_bytes(virtual_bytes: u64);
        rss_pages(rss_pages: u64);
        swap_kib(swap_kib: u64);
        uids(uids: (u32, u32));
    }

    /// Task name, raw bytes.
    pub fn comm(mut self, comm: impl AsRef<[u8]>) -> Self {
        self.main.comm = comm.as_ref().to_vec();
        self
    }

    /// Arguments, raw bytes.
    pub fn argv<T: AsRef<[u8]>>(mut self, argv: &[T]) -> Self {
        self.argv = argv.iter().map(|word| word.as_ref().to_vec()).collect();
        self
    }

    /// Storage IO: read, written.
    pub fn io(mut self, read_bytes: u64, write_bytes: u64) -> Self {
        (self.main.read_bytes, self.main.write_bytes) = (read_bytes, write_bytes);
        self
    }

    /// Switches of the main thread: voluntary, nonvoluntary.
    pub fn switches(mut self, voluntary: u64, nonvoluntary: u64) -> Self {
        (self.main.voluntary, self.main.nonvoluntary) = (voluntary, nonvoluntary);
        self
    }

    /// Where the main thread sleeps; `0` for nowhere.
    pub fn wchan(mut self, wchan: &str) -> Self {
        self.main.wchan = wchan.to_owned();
        self
    }

    /// As many open descriptors.
    pub fn open_files(mut self, count: usize) -> Self {
        self.descriptors = vec!["/dev/null".to_owned(); count];
        self
    }

    /// Soft limit of open files: a number or `unlimited`.
    pub fn fd_limit(mut self, soft: &str) -> Self {
        self.fd_limit = soft.to_owned();
        self
    }

    /// The whole `cgroup` file.
    pub fn cgroup(mut self, lines: &str) -> Self {
        self.cgroup = lines.to_owned();
        self
    }

    /// Proportional memory in RAM and swapped out, KiB.
    pub fn share_kib(mut self, resident: u64, swapped: u64) -> Self {
        self.share_kib = Some((resident, swapped));
        self
    }

    /// Working directory.
    pub fn cwd(mut self, path: &str) -> Self {
        self.cwd = path.to_owned();
        self
    }

    /// One more thread.
    pub fn thread(mut self, thread: FakeThread) -> Self {
        self.threads.push(thread);
        self
    }

    /// Puts the process into the tree, in place of a former one with its number.
    pub fn write(&self) {
        remove(&self.path);
        self.write_task(&self.path, &self.main);
        fs::write(self.path.join("limits"), self.limits()).unwrap();
        if !self.cwd.is_empty() {
            std::os::unix::fs::symlink(&self.cwd, self.path.join("cwd")).unwrap();
        }
        fs::create_dir(self.path.join("fd")).unwrap();
        for (number, target) in self.descriptors.iter().enumerate() {
            std::os::unix::fs::symlink(target, self.path.join("fd").join(number.to_string()))
                .unwrap();
        }
        if let Some((resident, swapped)) = self.share_kib {
            fs::write(self.path.join("smaps_rollup"), smaps(resident, swapped)).unwrap();
        }
        for thread in std::iter::once(&self.main).chain(&self.threads) {
            self.write_task(&self.path.join("task").join(thread.tid.to_string()), thread);
        }
    }

    fn write_task(&self, dir: &Path, task: &FakeThread) {
        fs::create_dir_all(dir).unwrap();
        let write = |file: &str, bytes: &[u8]| fs::write(dir.join(file), bytes).unwrap();
        write("stat", &self.stat(task));
        write("status", &self.status(task));
        write(
            "cmdline",
            &self
                .argv
                .iter()
                .flat_map(|word| [word, &b"\0"[..]].concat())
                .collect::<Vec<_>>(),
        );
        write("cgroup", self.cgroup.as_bytes());
        write("wchan", task.wchan.as_bytes());
        write(
            "io",
            format!(
                "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: {}\nwrite_bytes: {}\ncancelled_write_bytes: 5\n",
                task.read_bytes, task.write_bytes
            )
            .as_bytes(),
        );
    }

    /// All 52 fields; those that the agent does not read have the values of a real file.
    fn stat(&self, task: &FakeThread) -> Vec<u8> {
        let mut file = format!("{} (", task.tid).into_bytes();
        file.extend_from_slice(&task.comm);
        file.extend_from_slice(
            format!(
                ") {} {} 7446 5392 34835 7446 4218880 {} 32533 {} 0 {} {} 158 99 20 0 {} 0 {} {} {} \
                 18446744073709551615 4194304 6294284 140736914091744 140736914087944 139965136429984 0 0 12288 \
                 1870679807 0 0 0 17 0 0 0 31 0 0 8391624 8481048 16420864 140736914093252 140736914093279 \
                 140736914093279 140736914096107 0\n",
                task.state,
                self.parent,
                task.minor_faults,
                task.major_faults,
                task.user_ticks,
                task.system_ticks,
                self.threads.len() + 1,
                task.start_ticks,
                self.virtual_bytes,
                self.rss_pages,
            )
            .as_bytes(),
        );
        file
    }

    fn status(&self, task: &FakeThread) -> Vec<u8> {
        let (real, effective) = self.uids;
        let name = task.comm.escape_ascii();
        format!(
            "Name:\t{name}\nUmask:\t0022\nState:\t{}\nTgid:\t{}\nPid:\t{}\nPPid:\t{}\nTracerPid:\t0\n\
             Uid:\t{real}\t{effective}\t{effective}\t{effective}\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t0 \n\
             VmSize:\t{} kB\nVmSwap:\t{:8} kB\nThreads:\t{}\n\
             voluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n",
            task.state,
            self.pid,
            task.tid,
            self.parent,
            self.virtual_bytes / 1024,
            self.swap_kib,
            self.threads.len() + 1,
            task.voluntary,
            task.nonvoluntary,
        )
        .into_bytes()
    }

    fn limits(&self) -> String {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max cpu time              unlimited            unlimited            seconds   \n\
             Max file size             unlimited            unlimited            bytes     \n\
             Max data size             unlimited            unlimited            bytes     \n\
             Max stack size            8388608              unlimited            bytes     \n\
             Max core file size        0                    unlimited            bytes     \n\
             Max resident set          unlimited            unlimited            bytes     \n\
             Max processes             62898                62898                processes \n\
             Max open files            {:<20} 1048576              files     \n\
             Max locked memory         65536                65536                bytes     \n\
             Max address space         unlimited            unlimited            bytes     \n\
             Max file locks            unlimited            unlimited            locks     \n\
             Max pending signals       62898                62898                signals   \n\
             Max msgqueue size         819200               819200               bytes     \n\
             Max nice priority         0                    0                    \n\
             Max realtime priority     0                    0                    \n\
             Max realtime timeout      unlimited            unlimited            us        \n",
            self.fd_limit
        )
    }
}
