//! The import table of docs/dev/architecture.md, held against `agent/src`.
//!
//! A change that needs another edge is a design change: the commit that widens a table says why. `lib.rs` and `main.rs`
//! compose and may name everything; tests may too.

use std::path::Path;

use super::lexer::Token;
use super::paths::{CratePath, crate_paths, module_of, paths_through, tree};
use super::sources::Source;

/// Who may import whom. `a::b` on the right means: of `a` only what its module `b` defines.
const MODULES: &[(&str, &[&str])] = &[
    ("config", &["go"]),
    ("go", &[]),
    ("host", &[]),
    ("process", &[]),
    ("exposition", &[]),
    ("group", &["process", "config", "go"]),
    ("source", &["process", "host"]),
    (
        "collector",
        &[
            "process",
            "group",
            "exposition",
            "config",
            "host",
            "source::statistics",
        ],
    ),
    ("http", &["exposition", "config", "state::handle"]),
    ("sandbox", &[]),
    ("check", &["config", "group"]),
    ("list", &["config", "group", "process", "source"]),
    (
        "state",
        &[
            "process",
            "group",
            "source",
            "collector",
            "config",
            "host",
            "sandbox",
            "runtime",
        ],
    ),
    (
        "partial",
        &["state", "process", "group", "source", "collector", "http"],
    ),
    ("runtime", &["host"]),
];

/// Crates that only these parts of the tree may name.
const CRATES: &[(&str, &[&str])] = &[
    ("aya", &["source/bpf"]),
    ("aya_log", &["source/bpf"]),
    ("aya_obj", &["source/bpf"]),
    ("agent_common", &["source"]),
    ("bcrypt", &["http/web"]),
    ("socket2", &["http/listener"]),
    ("landlock", &["sandbox"]),
    ("rustix", &["http/listener", "sandbox"]),
    ("seccompiler", &["sandbox"]),
    ("tokio_rustls", &["http"]),
    ("webpki", &["http/web"]),
];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let Ok(file) = source.path.strip_prefix("agent/src") else {
            continue;
        };
        let module = module_of(file);
        if let Some(top) = module.first() {
            let found = foreign(file, &source.tokens).chain(edges(source, top, &module, sources));
            let path = source.path.display();
            findings.extend(found.map(|(line, what)| format!("{path}:{line}: {what}")));
        }
    }
    findings
}

/// What a file names of other modules and may not: line and reason.
fn edges(
    source: &Source,
    top: &str,
    module: &[String],
    sources: &[Source],
) -> Vec<(usize, String)> {
    let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == top) else {
        return vec![(1, format!("module `{top}` is not in the import table"))];
    };
    let permits = |path: &CratePath| {
        let mut rules = allowed.iter();
        rules.any(|rule| permits(rule, &path.segments, sources))
    };
    let rules = match allowed {
        [] => "nothing of ours".to_owned(),
        _ => allowed.join(", "),
    };
    crate_paths(&source.tokens, module)
        .into_iter()
        .filter(|path| path.segments.first().is_none_or(|first| first != top))
        .filter(|path| !permits(path))
        .filter(|path| match path.segments.as_slice() {
            // `use crate::source;` is as good as what the file then takes of it.
            [whole] => {
                let taken = paths_through(whole, &source.tokens);
                taken.is_empty() || !taken.iter().all(permits)
            }
            _ => true,
        })
        .map(|path| {
            let name = path.segments.join("::");
            let what = format!("`{top}` imports `{name}`; it may import {rules}");
            (path.line, what)
        })
        .collect()
}

/// Crates named outside their part of the tree.
fn foreign(file: &Path, tokens: &[Token]) -> impl Iterator<Item = (usize, String)> {
    tokens.iter().filter_map(move |token| {
        let (name, homes) = CRATES.iter().find(|(name, _)| *name == token.text)?;
        let module = file.with_extension("");
        let is_in = |home: &&str| file.starts_with(home) || module == Path::new(home);
        (!homes.iter().any(is_in)).then(|| {
            let what = format!("`{name}` belongs into {} only", homes.join(" and "));
            (token.line, what)
        })
    })
}

