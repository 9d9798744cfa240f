//! The state's part of the page: groups, and the processes of one group.

use std::cmp::Reverse;

use super::Pipeline;
use super::handle::{
    GroupRow, GunicornRow, Health, MOST_GROUPS, MOST_PROCESSES, Overview, Placed, ProcessRow,
    Processes, Shown,
};
use crate::group::{Classifier, Group, GroupNetwork, Grouper};
use crate::gunicorn::{GunicornView, GunicornWatch, WorkerEnd};
use crate::process::{Delta, Live, ProcessId, Table};
use crate::source::{Fact, SourceStatistics};

const NANOSECONDS: f64 = 1e9;

/// The node and its groups as of the last pass.
pub(super) fn overview(
    pipeline: &Pipeline,
    statistics: &SourceStatistics,
    health: Health,
    shows_cmdline: bool,
) -> Overview {
    let (groups, groups_omitted) = rows(pipeline.grouper.groups(), statistics);
    let gunicorn = pipeline.gunicorn.as_ref().map(GunicornWatch::view);
    Overview {
        time: seconds(pipeline.notes.last_ns.unwrap_or_default()),
        since: seconds(pipeline.notes.began_ns),
        boot_time: pipeline.host.boot_time as f64,
        tier: statistics.tier.word(),
        exit_hook: statistics.exit_hook.map(|hook| hook.word()),
        processes: pipeline.table.statistics().live,
        shows_cmdline,
        groups,
        groups_omitted,
        gunicorn: gunicorn.map_or_else(Vec::new, |view| applications(view, statistics)),
        health,
    }
}

/// The processes of a group as of the last pass; `None` if there is no such group.
pub(super) fn processes(
    pipeline: &mut Pipeline,
    classifier: &Classifier,
    group: u64,
    shows_cmdline: bool,
) -> Option<Processes> {
    let Pipeline {
        observer,
        table,
        grouper,
        notes,
        ..
    } = pipeline;
    grouper.groups().iter().find(|one| one.id == group)?;
    let members = Members {
        table,
        grouper,
        classifier,
    };
    let (mut found, omitted) = members.rows(group);
    observer.begin_view();
    for (id, row) in &mut found {
        // A process that has ended since, or that cannot be read, is shown without names.
        let seen = observer.appearance(*id, shows_cmdline).ok();
        let argv = seen.as_ref().and_then(|seen| seen.argv.as_ref());
        row.cmdline = shows_cmdline.then(|| argv.map(|argv| Shown::of_bytes(&argv.joined())));
        if let Some(seen) = seen {
            row.comm = Some(Shown::of_bytes(&seen.comm));
            row.user = Some(Shown::of(&seen.username)).filter(|_| !seen.username.is_empty());
        }
    }
    Some(Processes {
        group,
        time: seconds(notes.last_ns.unwrap_or_default()),
        processes: found.into_iter().map(|(_, row)| row).collect(),
        omitted,
    })
}

/// Live processes and their groups.
struct Members<'a> {
    table: &'a Table,
    grouper: &'a Grouper,
    classifier: &'a Classifier,
}

