//! Runs the image as the DaemonSet's manifest describes, and checks its counts.
//!
//! In comes the archive. Out come figures, and failure unless the kernel programs work with the manifest's capabilities and the
//! host's procfs at `/host/proc`, the agent counts each of many short processes, a pod's container has its names, and Passenger in
//! another container is shown. Debian's umoci and runc unpack and run the image; neither is installed. It needs root, and listens
//! on 127.0.0.1 only.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;
use serde_json::Value;

use super::container;
use super::passenger::{self, Passenger};
use super::workload::{self, Workload};
use crate::{command, debian, http, manifests, setup, workspace};

/// Cgroup of a container of a pod, as the kubelet makes it; id and uid are made up.
const CGROUP: &str = "/kubepods/burstable/pod1f2e3d4c-0001-4002-8003-a0b1c2d3e4f5";
const CONTAINER: &str = "4ea6c0047ea6c0047ea6c0047ea6c0047ea6c0047ea6c0047ea6c0047ea6c004";
/// Number of processes that live for a millisecond.
const SHORT: u32 = 2000;
/// Folder in place of the kubelet's links.
const LINKS: &str = "links";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(archive: &Path) -> Result<()> {
    ensure!(setup::is_root(), "only root may start a container");
    let folder = workspace::target_dir().join("image");
    let tools = folder.join("tools");
    let tool = |name, path| debian::fetch(&tools, "bookworm", &[name], 2, path);
    let runc = tool("runc", "usr/sbin/runc")?;
    let bundle = prepare(archive, &folder, &tool("umoci", "usr/bin/umoci")?)?;
    // The container starts before the agent, as most containers of a node do.
    let mut workload = Workload::start(&folder.join(LINKS), SHORT)?;
    let passenger = Passenger::start()?;
    let agent = Running::start(&runc, &bundle)?;
    check(&agent, &mut workload)?;
    check_passenger(&agent)?;
    drop(passenger);
    Ok(())
}

/// Makes the bundle for the runtime.
fn prepare(archive: &Path, folder: &Path, umoci: &Path) -> Result<PathBuf> {
    let [layout, bundle, links] = ["layout", "bundle", LINKS].map(|name| folder.join(name));
    for path in [&layout, &bundle, &links] {
        workspace::empty(path)?;
    }
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(&layout);
    command::read(&mut tar)?;
    let mut umoci = Command::new(umoci);
    umoci.args(["raw", "unpack", "--image"]);
    let version = env!("CARGO_PKG_VERSION");
    umoci.arg(format!("{}:{version}", layout.display()));
    command::read(umoci.arg(bundle.join("rootfs")))?;
    let volumes = container::volumes(&manifests::deploy().join("base"), &links);
    // At this log level the agent reports why a file of a process could not be read.
    let arguments = ["--web.listen-address=127.0.0.1:0", "--log.level=debug"].map(str::to_owned);
    let cgroup = format!("{CGROUP}/{CONTAINER}");
    let config = container::bundle(&manifests::daemon_set()?, &volumes, &cgroup, &arguments)?;
    fs::write(bundle.join("config.json"), config.to_string()).context("write config.json")?;
    Ok(bundle)
}

/// A running container; it is removed when this is dropped.
struct Running {
    runc: PathBuf,
    bundle: PathBuf,
    child: Child,
    /// Log lines about files that it could not read.
    unread: Receiver<String>,
    address: String,
}

