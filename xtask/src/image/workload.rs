//! A container of a pod, as far as the agent sees one: a shell in a cgroup of its own, and a link to its log, as the kubelet
//! makes it.
//!
//! The shell waits for a word, then starts processes that live for a millisecond, then waits until it is killed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use fs_err as fs;

/// Its cgroup below the cgroup v2 root, as the kubelet makes it without systemd; id and uid are made up.
const CGROUP: &str = "kubepods/burstable/podaaaaaaaa-0001-4002-8003-a0b1c2d3e4f5";
const CONTAINER: &str = "0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad";
/// Name of its pod.
const POD: &str = "web-7d4b9c8f6d-x2k9p";
pub(super) const NAMESPACE: &str = "trial";
pub(super) const NAME: &str = "main";
/// Name of the workload that the pod belongs to.
pub(super) const OWNER: &str = "web";

/// $1: the file to join the cgroup by; $2: the number of processes.
const SCRIPT: &str = r#"
echo 0 > "$1"
read go
n=$2; while [ $n -gt 0 ]; do /bin/true; n=$((n-1)); done
read end
"#;

/// A running container; when dropped, it ends, and its cgroup is removed.
pub(super) struct Workload {
    shell: Child,
    cgroup: PathBuf,
}

impl Workload {
    /// Starts the container; `links` is the folder where the agent looks for names.
    pub(super) fn start(links: &Path, processes: u32) -> Result<Self> {
        let link = format!("{POD}_{NAMESPACE}_{NAME}-{CONTAINER}.log");
        std::os::unix::fs::symlink("/nowhere", links.join(link)).context("make a link")?;
        let cgroup = unified()?.join(CGROUP).join(CONTAINER);
        fs::create_dir_all(&cgroup)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig=KILL", "--", "sh", "-ec", SCRIPT, "workload"])
            .arg(cgroup.join("cgroup.procs"))
            .arg(processes.to_string())
            .stdin(Stdio::piped());
        let shell = command.spawn().context("start a shell in a cgroup")?;
        Ok(Self { shell, cgroup })
    }

    /// Lets the shell start its processes.
    pub(super) fn go(&mut self) -> Result<()> {
        let stdin = self.shell.stdin.as_mut();
        let stdin = stdin.context("the shell has no input")?;
        stdin.write_all(b"go\n").context("let the shell go on")
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // It may have ended by itself; then there is no process to kill.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        remove(&mut self.cgroup, 4);
    }
}

/// Removes a cgroup and those above it, `depth` in all, if they are empty.
pub(super) fn remove(cgroup: &mut PathBuf, depth: usize) {
    for _ in 0..depth {
        // A cgroup that does not exist or is not empty stays as it is.
        let _ = fs::remove_dir(&*cgroup);
        cgroup.pop();
    }
}

/// The mount point of cgroup v2.
fn unified() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    let found = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(fields[1]))
    });
    found.context("cgroup v2 is not mounted here")
}