impl Members<'_> {
    /// The members of a group that used the most CPU time, without names, and the number of members left out.
    fn rows(&self, group: u64) -> (Vec<(ProcessId, ProcessRow)>, u64) {
        let members = self.table.live();
        let members = members.filter(|process| self.group_of(process) == Some(group));
        let mut members: Vec<Live<'_>> = members.collect();
        members.sort_by_key(|process| Reverse(cpu_ns(&process.used())));
        let omitted = members.len().saturating_sub(MOST_PROCESSES) as u64;
        members.truncate(MOST_PROCESSES);
        let rows = members
            .iter()
            .map(|process| (process.id(), self.row(process)));
        (rows.collect(), omitted)
    }

    fn group_of(&self, process: &Live<'_>) -> Option<u64> {
        Some(self.grouper.group_of(process.account())?.id)
    }

    fn row(&self, process: &Live<'_>) -> ProcessRow {
        ProcessRow {
            pid: process.id().tgid,
            user: None,
            comm: None,
            cpu_seconds: seconds(cpu_ns(&process.used())),
            resident_bytes: process.memory().resident_bytes,
            threads: process.threads(),
            started: seconds(process.start_ns()),
            placed: self.placed(process),
            cmdline: None,
        }
    }

    fn placed(&self, process: &Live<'_>) -> Placed {
        let account = process.account();
        if let Some(item) = self.grouper.item_of(account) {
            let group = self.grouper.group_of(account);
            return Placed::Item {
                item: item + 1,
                template: self.classifier.template(item).map(Shown::of),
                overflowed: group.is_some_and(|group| group.item.is_none()),
            };
        }
        let parent = self.table.live_one(process.parent());
        let is_with = |parent: &Live<'_>| self.group_of(parent) == self.group_of(process);
        match parent.filter(is_with) {
            Some(parent) => Placed::Parent {
                pid: parent.id().tgid,
            },
            None => Placed::Ancestor,
        }
    }
}

/// The groups with the most CPU time, and the number of groups left out.
fn rows(groups: &[Group], statistics: &SourceStatistics) -> (Vec<GroupRow>, u64) {
    let mut shown: Vec<&Group> = groups.iter().collect();
    shown.sort_by_key(|group| Reverse(cpu_ns(&group.total.delta)));
    shown.truncate(MOST_GROUPS);
    let omitted = groups.len() - shown.len();
    let rows = shown.into_iter().map(|group| row(group, statistics));
    (rows.collect(), omitted as u64)
}

fn row(group: &Group, statistics: &SourceStatistics) -> GroupRow {
    let (delta, lifecycle) = (&group.total.delta, &group.total.lifecycle);
    let labels = group.labels.iter();
    let labels = labels.map(|(name, value)| format!("{name}=\"{value}\""));
    let network = group.network.as_deref();
    let payload = network.map(|network| network.total.payload());
    let io = delta.io().filter(|_| statistics.has(Fact::Io));
    let served = group.served().filter(|_| statistics.has(Fact::Http));
    GroupRow {
        id: group.id,
        name: Shown::of(&group.name),
        labels: Shown::of(&labels.collect::<Vec<_>>().join(",")),
        processes: group.gauges.processes,
        threads: group.gauges.threads,
        cpu_seconds: seconds(cpu_ns(delta)),
        resident_bytes: group.gauges.resident_bytes,
        read_bytes: io.map(|io| io.read_bytes),
        write_bytes: io.map(|io| io.write_bytes),
        forks: statistics.has(Fact::Lifecycle).then_some(lifecycle.forks),
        execs: statistics.has(Fact::Lifecycle).then_some(lifecycle.execs),
        sent_bytes: payload.map(|payload| payload.sent_bytes),
        received_bytes: payload.map(|payload| payload.received_bytes),
        tcp_connections: network.map(GroupNetwork::connections),
        requests: served.map(|served| served.ended()),
        failed_requests: served.map(|served| served.failed()),
    }
}

fn applications(view: &GunicornView, statistics: &SourceStatistics) -> Vec<GunicornRow> {
    let has_requests = statistics.has(Fact::Http);
    let rows = view.applications.iter().map(|app| {
        let workers = || view.workers.iter().filter(|worker| worker.app == app.name);
        let ends = WorkerEnd::ALL.into_iter().zip(app.ends);
        let bad_ends = ends.filter(|((end, _), _)| *end != WorkerEnd::Exit);
        let bad_ends = bad_ends.map(|(_, count)| count).sum();
        GunicornRow {
            name: Shown::of(&app.name),
            workers: app.workers,
            busy: app.busy.filter(|_| has_requests),
            cpu_percent: workers().map(|worker| worker.cpu_percent).sum(),
            resident_bytes: workers().map(|worker| worker.memory_bytes).sum(),
            starts: statistics.has(Fact::Lifecycle).then_some(app.starts),
            bad_ends: statistics.has(Fact::ExitStatus).then_some(bad_ends),
        }
    });
    rows.collect()
}

