//! The kernel's type information is damaged, another machine's, or lacks the types that the agent needs.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{NEEDED, ends, exit_hook, goes_on};
use crate::agent::Agent;
use crate::runner::table;
use crate::surroundings::{self, BTF, Surroundings};
use crate::tier::{ITERATOR, PROCFS, SWITCH, Tier};

table![
    damaged_or_foreign for NEEDED,
    without_a_member for NEEDED,
    without_a_function for NEEDED,
    with_a_function_that_programs_may_not_call for NEEDED,
    with_members_elsewhere for NEEDED,
];

/// A file in the place of the kernel's.
struct Types {
    _folder: TempDir,
    path: PathBuf,
}

impl Types {
    fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmlinux");
        fs::write(&path, bytes).unwrap();
        Self {
            _folder: folder,
            path,
        }
    }

    fn shown(&self) -> Surroundings {
        Surroundings {
            types: surroundings::Types::File(self.path.clone()),
            ..Surroundings::only_for(&ITERATOR)
        }
    }
}

fn of_this_kernel() -> Vec<u8> {
    fs::read(BTF.to_str().unwrap()).unwrap()
}

/// Where the strings begin: behind a header of `hdr_len` bytes, at `str_off`.
fn strings_at(raw: &[u8]) -> usize {
    let word = |at: usize| u32::from_ne_bytes(raw[at..at + 4].try_into().unwrap());
    usize::try_from(word(4) + word(16)).unwrap()
}

/// Where a name stands among the strings, as types refer to it.
fn name_at(raw: &[u8], name: &str) -> usize {
    let whole = [b"\0", name.as_bytes(), b"\0"].concat();
    let strings = &raw[strings_at(raw)..];
    let mut places = strings.windows(whole.len());
    1 + places.position(|bytes| bytes == whole).unwrap()
}

/// Changes the name, so that a search does not find it.
fn hide(raw: &mut [u8], name: &str) {
    let at = strings_at(raw) + name_at(raw, name);
    raw[at] = b'?';
}

/// The words that types are made of.
fn words(raw: &[u8]) -> Vec<u32> {
    let words = raw[..strings_at(raw)].chunks_exact(4);
    words
        .map(|word| u32::from_ne_bytes(word.try_into().unwrap()))
        .collect()
}

/// Where the type of this name and kind begins: its name, its kind and number of members, its size, its members.
fn type_at(raw: &[u8], name: &str, kind: u32) -> usize {
    let name = u32::try_from(name_at(raw, name)).unwrap();
    let words = words(raw);
    let mut pairs = words.windows(2);
    let is_it = |pair: &[u32]| pair[0] == name && pair[1] >> 24 & 0x1f == kind;
    4 * pairs.position(is_it).unwrap()
}

/// Where the offset of a member stands: behind its name and its type.
fn offset_at(raw: &[u8], structure: &str, member: &str) -> usize {
    const STRUCT: u32 = 4;
    let members = type_at(raw, structure, STRUCT) + 12;
    let name = u32::try_from(name_at(raw, member)).unwrap();
    let words = words(raw);
    let mut names = words[members / 4..].iter().step_by(3);
    members + 12 * names.position(|word| *word == name).unwrap() + 8
}

fn damaged_or_foreign(_: &'static Tier) {
    let raw = of_this_kernel();
    let types = 24..strings_at(&raw);
    let mut name_outside = raw.clone();
    // The first type's name, 40 bytes behind the end of the strings.
    let outside = u32::try_from(raw.len() - types.end + 40).unwrap();
    name_outside[24..28].copy_from_slice(&outside.to_ne_bytes());
    let mut kinds = raw.clone();
    kinds[types.start..types.start + 4096].fill(0xff);
    let other_order: Vec<u8> = raw[..24]
        .chunks(2)
        .flat_map(|pair| [pair[1], pair[0]])
        .chain(raw[24..].iter().copied())
        .collect();
    let mut program = Vec::new();
    let file = File::open("/proc/self/exe").unwrap();
    file.take(1 << 20).read_to_end(&mut program).unwrap();
    for (nth, (bytes, parts)) in [
        (&[][..], "not BTF"),
        (&raw[..20], "truncated or damaged at type 0"),
        (&raw[..raw.len() / 2], "truncated or damaged at type 0"),
        (&raw[..raw.len() - 1], "truncated or damaged at type 0"),
        (&name_outside, "truncated or damaged at type 1"),
        (&kinds, "truncated or damaged at type 1"),
        (&other_order, "not BTF"),
        (&program, "not BTF"),
    ]
    .into_iter()
    .enumerate()
    {
        let types = Types::of(bytes);
        let parts = ["/sys/kernel/btf/vmlinux", parts, "CONFIG_DEBUG_INFO_BTF"];
        goes_on(
            &Agent::start_in(types.shown(), &[]),
            (&PROCFS, "none"),
            &parts,
        );
        if nth == 0 {
            ends(types.shown(), &SWITCH, &parts);
        }
    }
    let endless = Types::of(&raw);
    set_length(&endless.path, 1 << 40);
    let agent = Agent::start_in(endless.shown(), &[]);
    goes_on(&agent, (&PROCFS, "none"), &["1099511627776 bytes"]);
}

