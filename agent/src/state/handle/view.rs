//! The data of the page. The state thread fills these types for each question.
//!
//! They are the JSON of `/api/groups` and `/api/processes`, field by field. Times are seconds on the clock that
//! counts since the node booted. Counters only rise while `since` stays the same. Values that the node cannot provide
//! are `null`.

use serde::Serialize;

use super::{Health, Shown};

/// Most groups in one answer; [`Overview::groups_omitted`] counts the rest.
pub const MOST_GROUPS: usize = 1024;
/// Most processes in one answer; [`Processes::omitted`] counts the rest.
pub const MOST_PROCESSES: usize = 200;

/// The node and its groups, after a pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// When that pass began.
    pub time: f64,
    /// When counting began: all counters of the groups were 0 then.
    pub since: f64,
    /// When the node booted, in seconds since the epoch.
    pub boot_time: f64,
    /// The tier that accounts for processes.
    pub tier: &'static str,
    /// The kernel hook that delivers final totals; `None` without kernel programs.
    pub exit_hook: Option<&'static str>,
    /// The content of `/health`.
    pub health: Health,
    /// Live processes of the node, including those in no group.
    pub processes: u64,
    /// Whether `/api/processes` includes command lines.
    pub shows_cmdline: bool,
    /// The groups, those with most CPU time first.
    pub groups: Vec<GroupRow>,
    /// Number of groups left out because there are more than [`MOST_GROUPS`].
    pub groups_omitted: u64,
    /// Applications of Gunicorn, by name; their number is bounded where they are followed.
    pub gunicorn: Vec<GunicornRow>,
}

/// One application of Gunicorn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GunicornRow {
    /// Its name.
    pub name: Shown,
    /// Living workers.
    pub workers: u64,
    /// Those of them with a request in flight; `None` if requests are not counted.
    pub busy: Option<u64>,
    /// CPU use of its workers in the last 10 s or more, percent of one core.
    pub cpu_percent: f64,
    /// Resident memory of its workers now.
    pub resident_bytes: u64,
    /// Workers that were started.
    pub starts: Option<u64>,
    /// Workers that ended otherwise than by exit code 0.
    pub bad_ends: Option<u64>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupRow {
    /// The group's id; no other group of this run has it.
    pub id: u64,
    /// The value of the label `groupname`.
    pub name: Shown,
    /// The other labels in the format of Prometheus, without the braces; empty if there are none.
    pub labels: Shown,
    /// Live processes, including zombies.
    pub processes: u64,
    /// Threads of these processes.
    pub threads: u64,
    /// CPU time of the group, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// Bytes read from storage.
    pub read_bytes: Option<u64>,
    /// Bytes written to storage.
    pub write_bytes: Option<u64>,
    /// Processes created by fork.
    pub forks: Option<u64>,
    /// Programs started by exec.
    pub execs: Option<u64>,
    /// Payload sent, in bytes: TCP, and UDP if it is counted. Like the next two, `None` for a group without sockets.
    pub sent_bytes: Option<u64>,
    /// Payload received, in bytes.
    pub received_bytes: Option<u64>,
    /// Established TCP connections now.
    pub tcp_connections: Option<u64>,
    /// HTTP requests answered or aborted; like the next one, `None` for a group whose requests are not counted.
    pub requests: Option<u64>,
    /// Those of them that were answered with a status from 500 on, or aborted.
    pub failed_requests: Option<u64>,
}

/// The processes of one group, as of the last pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Processes {
    /// The id of the group.
    pub group: u64,
    /// When that pass began.
    pub time: f64,
    /// The processes, those with most CPU time since their start first.
    pub processes: Vec<ProcessRow>,
    /// Number of processes left out because there are more than [`MOST_PROCESSES`].
    pub omitted: u64,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessRow {
    /// The process id.
    pub pid: u32,
    /// Name of its effective user; `None` if it could not be read, for example because the process has exited.
    pub user: Option<Shown>,
    /// Its task name (comm); `None` as above.
    pub comm: Option<Shown>,
    /// CPU time since the start of the process, including the time before the agent's start.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// Number of threads.
    pub threads: u32,
    /// When the process started.
    pub started: f64,
    /// Why it is in this group.
    pub placed: Placed,
    /// Its arguments, joined with spaces. Absent unless command lines are shown; `None` if they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<Option<Shown>>,
}

/// Why a process is in its group.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Placed {
    /// It matches an item of the configuration.
    Item {
        /// The item's position, from 1.
        item: usize,
        /// The item's name template as written in the configuration; `None` if the names come from the command line.
        template: Option<Shown>,
        /// Whether the item, or the agent, has reached its limit of groups, so that this is the overflow group.
        overflowed: bool,
    },
    /// It matches no item, and its parent is in the group.
    Parent {
        /// The parent's process id.
        pid: u32,
    },
    /// It matches no item, and an ancestor that is no longer its parent is, or was, in the group.
    Ancestor,
}
