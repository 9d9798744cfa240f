//! Links between the Markdown documents: each leads to a file or folder of the repository and, behind `#`, to a heading of that
//! document.
//!
//! In: every Markdown document below the root. Out: a finding for each link that leads nowhere. URLs are not fetched.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

use super::markdown::{Link, Markdown};

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    find_documents(root, &mut files)?;
    files.sort();
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let path = file.strip_prefix(root).unwrap_or(file);
        Ok((path.to_owned(), Markdown::parse(&text)))
    };
    let documents = files.iter().map(read).collect::<Result<Vec<Document>>>()?;
    Ok(dead_links(&documents, |path| root.join(path).exists()))
}

/// Every Markdown file below `folder`, except in hidden folders and those that cargo builds in.
fn find_documents(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("list {}", folder.display()))?
            .path();
        let name = path.file_name().unwrap_or_default();
        if name == "target" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if path.is_dir() {
            find_documents(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    Ok(())
}

/// A document, and where it is from the root of the repository.
type Document = (PathBuf, Markdown);

/// A finding for each link that leads nowhere. `exists` takes paths from the root.
fn dead_links(documents: &[Document], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let anchors: HashMap<&Path, _> = documents
        .iter()
        .map(|(path, document)| (path.as_path(), &document.anchors))
        .collect();
    let leads_somewhere = |from: &Path, target: &str| -> bool {
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let Some(path) = resolve(from, file) else {
            return false;
        };
        match anchors.get(path.as_path()) {
            Some(anchors) => anchor.is_empty() || anchors.contains(anchor),
            None => exists(&path),
        }
    };
    let mut findings = Vec::new();
    for (path, document) in documents {
        let shown = path.display();
        for Link { line, target } in &document.links {
            if !is_url(target) && !leads_somewhere(path, target) {
                findings.push(format!("{shown}:{line}: link to {target} leads nowhere"));
            }
        }
    }
    findings
}

fn is_url(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// The path from the root to `file`, which the document at `from` names; `None`: it is outside of the repository.
fn resolve(from: &Path, file: &str) -> Option<PathBuf> {
    if file.is_empty() {
        return Some(from.to_owned());
    }
    let mut path = match file.starts_with('/') {
        true => PathBuf::new(),
        false => from.parent().map(Path::to_path_buf).unwrap_or_default(),
    };
    for part in Path::new(file).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_missing_files_and_headings_are_found() {
        let readme = "# One\n\
                      [a](docs/a.md#two) [b](docs) [c](#one) [d](https://h/x#y) [e](mailto:a@b)\n\
                      [f](docs/b.md) [g](docs/a.md#one) [h](#two) [i](../c.md)\n";
        let page = "# Two\n\
                    [j](../README.md) [k](/docs/a.md) [l](README.md) [m](../docs/./a.md#two)\n";
        let documents = [
            (PathBuf::from("README.md"), Markdown::parse(readme)),
            (PathBuf::from("docs/a.md"), Markdown::parse(page)),
        ];
        assert_eq!(
            dead_links(&documents, |path| path == Path::new("docs")),
            [
                "README.md:3: link to docs/b.md leads nowhere",
                "README.md:3: link to docs/a.md#one leads nowhere",
                "README.md:3: link to #two leads nowhere",
                "README.md:3: link to ../c.md leads nowhere",
                "docs/a.md:2: link to README.md leads nowhere",
            ]
        );
    }
}
