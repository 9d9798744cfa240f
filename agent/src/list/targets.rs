//! `headcount targets`: the instances and external exporters that fan-in would ask now, with their sources, and the node's own
//! processes that it would not ask, with the reasons.
//!
//! In: the configuration, and the processes if an item has `scrape`. Out: one line for each instance of a file or a router and
//! for each such process, and remarks about omissions. Names that other users may choose are escaped, also in the remarks.

use std::sync::Arc;
use std::time::Instant;

use super::lines::lines;
use super::screen::shown;
use super::{Home, Machine, called};
use crate::config::{Config, FanInConfig};
use crate::group::{Classifier, Placement};
use crate::host::Host;
use crate::process::ProcessId;
use crate::targets::board::{GroupIdentity, ScrapedProcess};
use crate::targets::fan_in::node_survey::{SurveyedProcess, UNREADABLE, survey};
use crate::targets::fan_in::survey::{FanInSurvey, SurveyedEntry, url};

const HEAD: [&str; 6] = [
    "ROUTE",
    "ASKED AT",
    "APPLICATION",
    "FOUND BY",
    "UNTIL",
    "SOURCE",
];
/// Largest width of each column except the last, which takes the rest.
const WIDEST: [usize; 5] = [48, 64, 48, 16, 10];
/// Largest width of a remark.
const REMARK: usize = 1_000;

/// The instances in lines of `width` columns, and the remarks. `machine`: the processes, if an item has `scrape`.
pub fn targets(
    config: &Config,
    fan_in: &FanInConfig,
    machine: Option<(&Machine, &Classifier, &Host)>,
    width: usize,
) -> (String, Vec<String>) {
    let mut found = FanInSurvey::of(fan_in);
    if let Err(error) = found.ask(fan_in) {
        found
            .problems
            .push(format!("routers are not asked: {error}"));
    }
    let now = Instant::now();
    let entries = found.entries.iter().zip(found.urls(fan_in));
    let mut rows: Vec<[String; 6]> = entries.map(|(one, url)| of_entry(one, url, now)).collect();
    let mut remarks = found.problems;
    if let Some((machine, classifier, host)) = machine {
        let processes = ItemProcesses::of(machine, classifier);
        let surveyed = survey(host, processes.asked);
        let is_unreadable =
            |one: &&SurveyedProcess| one.instance.as_ref().err() == Some(&UNREADABLE);
        let unreadable = surveyed.iter().filter(is_unreadable).count();
        if unreadable > 0 {
            remarks.push(format!(
                "processes that cannot be looked into: {unreadable}; run as root, as an agent with CAP_SYS_PTRACE sees more"
            ));
        }
        if machine.unread > 0 {
            let unread = machine.unread;
            remarks.push(format!(
                "processes that could not be read and are left out: {unread}"
            ));
        }
        rows.extend(surveyed.iter().map(|one| of_process(one, machine, config)));
        let followers = processes.followers.iter();
        rows.extend(followers.map(|one| of_follower(*one, machine, config)));
        rows.sort_by(|a, b| a[0].cmp(&b[0]));
    }
    let exporters = fan_in.external_exporters.iter().map(|exporter| {
        let (url, source) = (
            exporter.url(),
            format!("external exporter {}", exporter.name),
        );
        let cells = ["*", &url, "each", "all", "always", &source];
        cells.map(str::to_owned)
    });
    let buses = fan_in.nats.iter().flat_map(|nats| &nats.servers);
    remarks.extend(buses.map(|server| {
        let url = server.url();
        format!("{url}: not asked; only an agent listens to it, and headcount_fan_in_entries counts what it has heard")
    }));
    let head = HEAD.map(str::to_owned);
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows)
        .chain(exporters)
        .map(Vec::from)
        .collect();
    let remarks = remarks.iter().map(|remark| shown(remark, REMARK));
    (lines(&rows, &WIDEST, width), remarks.collect())
}

fn of_entry(entry: &SurveyedEntry, url: String, now: Instant) -> [String; 6] {
    let application = &entry.instance.application;
    let names = [
        &application.organization_name,
        &application.space_name,
        &application.name,
    ];
    let names = names.into_iter().filter(|name| !name.is_empty());
    let names = names.map(String::as_str).collect::<Vec<_>>().join("/");
    [
        entry.route.clone(),
        url,
        if names.is_empty() {
            "-".to_owned()
        } else {
            names
        },
        entry.found_by().to_owned(),
        entry.until(now),
        entry.file.display().to_string(),
    ]
}

fn of_process(one: &SurveyedProcess, machine: &Machine, config: &Config) -> [String; 6] {
    let pid = one.process.id.tgid;
    let scrape = &one.process.scrape;
    let asked_at = one.instance.as_ref();
    let asked_at = asked_at.map_or_else(not_asked, |found| url(found, &scrape.path));
    let found_by = one.instance.as_ref().map_or("-", |_| "route, node");
    [
        one.process.group.name.clone(),
        asked_at,
        "-".to_owned(),
        found_by.to_owned(),
        "it ends".to_owned(),
        source(pid, machine, config),
    ]
}

fn of_follower((pid, group): (u32, &Placement), machine: &Machine, config: &Config) -> [String; 6] {
    [
        group.name.clone(),
        not_asked(&"not_its_item"),
        "-".to_owned(),
        "-".to_owned(),
        "it ends".to_owned(),
        source(pid, machine, config),
    ]
}

fn not_asked(why: &&str) -> String {
    format!("not asked: {why}")
}

/// The process, and the item that decides its group.
fn source(pid: u32, machine: &Machine, config: &Config) -> String {
    let comm = machine.processes.get(&pid).map(|one| &one.facts.comm[..]);
    let comm = String::from_utf8_lossy(comm.unwrap_or_default());
    let item = match machine.home(pid) {
        Home::Own(placement) => called(config, placement.item),
        Home::Of(ancestor, placement) => {
            format!("follows {ancestor} of {}", called(config, placement.item))
        }
        Home::Excluded(..) | Home::Nowhere => String::new(),
    };
    format!("process {pid} ({comm}), {item}")
}

/// The processes in groups of items with `scrape`.
struct ItemProcesses<'a> {
    /// Processes that the items match themselves.
    asked: Vec<ScrapedProcess>,
    /// Processes that are only in the group of an ancestor, and so are not asked.
    followers: Vec<(u32, &'a Placement)>,
}

impl<'a> ItemProcesses<'a> {
    fn of(machine: &'a Machine, classifier: &Classifier) -> Self {
        let scrapes = classifier.scrapes();
        let mut processes = Self {
            asked: Vec::new(),
            followers: Vec::new(),
        };
        for (pid, process) in &machine.processes {
            let (placement, is_own) = match machine.home(*pid) {
                Home::Own(placement) => (placement, true),
                Home::Of(_, placement) => (placement, false),
                Home::Excluded(..) | Home::Nowhere => continue,
            };
            let Some(Some((scrape, may_receive_credentials))) = scrapes.get(placement.item) else {
                continue;
            };
            if !is_own {
                processes.followers.push((*pid, placement));
                continue;
            }
            processes.asked.push(ScrapedProcess {
                id: ProcessId {
                    tgid: *pid,
                    start_ns: process.facts.start_ns,
                },
                group: Arc::new(GroupIdentity {
                    name: placement.name.clone(),
                    labels: placement.labels.clone(),
                }),
                scrape: Arc::clone(scrape),
                may_receive_credentials: *may_receive_credentials,
            });
        }
        processes
    }
}
