//! Finds the paths in a file that name items of its own crate: `crate::a::b`, and `super::…` made absolute.
//!
//! Use trees are expanded: `crate::{a, b::{self, C}}` becomes `a`, `b` and `b::C`. Paths in inline modules are read as if they
//! were at the top of the file; only tests have such modules, and tests are not checked.

use std::path::Path;

use super::lexer::Token;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct CratePath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// The module that a file is, as a path from `src`: `group/mod.rs` is `[group]`, `lib.rs` is the root.
pub(super) fn module_of(file: &Path) -> Vec<String> {
    let mut segments: Vec<String> = file
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if matches!(
        segments.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        segments.pop();
    }
    segments
}

/// All these paths, in the order of the file.
pub(super) fn crate_paths(tokens: &[Token], module: &[String]) -> Vec<CratePath> {
    let mut found = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        let starts_path = n == 0 || tokens[n - 1].text != "::";
        if !starts_path || !next_is_separator(&tokens[n..]) {
            continue;
        }
        match token.text.as_str() {
            "crate" => tree(&tokens[n + 2..], &[], &mut found),
            "super" => {
                let mut rest = &tokens[n..];
                let mut base = module;
                while rest.first().is_some_and(|t| t.text == "super") && next_is_separator(rest) {
                    base = base.split_last().map_or(base, |(_, parents)| parents);
                    rest = &rest[2..];
                }
                tree(rest, base, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// The paths that start at an imported `module`: `module::a::B`.
pub(super) fn paths_through(module: &str, tokens: &[Token]) -> Vec<CratePath> {
    let mut found = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        let starts_path = n == 0 || tokens[n - 1].text != "::";
        if starts_path && token.text == module && next_is_separator(&tokens[n..]) {
            tree(&tokens[n..], &[], &mut found);
        }
    }
    found
}

/// Adds the paths of the use tree at the beginning of `tokens`, below `base`.
pub(super) fn tree(tokens: &[Token], base: &[String], found: &mut Vec<CratePath>) {
    let Some(first) = tokens.first() else {
        return;
    };
    let mut segments = base.to_vec();
    match first.text.as_str() {
        "{" => {
            for branch in branches(tokens) {
                tree(branch, base, found);
            }
            return;
        }
        "self" => {}
        word => segments.push(word.to_owned()),
    }
    if next_is_separator(tokens) && first.text != "*" {
        tree(&tokens[2..], &segments, found);
    } else {
        found.push(CratePath {
            segments,
            line: first.line,
        });
    }
}

/// Whether the second token is `::` and the path continues after it; `::<` gives type arguments to a function.
fn next_is_separator(tokens: &[Token]) -> bool {
    tokens.get(1).is_some_and(|token| token.text == "::")
        && tokens.get(2).is_some_and(|token| token.text != "<")
}

/// The parts between the commas of the braces at the beginning of `tokens`.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = 1;
    for (n, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if (token.text == "," && depth == 1) || depth == 0 {
            if start < n {
                found.push(&tokens[start..n]);
            }
            start = n + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn paths(text: &str, file: &str) -> Vec<String> {
        crate_paths(&tokens(text), &module_of(Path::new(file)))
            .into_iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn trees_come_apart() {
        let text = "use crate::{a, b::{self, C as D, e::*}, };";
        assert_eq!(paths(text, "x.rs"), ["a", "b", "b::C", "b::e::*"]);
    }

    #[test]
    fn expressions_and_types_count_as_well() {
        let text = "fn f(a: &crate::a::A) -> Vec<crate::b::B> { crate::c::d::<u8>(self::e::f()) }";
        assert_eq!(paths(text, "x.rs"), ["a::A", "b::B", "c::d"]);
    }

    #[test]
    fn super_is_made_absolute() {
        assert_eq!(paths("super::a::B", "group/mod.rs"), ["a::B"]);
        assert_eq!(paths("super::a::B", "group/c.rs"), ["group::a::B"]);
        assert_eq!(
            paths("use super::super::{a, b::C};", "group/c.rs"),
            ["a", "b::C"]
        );
    }

    #[test]
    fn lines_are_kept() {
        let found = crate_paths(&tokens("\n\nuse crate::a;"), &[]);
        assert_eq!(found.first().map(|path| path.line), Some(3));
    }
}
