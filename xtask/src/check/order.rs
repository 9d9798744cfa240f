//! The order inside a folder: files import downwards only, so no files of a folder import each other, directly or through others.
//!
//! In: the files of `agent/src`. Out: each cycle once, with its files. For each file that is the first of cycles, by its name,
//! the check reports only a shortest one, so another may appear when that is mended.
//!
//! A folder inside the folder counts as one file. `mod.rs`, or the file beside the folder, is not in the order: in most folders
//! it composes the files, and they use the types that it defines. A name that it only imports from one of its files counts as an
//! import of that file. `super::*` counts for no file. The root of the crate is left out: the import tables give its order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::paths::Module;

/// Each module in a folder, and the other modules in that folder that it imports.
type Imports<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

pub(super) fn check(modules: &[Module]) -> Vec<String> {
    let mut folders = BTreeSet::new();
    for module in modules {
        folders.extend((2..module.name.len()).map(|depth| &module.name[..depth]));
    }
    let cycles = folders.into_iter().map(|folder| cycles_of(folder, modules));
    cycles.flatten().collect()
}

/// The cycles among the files and folders of one folder.
fn cycles_of(folder: &[String], modules: &[Module]) -> Vec<String> {
    let labels = labels(folder, modules);
    let imports = imports(folder, modules, &labels);
    let cycles = imports.keys().filter_map(|first| shortest(&imports, first));
    cycles
        .map(|cycle| {
            let files: Vec<&str> = cycle.iter().map(|name| labels[name].as_str()).collect();
            let (folder, files) = (folder[1..].join("/"), files.join(" -> "));
            format!("agent/src/{folder}: {files}: files of a folder import each other")
        })
        .collect()
}

/// The names of the modules in a folder, each with the name of its file, or of its folder if no file is beside that.
fn labels<'a>(folder: &[String], modules: &'a [Module]) -> BTreeMap<&'a str, String> {
    let mut labels = BTreeMap::new();
    for module in modules {
        let Some([name, below @ ..]) = module.name.strip_prefix(folder) else {
            continue;
        };
        if below.is_empty() && !module.file.ends_with("mod.rs") {
            labels.insert(name.as_str(), format!("{name}.rs"));
        } else {
            let label = labels.entry(name.as_str());
            label.or_insert_with(|| format!("{name}/"));
        }
    }
    labels
}

/// Which modules of a folder import which others.
fn imports<'a>(
    folder: &[String],
    modules: &'a [Module],
    labels: &BTreeMap<&'a str, String>,
) -> Imports<'a> {
    // `mod.rs`, or the file beside the folder.
    let own = modules.iter().filter(|module| module.name == folder);
    let exports: BTreeMap<&str, &str> = own.flat_map(Module::exports).collect();
    let mut imports = Imports::new();
    for module in modules {
        let Some([from, ..]) = module.name.strip_prefix(folder) else {
            continue;
        };
        for path in &module.paths {
            let Some([name, ..]) = path.segments.strip_prefix(folder) else {
                continue;
            };
            let to = match exports.get(name.as_str()) {
                Some(&module) if !labels.contains_key(name.as_str()) => module,
                _ => name.as_str(),
            };
            if to != from && labels.contains_key(to) {
                imports.entry(from.as_str()).or_default().insert(to);
            }
        }
    }
    imports
}

/// A shortest way along imports from a module back to it, over modules whose names follow its own, both ends included.
fn shortest<'a>(imports: &Imports<'a>, first: &'a str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    let mut ways = VecDeque::from([vec![first]]);
    while let Some(way) = ways.pop_front() {
        for &next in imports.get(way.last()?).into_iter().flatten() {
            let longer = [way.as_slice(), &[next]].concat();
            if next == first {
                return Some(longer);
            }
            if next > first && seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::paths::modules;
    use super::super::sources::Source;
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(file, text): &(&str, &str)| Source::new(&format!("agent/src/{file}"), text);
        let sources: Vec<Source> = files.iter().map(source).collect();
        let (modules, findings) = modules(&sources);
        assert_eq!(findings, [""; 0]);
        check(&modules)
    }

    #[test]
    fn cycles_of_files_are_found_once() {
        let files = [
            ("g/mod.rs", "mod a; mod b; mod c; mod d; mod e;"),
            ("g/a.rs", "use super::b::B; use super::b;"),
            ("g/b.rs", "fn f() { m!(crate::g::a::A) }"),
            ("g/c.rs", "use super::{a::A, d};"),
            ("g/d.rs", "use super::e::E;"),
            ("g/e.rs", "type T = super::c::C;"),
        ];
        assert_eq!(
            findings(&files),
            [
                "agent/src/g: a.rs -> b.rs -> a.rs: files of a folder import each other",
                "agent/src/g: c.rs -> d.rs -> e.rs -> c.rs: files of a folder import each other",
            ]
        );
    }

    #[test]
    fn exports_of_the_folder_count_for_the_file_they_come_from() {
        let files = [
            ("g.rs", "pub use a::A; use self::b::B as C;"),
            ("g/a.rs", "use super::C;"),
            ("g/b.rs", "use crate::g::A;"),
        ];
        assert_eq!(
            findings(&files),
            ["agent/src/g: a.rs -> b.rs -> a.rs: files of a folder import each other"]
        );
    }

    #[test]
    fn folders_count_as_one_file() {
        let files = [
            ("g/mod.rs", "mod a; mod b;"),
            ("g/a/mod.rs", "mod x; use x::X; pub struct A;"),
            ("g/a/x.rs", "use super::A; use super::super::b::B;"),
            ("g/b.rs", "use super::a::A;"),
        ];
        assert_eq!(
            findings(&files),
            ["agent/src/g: a/ -> b.rs -> a/: files of a folder import each other"]
        );
    }

    #[test]
    fn types_of_the_folder_tests_and_the_root_have_no_order() {
        let files = [
            ("lib.rs", "mod g; mod h;"),
            ("h.rs", "use crate::g::G;"),
            ("g/mod.rs", "mod a; mod b; use a::A; pub struct G;"),
            ("g/a.rs", "use super::{G, b::B}; use crate::h::H;"),
            ("g/b.rs", "#[cfg(test)] mod t { use super::super::a::A; }"),
        ];
        assert_eq!(findings(&files), [""; 0]);
    }
}