fn permits(rule: &str, segments: &[String], sources: &[Source]) -> bool {
    let Some((module, part)) = rule.split_once("::") else {
        return segments.first().is_some_and(|first| first == rule);
    };
    match segments {
        [first, second, ..] if first == module => {
            second == part || exports(module, part, sources).contains(second)
        }
        _ => false,
    }
}

/// The names that `agent/src/<module>/mod.rs` hands on from its `part`.
fn exports(module: &str, part: &str, sources: &[Source]) -> Vec<String> {
    let file = Path::new("agent/src").join(module).join("mod.rs");
    let Some(source) = sources.iter().find(|source| source.path == file) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let tokens = &source.tokens;
    for (n, token) in tokens.iter().enumerate() {
        let words = ["use", part, "::"];
        if token.text == "use"
            && words
                .iter()
                .zip(&tokens[n..])
                .all(|(word, token)| token.text == *word)
        {
            tree(&tokens[n + words.len()..], &[], &mut found);
        }
    }
    found
        .into_iter()
        .filter_map(|path| path.segments.into_iter().next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let exports = "mod statistics;\npub use statistics::{Fact, Statistics};";
        check(&[
            Source::new("agent/src/source/mod.rs", exports),
            Source::new(path, text),
        ])
    }

    #[test]
    fn an_edge_outside_the_table_is_found() {
        for (path, text) in [
            ("agent/src/process/table.rs", "use crate::group::Group;"),
            ("agent/src/process/table.rs", "use super::super::host;"),
            (
                "agent/src/group/mod.rs",
                "fn f() { super::source::observe() }",
            ),
            (
                "agent/src/http/mod.rs",
                "use crate::{exposition, collector::Collector};",
            ),
            ("agent/src/host.rs", "type T = crate::config::Config;"),
            ("agent/src/config/mod.rs", "use crate::run;"),
            ("agent/src/new.rs", "fn f() {}"),
        ] {
            assert_eq!(findings(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn edges_of_the_table_pass() {
        for (path, text) in [
            (
                "agent/src/group/mod.rs",
                "use crate::{config::Rule, process::{self, ProcessId}};",
            ),
            (
                "agent/src/source/procfs/stat.rs",
                "use crate::host::Host; use super::io;",
            ),
            (
                "agent/src/source/bpf/load.rs",
                "use aya::Ebpf; use agent_common::Plan;",
            ),
            (
                "agent/src/source/procfs/stat.rs",
                "use agent_common::COMM_BYTES;",
            ),
            (
                "agent/src/process/table.rs",
                "#[cfg(test)] mod tests { use crate::group::Group; }",
            ),
            ("agent/src/process/tests.rs", "use crate::group::Group;"),
            ("agent/src/process/table.rs", "// not like crate::group\n"),
            ("agent/src/lib.rs", "use crate::http; use crate::source;"),
        ] {
            assert_eq!(findings(path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn collectors_see_of_source_only_its_statistics() {
        let path = "agent/src/collector/agent.rs";
        assert_eq!(
            findings(path, "use crate::source; type T = source::Statistics;"),
            [""; 0]
        );
        assert_eq!(
            findings(path, "use crate::source::{Fact, Statistics};"),
            [""; 0]
        );
        assert_eq!(
            findings(path, "use crate::source::statistics::ExitHook;"),
            [""; 0]
        );
        for text in [
            "use crate::source;",
            "use crate::source; type T = (source::Statistics, source::Source);",
            "use crate::source::bpf::load;",
            "use crate::source::{Fact, Source};",
            "use crate::source::*;",
        ] {
            assert_eq!(findings(path, text).len(), 1, "{text}");
        }
    }

    #[test]
    fn crates_stay_at_home() {
        let text = "use aya::maps::HashMap;";
        let found = findings("agent/src/source/procfs/stat.rs", text);
        assert_eq!(
            found,
            ["agent/src/source/procfs/stat.rs:1: `aya` belongs into source/bpf only"]
        );
        assert_eq!(
            findings("agent/src/process/id.rs", "use agent_common::task;").len(),
            1
        );
    }
}