const fn cpu_ns(delta: &Delta) -> u64 {
    delta.user_ns.saturating_add(delta.system_ns)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / NANOSECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gunicorn::{ApplicationRow, WorkerRow};
    use crate::process::{NetworkCounters, SCOPE_LOOPBACK, SCOPE_REMOTE, Tally};
    use crate::source::Origin;

    fn group(id: u64) -> Group {
        let delta = Delta {
            user_ns: id * 1_000_000_000,
            read_bytes: 5,
            ..Delta::default()
        };
        Group {
            id,
            total: Tally {
                delta,
                ..Tally::default()
            },
            ..Group::default()
        }
    }

    #[test]
    fn groups_beyond_the_limit_are_counted_and_the_busiest_shown() {
        let groups: Vec<Group> = (0..1030).map(group).collect();
        let (rows, omitted) = rows(&groups, &SourceStatistics::default());
        assert_eq!((rows.len(), omitted), (MOST_GROUPS, 6));
        assert_eq!((rows[0].id, rows[0].cpu_seconds), (1029, 1029.0));
        assert!(rows.iter().all(|row| row.id >= 6));
    }

    #[test]
    fn facts_without_a_source_are_absent_from_the_row() {
        let known = SourceStatistics {
            facts: vec![
                (Fact::Io, Origin::Procfs),
                (Fact::Lifecycle, Origin::Absent),
            ],
            ..SourceStatistics::default()
        };
        let row = row(&group(1), &known);
        assert_eq!((row.read_bytes, row.forks), (Some(5), None));
        assert_eq!((row.sent_bytes, row.tcp_connections), (None, None));
    }

    #[test]
    fn application_has_the_sums_of_its_workers_and_its_known_facts() {
        let known = SourceStatistics {
            facts: vec![
                (Fact::ExitStatus, Origin::Bpf),
                (Fact::Lifecycle, Origin::Absent),
                (Fact::Http, Origin::Absent),
            ],
            ..SourceStatistics::default()
        };
        let worker = |app: &str| WorkerRow {
            app: app.into(),
            worker_id: "worker_7_9".into(),
            pid: "7".to_owned(),
            memory_bytes: 1024,
            cpu_ns: 1,
            cpu_percent: 12.5,
            uptime_ns: 1,
            served: None,
        };
        let app = ApplicationRow {
            name: "shop".into(),
            busy: Some(1),
            workers: 2,
            starts: 21,
            ends: [1, 2, 3, 4, 5, 6],
            start_ns: None,
        };
        let view = GunicornView {
            applications: vec![app],
            workers: vec![worker("other"), worker("shop"), worker("shop")],
            ..GunicornView::default()
        };
        let rows = applications(&view, &known);
        let expected = GunicornRow {
            name: Shown::of("shop"),
            workers: 2,
            busy: None,
            cpu_percent: 25.0,
            resident_bytes: 2048,
            starts: None,
            bad_ends: Some(20),
        };
        assert_eq!(rows, [expected]);
    }

    #[test]
    fn row_of_a_group_with_sockets_has_both_scopes() {
        let mut network = GroupNetwork::default();
        for scope in [SCOPE_LOOPBACK, SCOPE_REMOTE].map(|scope| scope as usize) {
            let carried = NetworkCounters {
                sent_bytes: 4,
                received_bytes: 5,
                ..NetworkCounters::default()
            };
            network.total.put(scope, &carried);
            network.living[scope].established = 3;
        }
        let group = Group {
            network: Some(Box::new(network)),
            ..group(1)
        };
        let row = row(&group, &SourceStatistics::default());
        let shown = [row.sent_bytes, row.received_bytes, row.tcp_connections];
        assert_eq!(shown, [Some(8), Some(10), Some(6)]);
    }
}
