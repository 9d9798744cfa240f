//! Reads the facts of one process that selectors and name templates use.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Error, Procfs, Stat, cgroup, cmdline, stat, status};
use crate::process::{Arguments, Facts, Parent, ProcessId, container_path_within};

/// Age up to which a process of a pod may wait for the name of its container, nanoseconds. The kubelet links the log of a
/// container just after it has started it.
const SETTLING_NS: u64 = 10_000_000_000;

impl Procfs {
    /// Names and owner of a process: comm and parent from `stat`, `cmdline`, effective uid from `status`, `cgroup`, and, where
    /// they are wanted ([`Procfs::with_cwd`], [`Procfs::with_pods`]), `cwd` and the names of the pod.
    ///
    /// `start_ns` is the start of the wanted process, exact to the nanosecond or to the tick; [`Facts::start_ns`] then has this
    /// value. With `None`, the wanted process is the one that has the number now. An unreadable `cgroup` makes `cgroups` empty
    /// and the facts incomplete, but is no error; an unreadable `cwd` is a partial error. An exec while the files are read shows
    /// as a changed comm; the files are then read once more.
    ///
    /// # Errors
    /// [`Error::Gone`] if the process ended or another one has its number, before or after the reading; any other error if
    /// `stat`, `cmdline` or `status` cannot be read, which counts as a read error.
    pub fn facts(&mut self, tgid: u32, start_ns: Option<u64>) -> Result<Facts, Error> {
        self.facts_within(tgid, start_ns, Arguments::MAX_BYTES)
    }

    /// Like [`Procfs::facts`], with at most so many bytes of arguments; fewer than [`Arguments::MAX_BYTES`] cost less.
    ///
    /// # Errors
    /// As [`Procfs::facts`].
    pub fn facts_within(
        &mut self,
        tgid: u32,
        start_ns: Option<u64>,
        argv_bytes: usize,
    ) -> Result<Facts, Error> {
        let result = self.read_facts(tgid, start_ns, argv_bytes);
        self.hard(result)
    }

    fn read_facts(
        &mut self,
        tgid: u32,
        start_ns: Option<u64>,
        argv_bytes: usize,
    ) -> Result<Facts, Error> {
        let tick_ns = self.host.tick_ns;
        let dir = self.open(tgid)?;
        let dir = dir.as_fd();
        let (before, comm) = self.read_stat_and_comm(tgid, dir)?;
        if start_ns.is_some_and(|start_ns| start_ns / tick_ns != before.start_ticks) {
            return Err(Error::Gone { tgid });
        }
        let mut facts = Facts {
            tgid,
            start_ns: start_ns.unwrap_or(before.start_ticks.saturating_mul(tick_ns)),
            parent: before.parent,
            comm,
            ..Facts::default()
        };
        for _ in 0..2 {
            self.read_around(tgid, dir, argv_bytes, &mut facts)?;
            let (after, comm) = self.read_stat_and_comm(tgid, dir)?;
            if after.start_ticks != before.start_ticks {
                return Err(Error::Gone { tgid });
            }
            if comm == facts.comm {
                break;
            }
            facts.comm = comm;
        }
        Ok(facts)
    }

    fn read_around(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        argv_bytes: usize,
        facts: &mut Facts,
    ) -> Result<(), Error> {
        facts.argv = self.read_patiently(tgid, dir, cmdline::file(argv_bytes), |bytes| {
            Some(Arguments::of_beginning(bytes, argv_bytes))
        })?;
        let (file, _) = status::FILE;
        let status = self.read(tgid, dir, status::FILE, status::parse_status)?;
        let uid = self.judge(tgid, file, Ok(status.effective_uid))?;
        facts.uid = Some(uid);
        facts.username = self.users.name(uid);
        let cgroups = self.read(tgid, dir, cgroup::FILE, cgroup::parse_cgroup);
        facts.incomplete = cgroups.as_ref().is_err_and(is_failure);
        (facts.cgroups, facts.cgroups_by_id) = cgroups.unwrap_or_default();
        self.name_container(facts);
        if self.wants_cwd {
            facts.cwd = self.read_cwd(tgid, dir).unwrap_or_default();
        }
        Ok(())
    }

    /// Facts of a process whose files do not answer, from `status` and `cgroup`, which wait for no lock that a process can hold.
    /// The task name takes the place of the arguments. `None` if the process is gone.
    pub fn brief_facts(&mut self, id: ProcessId) -> Option<Facts> {
        let dir = self.open(id.tgid).ok()?;
        let brief = self.owners.brief(dir.as_fd())?;
        let cgroups = self.read(id.tgid, dir.as_fd(), cgroup::FILE, cgroup::parse_cgroup);
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

    fn name_container(&mut self, facts: &mut Facts) {
        if !self.wants_pods {
            return;
        }
        let Some(path) = container_path_within(&facts.cgroups, self.pods.node()) else {
            return;
        };
        let is_in_pod = matches!(path.parent, Parent::Pod(_));
        facts.container = self.pods.find(path);
        let age_ns = self.host.now_ns().saturating_sub(facts.start_ns);
        facts.provisional = facts.container.is_none() && age_ns < SETTLING_NS && is_in_pod;
    }

    fn read_cwd(&mut self, tgid: u32, dir: BorrowedFd<'_>) -> Result<Vec<u8>, Error> {
        let link = self.patient.read_link(&mut self.owners, tgid, dir, c"cwd");
        let result = match link {
            // A zombie has no working directory any more.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map_err(|source| self.failure(tgid, c"cwd", source)),
        };
        self.soft(tgid, result)
    }

    fn read_stat_and_comm(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
    ) -> Result<(Stat, Vec<u8>), Error> {
        self.read_patiently(tgid, dir, stat::FILE, |bytes| {
            Some((stat::parse_stat(bytes)?, stat::parse_comm(bytes)?.to_vec()))
        })
    }
}

/// Whether facts are missing. A kernel without control groups has no `cgroup`, and then nothing is missing.
fn is_failure(error: &Error) -> bool {
    match error {
        Error::Gone { .. } => false,
        Error::Io { source, .. } => source.kind() != std::io::ErrorKind::NotFound,
        _ => true,
    }
}
