//! The rights that the agent gives up, seen from outside; and the facts that each set of capabilities gives.

use std::fs;
use std::path::Path;

use rustix::thread::CapabilitySet;

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::is_here;
use crate::program::{self, Program};
use crate::rights::Rights;
use crate::runner::table;
use crate::tier::{ALL, ITERATOR, PROCFS, Tier};

table![
    each_thread_keeps_only_what_it_needs for ALL,
    each_set_of_capabilities_gives_the_facts_in_the_table for WITH_TYPES,
    capabilities_work_however_they_are_given for WITH_TYPES,
];

/// Once, on kernels with type information: the descriptions of tracepoints are root's.
const WITH_TYPES: &[&Tier] = &[&ITERATOR];

const BPF: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);
const READING: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);

/// One thread, by its `status`.
#[derive(Debug)]
struct Thread {
    name: String,
    /// Effective and permitted.
    capabilities: [CapabilitySet; 2],
    is_filtered: bool,
    may_gain: bool,
}

impl Thread {
    /// `None`: it has ended meanwhile.
    fn of(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("status")).ok()?;
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap()
                .trim()
        };
        let set =
            |key| CapabilitySet::from_bits_retain(u64::from_str_radix(value(key), 16).unwrap());
        Some(Self {
            name: value("Name:").to_owned(),
            capabilities: [set("CapEff:"), set("CapPrm:")],
            is_filtered: value("Seccomp:") == "2",
            may_gain: value("NoNewPrivs:") != "1",
        })
    }

    fn all(pid: i32) -> Vec<Self> {
        let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        entries
            .filter_map(|entry| Self::of(&entry.unwrap().path()))
            .collect()
    }
}

fn each_thread_keeps_only_what_it_needs(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &["-gather-smaps"], None);
    let samples = agent.scrape();
    for side in ["http", "state", "targets"] {
        for step in ["no_new_privs", "capabilities", "seccomp"] {
            let labels = [("side", side), ("step", step)];
            assert_eq!(
                samples.the("headcount_sandbox_state", &labels),
                1.0,
                "{labels:?}"
            );
        }
    }
    let threads = Thread::all(agent.pid());
    // The kernel cuts names to 15 characters.
    for name in ["headcount-state", "headcount-targe"] {
        let runs = threads.iter().any(|thread| thread.name == name);
        assert!(runs, "{name}: {threads:?}");
    }
    for thread in threads {
        assert!(thread.is_filtered && !thread.may_gain, "{thread:?}");
        let kept = match thread.name.as_str() {
            "headcount" => CapabilitySet::empty(),
            "headcount-targe" | "headcount-find" => READING,
            // Kernels before 5.19 want it for each use of a map.
            _ if is_here() => READING.union(CapabilitySet::BPF),
            _ => READING,
        };
        let keeps_more = thread.capabilities.iter().any(|set| !kept.contains(*set));
        assert!(!keeps_more, "{thread:?}");
    }
}

/// The table of docs/security.md under "Capabilities": a row's first cell names the set, the others the facts that it gives.
fn each_set_of_capabilities_gives_the_facts_in_the_table(_: &'static Tier) {
    let document = include_str!("../../../../docs/security.md");
    let (_, table) = document.split_once("| capabilities | tier |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut tried = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let found = given_by(set_of(cells[0]));
        let mut expected: Vec<String> = cells[1..].iter().map(|cell| expected(cell)).collect();
        if expected[0] == ITERATOR.name {
            expected[0] = Tier::best().name.to_owned();
        }
        if is_here() {
            // There is no storage.
            expected[1] = "no".to_owned();
        }
        assert_eq!(found, expected, "{row}");
        tried += 1;
    }
    assert_eq!(tried, 6, "the table has another shape");
}

fn set_of(cell: &str) -> CapabilitySet {
    cell.split(", ")
        .filter(|name| *name != "none")
        .map(|name| CapabilitySet::from_name(name.strip_prefix("CAP_").unwrap()).unwrap())
        .collect()
}

/// A cell, as this kernel makes it true.
fn expected(cell: &str) -> String {
    match cell {
        "since 6.2" if tells_descriptors() => "yes".to_owned(),
        "since 6.2" => "no".to_owned(),
        cell => cell.trim_matches('`').to_owned(),
    }
}

/// Whether a process's number of descriptors can be had without listing them.
fn tells_descriptors() -> bool {
    fs::metadata("/proc/self/fd").unwrap().len() > 0
}

/// The facts that the user `nobody` with these capabilities gets of a process of root's: the cells of the table.
fn given_by(capabilities: CapabilitySet) -> Vec<String> {
    let program = Program::new("priv");
    let mut running = program.work();
    let config = format!(
        "process_names: [{{comm: [{0}], name: '{0}{{{{if .Cwd}}}} in its place{{{{end}}}}'}}, {{cmdline: ['.+'], name: rest}}]",
        program.name
    );
    let agent = Agent::start_as(
        &Rights::ambient(capabilities),
        &["-gather-smaps"],
        Some(&config),
    );
    let file = program::folder().join(format!("{}.data", program.name));
    running.ask(&format!("store 8388608 {}", file.display()));
    let samples = agent.await_that(smaps_are_read);
    let name = samples.groups_with_prefix(&program.name).remove(0);
    let group = samples.group(&name);
    assert_eq!(group.processes(), 1.0, "always there");
    assert!(
        group.labelled("memory_bytes", &[("memtype", "resident")]) > 0.0,
        "always there"
    );
    let mut wchans = samples.series("namedprocess_namegroup_threads_wchan");
    let has_wchan = wchans.any(|(labels, _)| labels.get("groupname") == Some(&name));
    let proportional = group.labelled("memory_bytes", &[("memtype", "proportionalResident")]);
    let has_cwd = name != program.name;
    // Kernels before 5.16 often show none to any reader.
    let wchan = fs::read_to_string(format!("/proc/{}/wchan", running.pid())).unwrap();
    assert_eq!(
        has_wchan,
        has_cwd && wchan != "0",
        "both want the right to trace"
    );
    let yes_or_no = |is_there: bool| if is_there { "yes" } else { "no" }.to_owned();
    vec![
        agent.tier().to_owned(),
        yes_or_no(group.value("write_bytes_total") > 0.0),
        yes_or_no(group.value("open_filedesc") > 0.0),
        yes_or_no(has_cwd),
        yes_or_no(proportional > 0.0),
    ]
}

/// Whether every process had its turn: processes that were never read come before the others.
fn smaps_are_read(samples: &Samples) -> Result<(), String> {
    let of = |family: &str| samples.the(&format!("headcount_smaps_{family}_total"), &[]);
    let (read, failed) = (of("readings"), of("failures"));
    let live = samples.the("headcount_processes", &[("state", "live")]);
    if read + failed >= 2.0 * live {
        return Ok(());
    }
    Err(format!("{read} read, {failed} failed, {live} live"))
}

/// As root of a container, out of the bounding set; as a user with the binary's own.
fn capabilities_work_however_they_are_given(_: &'static Tier) {
    let all = BPF.union(READING);
    for rights in [
        Rights::root_with(all),
        Rights::root_with(BPF),
        Rights::file(all),
        Rights::file(BPF),
    ] {
        let agent = Agent::start_as(&rights, &[], None);
        assert_eq!(agent.tier(), Tier::best().name, "{rights:?}");
    }
    let agent = Agent::start_as(&Rights::root_with(READING), &[], None);
    assert_eq!(agent.tier(), PROCFS.name);
}