fn set_length(path: &Path, length: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

/// Without a field that totals need, no kernel tier works; without others, their facts come from elsewhere, or are absent.
fn without_a_member(_: &'static Tier) {
    let mut raw = of_this_kernel();
    for name in ["read_bytes", "run_delay", "rlim", "total_vm", "arg_start"] {
        hide(&mut raw, name);
    }
    let agent = Agent::start_in(Types::of(&raw).shown(), &[]);
    goes_on(&agent, (&ITERATOR, exit_hook()), &[]);
    let samples = agent.scrape();
    for (fact, source) in [
        ("io", "absent"),
        ("run_queue_wait", "absent"),
        ("file_limit", "absent"),
        ("memory", "procfs"),
        ("faults", "bpf"),
    ] {
        let labels = [("fact", fact), ("source", source)];
        assert_eq!(
            samples.value("headcount_source_info", &labels),
            Some(1.0),
            "{labels:?}"
        );
    }
    for (name, field) in [
        ("sum_sched_runtime", "signal_runtime"),
        ("min_flt", "task_min_flt"),
    ] {
        let mut raw = of_this_kernel();
        hide(&mut raw, name);
        let types = Types::of(&raw);
        let parts = [&*format!("this kernel has no field {field}")];
        goes_on(
            &Agent::start_in(types.shown(), &[]),
            (&PROCFS, "none"),
            &parts,
        );
        ends(types.shown(), &ITERATOR, &parts);
    }
}

/// The names by which the agent finds functions for its hooks.
fn without_a_function(_: &'static Tier) {
    for (name, way, parts) in [
        ("release_task", (&ITERATOR, "free"), &[][..]),
        (
            "bpf_iter_task",
            (&SWITCH, exit_hook()),
            &["no task iterator"],
        ),
        (
            "btf_trace_sched_process_fork",
            (&PROCFS, "none"),
            &["sched_process_fork", "; trying /proc only"],
        ),
    ] {
        let mut raw = of_this_kernel();
        hide(&mut raw, name);
        goes_on(&Agent::start_in(Types::of(&raw).shown(), &[]), way, parts);
    }
}

/// The programs are loaded without the functions that disable preemption. On kernels before 6.14, which have none, the test
/// renames a function that the agent does not use, and nothing changes.
fn with_a_function_that_programs_may_not_call(_: &'static Tier) {
    let mut raw = of_this_kernel();
    let keeps = b"\0bpf_local_irq_save\0";
    let (name, parts) = match raw.windows(keeps.len()).any(|bytes| bytes == keeps) {
        true => (
            "bpf_local_irq_save",
            &["without the kernel functions that disable preemption"][..],
        ),
        false => ("yield", &[][..]),
    };
    const FUNCTION: u32 = 12;
    let [one, other] = [name, "schedule"].map(|name| type_at(&raw, name, FUNCTION));
    for nth in 0..4 {
        raw.swap(one + nth, other + nth);
    }
    let agent = Agent::start_in(Types::of(&raw).shown(), &[]);
    goes_on(&agent, (&ITERATOR, exit_hook()), parts);
}

/// Bytes that a file of the agent's may have. Read as time it is a second, more than any child of the self-test uses.
const READ_AS_TIME: u64 = 1 << 30;

/// Type information of another build: that limit is read for a run time. The self-test sees it.
fn with_members_elsewhere(_: &'static Tier) {
    let mut raw = of_this_kernel();
    let [here, there] =
        ["sum_sched_runtime", "rlim"].map(|member| offset_at(&raw, "signal_struct", member));
    // RLIMIT_FSIZE is 1; in bits, as members are.
    let limit = u32::from_ne_bytes(raw[there..there + 4].try_into().unwrap()) + 16 * 8;
    raw[here..here + 4].copy_from_slice(&limit.to_ne_bytes());
    let types = Types::of(&raw);
    let surroundings = Surroundings {
        file_size: Some(READ_AS_TIME),
        ..types.shown()
    };
    let agent = Agent::start_in(surroundings, &[]);
    agent.await_that(|samples| {
        match samples.the("headcount_self_test_state", &[("state", "failed")]) {
            1.0 => Ok(()),
            _ => Err("the self-test has not failed".to_owned()),
        }
    });
    let (status, reasons) = agent.health();
    assert_eq!(status, "degraded");
    assert!(
        reasons.iter().any(|reason| reason.contains("self-test")),
        "{reasons:?}"
    );
}
