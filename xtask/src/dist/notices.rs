//! Collects the authors and licences of the code in the binary: most licences require that their text goes with it.
//!
//! In come the lock file and the sources of the crates, as cargo keeps them; out comes a text that names each crate once, and
//! each wording of a licence once with the crates that it came with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fs_err as fs;
use serde_json::Value;

use crate::target::Target;
use crate::{command, workspace};

/// Linked code that is no crate.
const LIBRARIES: &str = "\
the standard library of Rust: MIT OR Apache-2.0, copyright The Rust Project contributors
musl, the C library: MIT, copyright Rich Felker and others
";
/// Beginnings of the names of licence files, in capitals.
const NAMES: &[&str] = &[
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

#[derive(Debug)]
struct Crate {
    /// Name and version.
    title: String,
    license: String,
    texts: Vec<String>,
}

pub(super) fn notices(target: &Target) -> Result<String> {
    let linked = linked("headcount", target.triple)?
        .into_iter()
        .chain(linked("agent-ebpf", "all")?)
        .collect();
    let mut cargo = workspace::cargo();
    cargo
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", target.triple]); // crates for other systems are not on this machine
    let metadata = serde_json::from_str(&command::read(&mut cargo)?).context("cargo metadata")?;
    Ok(compose(&crates(&metadata, &linked)?))
}

/// Names and versions of the crates that a program of this workspace is linked from.
fn linked(package: &str, triple: &str) -> Result<BTreeSet<String>> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["tree", "--locked", "--package", package, "--target", triple])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let tree = command::read(&mut cargo)?;
    let title = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        let version = rest.split(' ').next()?;
        Some(format!("{name} {version}"))
    };
    Ok(tree.lines().filter_map(title).collect())
}

/// The crates in `linked` that are not of this workspace.
fn crates(metadata: &Value, linked: &BTreeSet<String>) -> Result<Vec<Crate>> {
    let packages = metadata["packages"].as_array();
    let packages = packages.context("cargo metadata names no packages")?;
    let mut found = Vec::new();
    for package in packages {
        let word = |key: &str| package[key].as_str().unwrap_or_default();
        let title = format!("{} {}", word("name"), word("version"));
        if package["source"].is_null() || !linked.contains(&title) {
            continue;
        }
        let folder = Path::new(word("manifest_path")).parent();
        found.push(Crate {
            title,
            license: word("license").to_owned(),
            texts: texts(folder.unwrap_or(Path::new("")))?,
        });
    }
    found.sort_by(|one, other| one.title.cmp(&other.title));
    Ok(found)
}

fn texts(folder: &Path) -> Result<Vec<String>> {
    let is_licence = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_uppercase();
        path.is_file() && NAMES.iter().any(|start| name.starts_with(start))
    };
    let paths = workspace::entries(folder)?.into_iter().filter(is_licence);
    let text = |path| {
        let text = String::from_utf8_lossy(&fs::read(path)?).replace('\r', "");
        Ok(text.trim_matches('\n').to_owned())
    };
    paths.map(text).collect()
}

fn compose(crates: &[Crate]) -> String {
    let mut text =
        String::from("Code of other authors in the program headcount, and its licences.\n\n");
    text.push_str(LIBRARIES);
    let mut wordings: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Crate {
        title,
        license,
        texts,
    } in crates
    {
        text.push_str(&format!("{title}: {license}\n"));
        for wording in texts {
            wordings.entry(wording).or_default().push(title);
        }
    }
    for (wording, titles) in wordings {
        let line = "-".repeat(80);
        text.push_str(&format!(
            "\n{line}\n{}\n{line}\n{wording}\n",
            titles.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_licence_texts_appear_once() {
        let one = |title: &str, texts: &[&str]| Crate {
            title: title.to_owned(),
            license: "MIT".to_owned(),
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
        };
        let text = compose(&[one("a 1", &["do", "as you like"]), one("b 2", &["do"])]);
        assert!(text.contains("\na 1: MIT\nb 2: MIT\n"), "{text}");
        assert!(text.contains("\na 1, b 2\n"), "{text}");
        assert_eq!(text.matches("\ndo\n").count(), 1, "{text}");
    }

    #[test]
    fn notices_name_linked_crates_and_no_others() {
        let found = notices(crate::target::AMD64).expect("notices");
        for crate_name in ["aya", "aya-ebpf", "tokio", "ring"] {
            assert!(found.contains(&format!("\n{crate_name} ")), "{crate_name}");
        }
        for other in ["proptest", "clap_mangen", "cpio", "headcount"] {
            assert!(!found.contains(&format!("\n{other} ")), "{other}");
        }
        assert!(found.contains("Permission is hereby granted"));
    }
}
