//! Reads the facts of one process that selectors and name templates use.

use std::os::fd::{AsFd, BorrowedFd};

use super::access::ProcAccess;
use super::cgroup::{self, NodeContainer};
use super::error::ProcfsError;
use super::{cmdline, stat, status};
use crate::host::Host;
use crate::process::{Arguments, Facts, Parent, ProcessId, container_path_within};
use crate::source::pods::Pods;
use crate::source::users::UserNames;

/// Age up to which a process of a pod may wait for the name of its container, nanoseconds. The kubelet links the log of a
/// container just after it has started it.
const SETTLING_NS: u64 = 10_000_000_000;

/// Reads facts of processes, and looks up the names of their users and containers.
#[derive(Debug)]
pub(super) struct FactReader {
    pub(super) users: UserNames,
    pods: Pods,
    node: NodeContainer,
    /// Whether facts have the working directory.
    pub(super) wants_cwd: bool,
    /// Whether facts have the names of pods.
    pub(super) wants_pods: bool,
}

impl FactReader {
    pub(super) fn new(host: &Host) -> Self {
        Self {
            users: UserNames::new(host.passwd()),
            pods: Pods::new(host.container_logs()),
            node: NodeContainer::new(&host.procfs),
            wants_cwd: false,
            wants_pods: false,
        }
    }

    /// Begins a pass: the names of pods may be listed once more.
    pub(super) const fn begin_pass(&mut self) {
        self.pods.begin_pass();
    }

    /// The id of the container that the node runs in; `None` if it runs in none, or if the names of pods are not wanted.
    pub(super) fn node(&self) -> Option<&str> {
        self.node.id().filter(|_| self.wants_pods)
    }

    /// Number of listings of the kubelet's log links that failed; `None` if the names of pods are not wanted.
    pub(super) fn pod_link_failures(&self) -> Option<u64> {
        self.wants_pods.then(|| self.pods.failures())
    }

    /// Names and owner of a process; [`Procfs::facts`](super::Procfs::facts) has the details.
    pub(super) fn read(
        &mut self,
        access: &mut ProcAccess,
        tgid: u32,
        start_ns: Option<u64>,
        argv_bytes: usize,
    ) -> Result<Facts, ProcfsError> {
        let tick_ns = access.files.host().tick_ns;
        let dir = access.files.open(tgid)?;
        let dir = dir.as_fd();
        let read = |access: &mut ProcAccess| {
            access.read_patiently(tgid, dir, stat::FILE, stat::parse_stat_and_comm)
        };
        let (before, comm) = read(access)?;
        if start_ns.is_some_and(|start_ns| start_ns / tick_ns != before.start_ticks) {
            return Err(ProcfsError::Gone { tgid });
        }
        let mut facts = Facts {
            tgid,
            start_ns: start_ns.unwrap_or(before.start_ticks.saturating_mul(tick_ns)),
            parent: before.parent,
            comm,
            ..Facts::default()
        };
        for _ in 0..2 {
            self.read_other_files(access, dir, argv_bytes, &mut facts)?;
            let (after, comm) = read(access)?;
            if after.start_ticks != before.start_ticks {
                return Err(ProcfsError::Gone { tgid });
            }
            if comm == facts.comm {
                break;
            }
            facts.comm = comm;
        }
        Ok(facts)
    }

    fn read_other_files(
        &mut self,
        access: &mut ProcAccess,
        dir: BorrowedFd<'_>,
        argv_bytes: usize,
        facts: &mut Facts,
    ) -> Result<(), ProcfsError> {
        let tgid = facts.tgid;
        facts.argv = access.read_patiently(tgid, dir, cmdline::file(argv_bytes), |bytes| {
            Some(Arguments::of_beginning(bytes, argv_bytes))
        })?;
        let files = &mut access.files;
        let (file, _) = status::FILE;
        let status = files.read(tgid, dir, status::FILE, status::parse_status)?;
        let uid = files.judge(tgid, file, Ok(status.effective_uid))?;
        facts.uid = Some(uid);
        facts.has_borrowed_ids = status.has_borrowed_ids;
        facts.username = self.users.name(uid);
        let cgroups = files.read(tgid, dir, cgroup::FILE, cgroup::parse_cgroup);
        facts.incomplete = cgroups.as_ref().is_err_and(is_failure);
        (facts.cgroups, facts.cgroups_by_id) = cgroups.unwrap_or_default();
        if self.wants_pods {
            self.name_container(files.host(), facts);
        }
        if self.wants_cwd {
            // A zombie has no working directory any more: then it is empty.
            let cwd = access.read_link_patiently(tgid, dir, c"cwd");
            facts.cwd = access.failures.soft(tgid, cwd).unwrap_or_default();
        }
        Ok(())
    }

    fn name_container(&mut self, host: &Host, facts: &mut Facts) {
        let Some(path) = container_path_within(&facts.cgroups, self.node.id()) else {
            return;
        };
        let is_in_pod = matches!(path.parent, Parent::Pod(_));
        facts.container = self.pods.find(path);
        let age_ns = host.now_ns().saturating_sub(facts.start_ns);
        facts.provisional = facts.container.is_none() && age_ns < SETTLING_NS && is_in_pod;
    }

    /// Facts of a process whose files do not answer, from `status` and `cgroup`, which wait for no lock that a process can hold.
    /// The task name takes the place of the arguments. `None` if the process is gone.
    pub(super) fn read_brief(&mut self, access: &mut ProcAccess, id: ProcessId) -> Option<Facts> {
        let dir = access.files.open(id.tgid).ok()?;
        let dir = dir.as_fd();
        let brief = access.owners.brief(dir)?;
        let cgroups = access
            .files
            .read(id.tgid, dir, cgroup::FILE, cgroup::parse_cgroup);
        let (cgroups, cgroups_by_id) = cgroups.unwrap_or_default();
        Some(Facts {
            tgid: id.tgid,
            start_ns: id.start_ns,
            parent: brief.parent,
            argv: [&brief.comm].into_iter().collect(),
            comm: brief.comm,
            uid: Some(brief.effective_uid),
            username: self.users.name(brief.effective_uid),
            cgroups,
            cgroups_by_id,
            incomplete: true,
            ..Facts::default()
        })
    }
}

/// Whether facts are missing. A kernel without control groups has no `cgroup`, and then nothing is missing.
fn is_failure(error: &ProcfsError) -> bool {
    match error {
        ProcfsError::Gone { .. } => false,
        ProcfsError::Io { source, .. } => source.kind() != std::io::ErrorKind::NotFound,
        _ => true,
    }
}
