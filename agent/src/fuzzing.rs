//! The fuzz targets: one function for each kind of bytes that come from outside. Each asserts what must hold of every
//! input.
//!
//! Compiled only for tests and for `agent/fuzz`; not part of the agent. The functions stand beside the code that they
//! test, in files called `fuzzing.rs`, so that nothing has to be public for them. `cargo test` runs every input of
//! the corpora, too: an input that fuzzing finds is kept by adding it there.

use crate::{check, config, exposition, group, http, merge, process, source, targets};

/// Panics if an assertion does not hold for the input.
pub type Target = fn(&[u8]);

/// All targets. A row here, a binary in `agent/fuzz` and a folder of the same name in the corpus belong together.
pub const TARGETS: &[(&str, Target)] = &[
    ("btf", source::bpf::fuzzing::btf),
    ("cgroup_path", group::fuzzing::cgroup_path),
    ("command_line", config::fuzzing::command_line),
    ("configuration", check::fuzzing::configuration),
    ("exposition", exposition::fuzzing::exposition),
    ("fan_in_file_sd", targets::fuzzing::fan_in_file_sd),
    ("fan_in_nats", targets::fuzzing::fan_in_nats),
    ("fan_in_network", targets::fuzzing::fan_in_network),
    ("fan_in_routes", targets::fuzzing::fan_in_routes),
    ("gunicorn_control", targets::fuzzing::gunicorn_control),
    ("history", source::bpf::fuzzing::history),
    ("http", http::fuzzing::http),
    ("iterator", source::bpf::fuzzing::iterator),
    ("merge", merge::fuzzing::merge_bodies),
    ("nats_server", targets::fuzzing::nats_server),
    ("network", process::owners::fuzzing::network),
    ("node_files", source::fuzzing::node_files),
    ("passenger_json", targets::fuzzing::passenger_json),
    ("passenger_pool", targets::fuzzing::passenger_pool),
    ("proc_cgroup", source::procfs::fuzzing::cgroup),
    ("proc_cmdline", source::procfs::fuzzing::cmdline),
    ("proc_lines", source::procfs::fuzzing::lines),
    ("proc_stat", source::procfs::fuzzing::stat),
    ("records", source::bpf::fuzzing::records),
    ("regexp", group::fuzzing::regexp),
    ("requests", process::fuzzing::requests),
    ("template", group::fuzzing::template),
    ("time", group::fuzzing::time),
    ("web_configuration", config::fuzzing::web_configuration),
];

/// Runs the target called `name`.
///
/// # Panics
/// If an assertion does not hold for `input`, or there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.expect("a target of the table");
    target(input);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder);
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn stems(folder: &Path) -> BTreeSet<String> {
        let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        files(folder).iter().map(stem).collect()
    }

    #[test]
    fn each_target_has_a_binary_and_a_corpus() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(stems(&fuzz.join("fuzz_targets")), names);
        assert_eq!(stems(&fuzz.join("corpus")), names);
    }

    #[test]
    fn the_corpora_hold() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut broken = Vec::new();
        for (name, target) in TARGETS {
            let inputs = files(&corpus.join(name));
            assert!(!inputs.is_empty(), "{name} has no input");
            for path in inputs {
                let input = std::fs::read(&path).unwrap();
                if std::panic::catch_unwind(|| target(&input)).is_err() {
                    broken.push(path);
                }
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
    }
}