impl Running {
    /// Starts the container and waits until the agent listens.
    fn start(runc: &Path, bundle: &Path) -> Result<Self> {
        // Removes a container that a killed run left behind.
        let _ = remove(runc, bundle);
        // If this program is killed, the container ends, too.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig=TERM", "--"])
            .arg(runc)
            .arg("--root")
            .arg(bundle.with_file_name("state"))
            .args(["run", "--bundle"])
            .arg(bundle)
            .arg(CONTAINER)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        println!("+ {}", command::show(&command));
        let mut child = command.spawn().context("start runc")?;
        let log = child.stderr.take().context("no standard error")?;
        let mut log = BufReader::new(log).lines().map_while(Result::ok);
        let mut seen = String::new();
        let address = log.by_ref().find_map(|line| {
            seen.push_str(&format!("{line}\n"));
            let (_, address) = line.split_once("http://")?;
            Some(address.split('/').next()?.to_owned())
        });
        let address = address.with_context(|| format!("it ended before it listened:\n{seen}"))?;
        let (sender, unread) = channel();
        std::thread::spawn(move || {
            let mut lines = log.filter(|line| line.contains("cannot read"));
            lines.try_for_each(|line| sender.send(line))
        });
        Ok(Self {
            runc: runc.to_owned(),
            bundle: bundle.to_owned(),
            child,
            unread,
            address,
        })
    }

    /// Fails unless the log shows, for the given number of failed readings, a reason other than missing rights: a timeout, as on
    /// a machine that stood still for a moment, or a file that is also refused to this program, which runs as root.
    fn not_by_rights(&self, failed: u64) -> Result<()> {
        let is_excused = |line: &str| line.contains("timed out") || is_refused_to_root(line);
        for _ in 0..failed {
            let line = self.unread.recv_timeout(PATIENCE);
            let line = line.context("its log does not say why")?;
            ensure!(is_excused(&line), "its log says: {line}");
        }
        for line in self.unread.try_iter() {
            ensure!(is_excused(&line), "its log says: {line}");
        }
        Ok(())
    }

    /// The body of an answer of status 200.
    fn ask(&self, path: &str) -> Result<String> {
        let body = http::get(&self.address, path, "")?;
        String::from_utf8(body).context("the body is no text")
    }

