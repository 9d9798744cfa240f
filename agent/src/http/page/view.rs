//! What the page shows: filled by the owner of the state, once for each question.
//!
//! These types are the JSON of `/api/groups` and `/api/processes`, field by field. Times are seconds on the clock that counts
//! since the node booted; counters only rise while `since` stays the same. What the node cannot tell is `null`.

use serde::Serialize;

use super::Shown;
use crate::http::Health;

/// Groups in one answer; the rest is counted in [`Overview::groups_omitted`].
pub const MOST_GROUPS: usize = 1024;
/// Processes in one answer; the rest is counted in [`Processes::omitted`].
pub const MOST_PROCESSES: usize = 200;

/// The node and its groups, after a look at all processes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// When that look began.
    pub time: f64,
    /// When counting began: all counters of groups were 0 then.
    pub since: f64,
    /// When the node booted, seconds since the epoch.
    pub boot_time: f64,
    /// How processes are accounted for.
    pub tier: &'static str,
    /// Where final totals come from; `None` without kernel programs.
    pub rung: Option<&'static str>,
    /// What `/health` says.
    pub health: Health,
    /// Live processes of the node, those in no group included.
    pub processes: u64,
    /// Whether `/api/processes` tells command lines.
    pub shows_cmdline: bool,
    /// Those that used most CPU time first.
    pub groups: Vec<GroupRow>,
    /// Groups left out, because there are more than [`MOST_GROUPS`].
    pub groups_omitted: u64,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupRow {
    /// Its number, of no other group of this run.
    pub id: u64,
    /// The label `groupname`.
    pub name: Shown,
    /// Its other labels as Prometheus writes them, but for the braces; empty for none.
    pub labels: Shown,
    /// Live processes, zombies included.
    pub processes: u64,
    /// Their threads.
    pub threads: u64,
    /// CPU time.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// Bytes fetched from storage.
    pub read_bytes: Option<u64>,
    /// Bytes sent to storage.
    pub write_bytes: Option<u64>,
    /// Processes forked.
    pub forks: Option<u64>,
    /// Programs started.
    pub execs: Option<u64>,
}

/// The processes of one group, as the last look at the node saw them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Processes {
    /// Its number.
    pub group: u64,
    /// When that look began.
    pub time: f64,
    /// Those that used most CPU time in their lives first.
    pub processes: Vec<ProcessRow>,
    /// Processes left out, because there are more than [`MOST_PROCESSES`].
    pub omitted: u64,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessRow {
    /// Its number.
    pub pid: u32,
    /// Name of its effective user; `None` where unreadable, as when it ended since.
    pub user: Option<Shown>,
    /// Its task name; `None` as above.
    pub comm: Option<Shown>,
    /// CPU time since its start, also before the agent's.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u32,
    /// When it started.
    pub started: f64,
    /// What put it into the group.
    pub placed: Placed,
    /// Its arguments with blanks between them; absent unless they are shown, `None` where unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<Option<Shown>>,
}

/// What put a process into its group.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Placed {
    /// An item of the configuration that it matches.
    Item {
        /// Its number, from 1.
        item: usize,
        /// Its name template as it stands there; `None` for names of the command line.
        template: Option<Shown>,
        /// The item, or the agent, may make no further groups, and this is the one for the rest.
        overflowed: bool,
    },
    /// It matches nothing, and its parent is in the group.
    Parent {
        /// The parent's number.
        pid: u32,
    },
    /// It matches nothing, and an ancestor that is not its parent any more is, or was, in the group.
    Ancestor,
}
