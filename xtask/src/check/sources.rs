//! The Rust files of the tree, as git knows them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::lexer::{Token, tokens};
use crate::command;

#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the repository.
    pub(super) path: PathBuf,
    pub(super) lines: usize,
    /// Everything but comments, text and what is compiled for tests only.
    pub(super) tokens: Vec<Token>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: PathBuf::from(path),
            lines: text.lines().count(),
            tokens: without_tests(tokens(text)),
        }
    }

    /// Tracked files and new ones, without the ignored.
    pub(super) fn read_all(root: &Path) -> Result<Vec<Self>> {
        let listing = command::read(
            Command::new("git")
                .args(["ls-files", "--cached", "--others", "--exclude-standard"])
                .arg("*.rs")
                .current_dir(root),
        )?;
        let mut sources = Vec::new();
        for path in listing.lines() {
            let file = root.join(path);
            if file.exists() {
                let text =
                    std::fs::read_to_string(&file).with_context(|| format!("read {path}"))?;
                sources.push(Self::new(path, &text));
            }
        }
        Ok(sources)
    }

    /// Whether all of it is compiled for tests only.
    pub(super) fn is_test(&self) -> bool {
        self.path
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
    }
}

/// Drops each item after `#[cfg(test)]`: up to its closing brace or, without one, its semicolon.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        let marked = rest.len() > marker.len()
            && marker
                .iter()
                .zip(rest)
                .all(|(text, token)| token.text == *text);
        if marked {
            rest = after_item(&rest[marker.len()..]);
        } else {
            kept.push(first.clone());
            rest = tail;
        }
    }
    kept
}

fn after_item(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (n, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return &tokens[n + 1..];
                }
            }
            ";" if depth == 0 => return &tokens[n + 1..],
            _ => {}
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn items_for_tests_are_left_out() {
        let text = "use a;\n#[cfg(test)]\nmod tests { use b; fn f() { [0; 2] } }\n#[cfg(test)] use c;\nuse d;";
        let source = Source::new("agent/src/x.rs", text);
        let words: Vec<&str> = source.tokens.iter().map(|t| t.text.as_str()).collect();
        assert_eq!(words, ["use", "a", ";", "use", "d", ";"]);
        assert_eq!(source.lines, 5);
    }

    #[test]
    fn files_for_tests_are_known_by_their_path() {
        for path in ["agent/tests/live/main.rs", "agent/src/group/tests.rs"] {
            assert!(Source::new(path, "").is_test(), "{path}");
        }
        assert!(!Source::new("xtask/src/test.rs", "").is_test());
    }
}
