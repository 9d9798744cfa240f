//! The import tables of docs/dev/architecture.md, held against `agent/src`.
//!
//! In: the files of `agent/src` and the text of the document. Out: each path that a row does not allow, and each module without a
//! row. A change that needs another edge is a design change: the commit that widens a table says why. `lib.rs` and `main.rs`
//! compose and may name everything; tests may too. The order inside a module is left to [`super::order`].

use std::path::Path;

use super::paths::Module;
use super::table::{self, Row};

pub(super) fn check(modules: &[Module], document: &str) -> Vec<String> {
    let (rows, crates) = match table::parse(document) {
        Ok(tables) => tables,
        Err(fault) => return vec![fault],
    };
    let mut findings = Vec::new();
    for module in modules {
        let Some(top) = module.name.get(1) else {
            continue;
        };
        let path = Path::new("agent/src").join(&module.file);
        let mut found = foreign(module, &crates);
        found.extend(edges(module, top, &rows, modules));
        let found = found.into_iter();
        findings.extend(found.map(|(line, what)| format!("{}:{line}: {what}", path.display())));
    }
    findings
}

/// The paths into other modules that a file may not name: line and reason.
fn edges(module: &Module, top: &str, rows: &[Row], modules: &[Module]) -> Vec<(usize, String)> {
    let Some((_, allowed)) = rows.iter().find(|(name, _)| name == top) else {
        return vec![(1, format!("module `{top}` is not in the import table"))];
    };
    let permits = |path: &[String]| allowed.iter().any(|rule| permits(rule, path, modules));
    let is_wrong = |path: &[String]| match path {
        [first, ..] if first == top => false,
        path if permits(path) => false,
        // `use crate::source;` is judged by the paths of the file that begin with `source`.
        [whole] => {
            let paths = module.paths.iter().map(|path| path.segments.as_slice());
            let mut taken = paths
                .filter(|path| path.len() > 1 && path[0] == *whole)
                .peekable();
            taken.peek().is_none() || !taken.all(permits)
        }
        _ => true,
    };
    let rules = match allowed.as_slice() {
        [] => "nothing of ours".to_owned(),
        _ => allowed.join(", "),
    };
    let wrong = module.crate_paths().filter(|(path, _)| is_wrong(path));
    wrong
        .map(|(path, line)| {
            let name = path.join("::");
            let what = format!("`{top}` imports `{name}`; it may import {rules}");
            (line, what)
        })
        .collect()
}

/// Crates named outside their part of the tree.
fn foreign(module: &Module, rows: &[Row]) -> Vec<(usize, String)> {
    let file = module.file.with_extension("");
    let mut found: Vec<(usize, String)> = Vec::new();
    for path in &module.paths {
        let first = path.segments.first();
        if let Some((name, homes)) = rows.iter().find(|(name, _)| Some(name) == first)
            && !homes.iter().any(|home| file.starts_with(home))
        {
            let what = format!("`{name}` belongs into {} only", homes.join(" and "));
            found.push((path.line, what));
        }
    }
    found.dedup();
    found
}

fn permits(rule: &str, path: &[String], modules: &[Module]) -> bool {
    match (rule.split_once("::"), path) {
        (None, [first, ..]) => first == rule,
        (Some((module, part)), [first, second, ..]) if first == module => {
            // What the part defines may come by way of its folder.
            let files = modules.iter().filter(|file| file.name[1..] == [module]);
            let mut exports = files.flat_map(Module::exports);
            second == part || exports.any(|export| export == (second, part))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::paths::modules;
    use super::super::sources::Source;
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/dev/architecture.md");

    fn findings(path: &str, text: &str) -> Vec<String> {
        let exports = "mod statistics;\npub use statistics::{Fact, Statistics};";
        let (modules, findings) = modules(&[
            Source::new("agent/src/source/mod.rs", exports),
            Source::new(&format!("agent/src/{path}"), text),
        ]);
        assert_eq!(findings, [""; 0]);
        check(&modules, DOCUMENT)
    }

    #[test]
    fn edge_outside_the_table_is_found() {
        for (path, text) in [
            ("process/table.rs", "use crate::group::Group;"),
            ("process/table.rs", "use super::super::host;"),
            ("group/mod.rs", "fn f() { super::source::observe() }"),
            (
                "http/mod.rs",
                "use crate::{exposition, collector::Collector};",
            ),
            ("host.rs", "type T = crate::config::Config;"),
            ("config/mod.rs", "use crate::run;"),
            ("new.rs", "fn f() {}"),
        ] {
            assert_eq!(findings(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn edges_of_the_table_pass() {
        for (path, text) in [
            (
                "group/mod.rs",
                "use crate::{config::Rule, process::{self, ProcessId}};",
            ),
            (
                "source/procfs/stat.rs",
                "use crate::host::Host; use super::io;",
            ),
            (
                "source/bpf/load.rs",
                "use aya::Ebpf; use agent_common::Plan;",
            ),
            ("source/procfs/stat.rs", "use agent_common::COMM_BYTES;"),
            (
                "process/table.rs",
                "#[cfg(test)] mod tests { use crate::group::Group; }",
            ),
            ("process/tests.rs", "use crate::group::Group;"),
            ("process/table.rs", "// not like crate::group\n"),
            ("lib.rs", "use crate::http; use crate::source;"),
        ] {
            assert_eq!(findings(path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn collectors_see_of_source_only_its_statistics() {
        let path = "collector/agent.rs";
        for text in [
            "use crate::source; type T = source::Statistics;",
            "use crate::source::{Fact, Statistics};",
            "use crate::source::facts::ExitHook;",
        ] {
            assert_eq!(findings(path, text), [""; 0], "{text}");
        }
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
    fn crate_outside_its_folders_is_found() {
        let found = findings("source/procfs/stat.rs", "use aya::maps::HashMap;");
        let place = "agent/src/source/procfs/stat.rs:1";
        let expected = format!("{place}: `aya` belongs into source/bpf only");
        assert_eq!(found, [expected]);
        let text = "use agent_common::task;";
        assert_eq!(findings("process/id.rs", text).len(), 1);
        let text = "fn f() { m!(bcrypt::verify(a)) }";
        assert_eq!(findings("http/serve.rs", text).len(), 1);
        let text = "use socket2::{Domain, Socket};";
        assert_eq!(findings("http/listener.rs", text), [""; 0]);
        assert_eq!(findings("http/listeners.rs", text).len(), 1);
    }

    #[test]
    fn unreadable_table_is_the_only_finding() {
        let (modules, _) = modules(&[Source::new("agent/src/new.rs", "fn f() {}")]);
        let document = DOCUMENT.replace("| `host` | - |", "| `host` |");
        let found = check(&modules, &document);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("docs/dev/architecture.md:"));
    }
}