    /// Waits until the metrics pass, and shows the lines that `check` found in them.
    fn wait(&self, check: impl Fn(&str) -> Result<String>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match check(&self.ask("/metrics")?) {
                Ok(found) => {
                    println!("image: {found}");
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = remove(&self.runc, &self.bundle);
        let _ = self.child.wait();
    }
}

fn runtime(runc: &Path, bundle: &Path) -> Command {
    let mut command = Command::new(runc);
    command.arg("--root").arg(bundle.with_file_name("state"));
    command
}

/// Removes the container, and the cgroups above its own, which runc leaves behind.
fn remove(runc: &Path, bundle: &Path) -> Result<()> {
    let removed = command::read(runtime(runc, bundle).args(["delete", "--force", CONTAINER]));
    for hierarchy in fs::read_dir("/sys/fs/cgroup")?.flatten() {
        let mut path = hierarchy.path().join(CGROUP.trim_start_matches('/'));
        workload::remove(&mut path, 3);
    }
    removed.map(drop)
}

fn check(agent: &Running, workload: &mut Workload) -> Result<()> {
    let body = agent.ask("/metrics")?;
    let info = line(&body, &["headcount_accounting_info"]).unwrap_or_default();
    println!("image: {info}");
    ensure!(info.contains(r#"tier="iterator""#), "not the iterator tier");
    let mut runtime = runtime(&agent.runc, &agent.bundle);
    let state = command::read(runtime.args(["state", CONTAINER]))?;
    let state: Value = serde_json::from_str(&state).context("runc state")?;
    let status = fs::read_to_string(format!("/proc/{}/status", state["pid"]))?;
    for fact in "Uid CapEff CapBnd CapInh CapAmb NoNewPrivs VmHWM VmRSS".split(' ') {
        let found = status.lines().find(|line| line.starts_with(fact));
        println!("image: {}", found.unwrap_or_default().replace('\t', " "));
    }
    counted(agent, "namedprocess_namegroup_num_procs{", "", 1)?;
    workload.go()?;
    counted(agent, "namedprocess_namegroup_execs_total{", "", SHORT)?;
    let exits = "namedprocess_namegroup_exits_total{";
    counted(agent, exits, r#"status="success""#, SHORT)?;
    let body = agent.ask("/metrics")?;
    let shown = |family: &str| {
        let value = value(&body, family)?;
        println!("image: {family} {value}");
        Ok::<u64, anyhow::Error>(value)
    };
    let partly = shown("namedprocess_scrape_partial_errors")?;
    agent.not_by_rights(partly + shown("namedprocess_scrape_procread_errors")?)?;
    for family in [
        "headcount_events_lost_total",
        "headcount_pod_link_failures_total",
    ] {
        ensure!(shown(family)? == 0, "expected 0");
    }
    for path in probes(&manifests::daemon_set()?) {
        println!("image: {path}: {}", agent.ask(&path)?.trim_end());
    }
    Ok(())
}

/// Waits until the agent shows the instance in the other container and the process of its application.
fn check_passenger(agent: &Running) -> Result<()> {
    let name = passenger::APPLICATION;
    let count = format!(r#"passenger_go_process_count{{name="{name}"}} 1"#);
    let up = r#"headcount_target_up{kind="passenger",target=""#;
    agent.wait(|body| {
        let answers = body.lines().filter(|line| line.starts_with(up));
        let answers = answers.filter(|line| line.ends_with(" 1")).count();
        let is_shown = answers > 0 && body.lines().any(|line| line == count);
        let found = line(body, &[up]).unwrap_or_default();
        ensure!(is_shown, "expected {count}: {found}");
        Ok(format!("{answers} {up}...\nimage: {count}"))
    })
}

/// Waits until the workload's group has this value; records of ended processes come after an RCU grace period.
fn counted(agent: &Running, family: &str, label: &str, expected: u32) -> Result<()> {
    use workload::{NAME, NAMESPACE, OWNER};
    let group = format!("groupname=\"{NAMESPACE}/{OWNER}/{NAME}\"");
    let namespace = format!("namespace=\"{NAMESPACE}\"");
    let (workload, container) = (
        format!("workload=\"{OWNER}\""),
        format!("container=\"{NAME}\""),
    );
    let parts = [family, label, &group, &namespace, &workload, &container];
    agent.wait(|body| {
        let found = line(body, &parts).unwrap_or_default();
        let is_right = found.ends_with(&format!(" {expected}"));
        ensure!(is_right, "expected {expected}: {family} {found}");
        Ok(found.to_owned())
    })
}

/// Whether a log line is about a file of `/proc` that this program may not read either: some sandboxes protect their init from
/// root itself.
fn is_refused_to_root(line: &str) -> bool {
    let read = || {
        let (_, what) = line.split_once("cannot read ")?;
        let (file, what) = what.split_once(" of process ")?;
        let (tgid, why) = what.split_once(": ")?;
        why.starts_with("permission denied")
            .then(|| fs::read(format!("/proc/{tgid}/{file}")))
    };
    let is_refused = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    read().is_some_and(|file| file.is_err_and(is_refused))
}

/// The paths that the kubelet's probes would request.
fn probes(daemon_set: &Value) -> BTreeSet<String> {
    let container = &daemon_set["spec"]["template"]["spec"]["containers"][0];
    let path = |probe| {
        container[probe]["httpGet"]["path"]
            .as_str()
            .unwrap_or_default()
    };
    let paths =
        ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| path(probe).to_owned());
    BTreeSet::from(paths)
}

/// The value of a family without labels.
fn value(body: &str, family: &str) -> Result<u64> {
    let line = line(body, &[&format!("{family} ")]).unwrap_or_default();
    let value = line.rsplit(' ').next().and_then(|value| value.parse().ok());
    value.with_context(|| format!("{family} is not shown"))
}

/// The first line that begins with the first of `parts` and contains the others.
fn line<'a>(body: &'a str, parts: &[&str]) -> Option<&'a str> {
    let (start, more) = parts.split_first()?;
    let mut lines = body.lines().filter(|line| line.starts_with(start));
    lines.find(|line| more.iter().all(|part| line.contains(part)))
}
