//! Reads the Rust files of the workspace.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use proc_macro2::{Delimiter, Group, LexError, TokenStream, TokenTree};

use crate::workspace;

/// The members of the workspace.
const MEMBERS: &[&str] = &["agent", "agent-common", "agent-ebpf", "xtask"];

#[derive(Debug)]
pub(super) struct Source {
    /// Path from the root of the repository.
    pub(super) path: PathBuf,
    pub(super) lines: usize,
    /// Its tokens, without those of code that is compiled for tests only.
    pub(super) code: Result<TokenStream, LexError>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: PathBuf::from(path),
            lines: text.lines().count(),
            code: text.parse().map(without_tests),
        }
    }

    /// All files. It does not ask git, which refuses to work if another user owns the checkout.
    pub(super) fn read_all(root: &Path) -> Result<Vec<Self>> {
        let mut files = Vec::new();
        for member in MEMBERS {
            find_files(&root.join(member), &mut files)?;
        }
        let read = |file: &PathBuf| {
            let path = file.strip_prefix(root).unwrap_or(file);
            Ok(Self::new(
                &path.to_string_lossy(),
                &fs::read_to_string(file)?,
            ))
        };
        files.iter().map(read).collect()
    }

    /// Whether the whole file is compiled for tests only: in a folder `tests` or `fuzzing`, or named `tests.rs`, `fuzzing.rs` or
    /// `…_tests.rs`.
    pub(super) fn is_test(&self) -> bool {
        let mut folders = self.path.iter();
        let in_tests = folders.any(|part| part == "tests" || part == "fuzzing");
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        in_tests || stem == "tests" || stem == "fuzzing" || stem.ends_with("_tests")
    }
}

/// Adds every Rust file below `folder`, except the build output of a cargo-fuzz that was called by hand.
fn find_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in workspace::entries(folder)? {
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        } else if path.is_dir() && !path.ends_with("fuzz/target") {
            find_files(&path, files)?;
        }
    }
    Ok(())
}

/// Removes each item after `#[cfg(test)]`: up to its braces or, if it has none, its semicolon.
fn without_tests(code: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut rest = code.into_iter();
    while let Some(tree) = rest.next() {
        match tree {
            TokenTree::Group(group) if group.to_string().replace(' ', "") == "[cfg(test)]" => {
                kept.pop(); // the `#` before it
                rest.find(ends_item);
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_tests(group.stream()));
                inner.set_span(group.span());
                kept.push(inner.into());
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}

fn ends_item(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(sign) => sign.as_char() == ';',
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn items_for_tests_are_left_out() {
        let text = "use a;\n#[cfg(test)]\nmod tests { use b; fn f() { [0; 2] } }\n#[cfg(test)] use c;\nuse d;";
        let source = Source::new("agent/src/x.rs", text);
        let code = source.code.expect("tokens").to_string();
        assert_eq!(code, "use a ; use d ;");
        assert_eq!(source.lines, 5);
    }

    #[test]
    fn files_for_tests_are_known_by_their_path() {
        for path in [
            "agent/tests/live/main.rs",
            "agent/src/group/tests.rs",
            "agent/src/group/name_tests.rs",
            "agent/src/group/fuzzing.rs",
            "agent/src/source/bpf/fuzzing/node.rs",
        ] {
            assert!(Source::new(path, "").is_test(), "{path}");
        }
        assert!(!Source::new("xtask/src/test.rs", "").is_test());
    }
}
