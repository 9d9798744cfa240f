//! Finds the paths in the files of `agent/src`, macros included: identifiers with `::` between them.
//!
//! In: the sources. Out: the module that each file is, and the paths in it. Use trees are expanded: `crate::{a, b::{self, C}}` is
//! `crate::a`, `crate::b` and `crate::b::C`. Files for tests and items after `#[cfg(test)]` are left out. Paths in inline modules
//! are read as if they were at the top of the file; only tests have such modules.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::sources::Source;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct CodePath {
    /// `crate` and the way to an item of this crate, in place of `self` and `super`, too. Any other first segment is a name: of
    /// another crate, or one that the file imports.
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// The name that the file gives it, if it is an import. `*` imports without a name.
    pub(super) name: Option<String>,
}

/// A file of `agent/src`.
#[derive(Debug)]
pub(super) struct Module {
    /// Its path from `agent/src`.
    pub(super) file: PathBuf,
    /// The module that it is: `group/mod.rs` is `[crate, group]`, `lib.rs` is `[crate]`.
    pub(super) name: Vec<String>,
    /// All paths of two segments or more, and all imports, in the order of the file.
    pub(super) paths: Vec<CodePath>,
}

/// The files of `agent/src` that are not for tests only, and a finding for each without tokens.
pub(super) fn modules(sources: &[Source]) -> (Vec<Module>, Vec<String>) {
    let mut modules = Vec::new();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let Ok(file) = source.path.strip_prefix("agent/src") else {
            continue;
        };
        match &source.code {
            Ok(code) => modules.push(Module::new(file, code.clone())),
            Err(error) => {
                let (path, line) = (source.path.display(), error.span().start().line);
                findings.push(format!("{path}:{line}: not Rust: {error}"));
            }
        }
    }
    (modules, findings)
}

impl Module {
    fn new(file: &Path, code: TokenStream) -> Self {
        let mut name = vec!["crate".to_owned()];
        let parts = file.with_extension("");
        name.extend(parts.iter().map(|part| part.to_string_lossy().into_owned()));
        name.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
        let mut paths = Vec::new();
        find(code, &[], false, &mut paths);
        for path in &mut paths {
            path.segments = absolute(&path.segments, &name);
        }
        let file = file.to_owned();
        Self { file, name, paths }
    }

    /// The paths of items of this crate, from its root, each with its line.
    pub(super) fn crate_paths(&self) -> impl Iterator<Item = (&[String], usize)> {
        self.paths.iter().filter_map(|path| {
            let (first, rest) = path.segments.split_first()?;
            (first == "crate").then_some((rest, path.line))
        })
    }

    /// The names that it imports from modules below it, each with its module.
    pub(super) fn exports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.paths.iter().filter_map(|path| {
            let below = path.segments.strip_prefix(self.name.as_slice());
            match below.unwrap_or(&path.segments) {
                [module, _, ..] => Some((path.name.as_deref()?, module.as_str())),
                _ => None,
            }
        })
    }
}

fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    let rest = match path {
        [first, rest @ ..] if first == "self" => rest,
        [first, ..] if first == "super" => path,
        _ => return path.to_vec(),
    };
    let above = rest.iter().take_while(|segment| *segment == "super");
    let above = above.count();
    let base = &module[..module.len().saturating_sub(above)];
    [base, &rest[above..]].concat()
}

/// Finds the paths among the tokens between two delimiters. `base` is the path before them: `a` in `a::{b, c}`.
fn find(code: TokenStream, base: &[String], mut is_import: bool, found: &mut Vec<CodePath>) {
    let is_colon =
        |tree: &TokenTree| matches!(tree, TokenTree::Punct(sign) if sign.as_char() == ':');
    let is_word =
        |tree: &TokenTree, word: &str| matches!(tree, TokenTree::Ident(ident) if ident == word);
    let mut rest = code.into_iter().peekable();
    while let Some(tree) = rest.next() {
        let first = match tree {
            TokenTree::Ident(first) => first,
            TokenTree::Group(group) => {
                find(group.stream(), &[], is_import, found);
                continue;
            }
            TokenTree::Punct(sign) => {
                // `use<'a>` among the bounds of a type imports nothing.
                is_import &= !matches!(sign.as_char(), ';' | '<');
                continue;
            }
            TokenTree::Literal(_) => continue,
        };
        if first == "use"
            || first == "extern" && rest.next_if(|tree| is_word(tree, "crate")).is_some()
        {
            is_import = true;
            continue;
        }
        let mut path = base.to_vec();
        if !(first == "self" && is_import && !base.is_empty()) {
            path.push(first.to_string());
        }
        while rest.next_if(is_colon).is_some() && rest.next_if(is_colon).is_some() {
            match rest.peek() {
                Some(TokenTree::Ident(word)) => path.push(word.to_string()),
                Some(TokenTree::Punct(sign)) if sign.as_char() == '*' => path.push("*".to_owned()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    find(group.stream(), &path, is_import, found);
                    path.clear();
                }
                _ => break,
            }
            rest.next();
        }
        let mut name = path
            .last()
            .filter(|name| is_import && *name != "*")
            .cloned();
        if is_import && rest.next_if(|tree| is_word(tree, "as")).is_some() {
            name = rest.next().map(|tree| tree.to_string());
        }
        if path.len() > 1 || is_import && !path.is_empty() {
            found.push(CodePath {
                segments: path,
                line: first.span().start().line,
                name,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(text: &str, file: &str) -> Module {
        let source = Source::new(file, text);
        Module::new(&source.path, source.code.expect("Rust"))
    }

    fn paths(text: &str, file: &str) -> Vec<String> {
        let module = module(text, file);
        let paths = module.crate_paths();
        paths.map(|(path, _)| path.join("::")).collect()
    }

    #[test]
    fn use_trees_are_expanded() {
        let text = "use crate::{a, b::{self, C as D, e::*}, };";
        assert_eq!(paths(text, "x.rs"), ["a", "b", "b::C", "b::e::*"]);
    }

    #[test]
    fn imports_have_the_names_that_the_file_uses() {
        let text = "use crate::{a, b::{self, C as D, e::*}}; fn f() { crate::g::h() }";
        let names: Vec<_> = module(text, "x.rs")
            .paths
            .into_iter()
            .map(|path| path.name)
            .collect();
        let expected = [Some("a"), Some("b"), Some("D"), None, None];
        assert_eq!(names, expected.map(|name| name.map(str::to_owned)));
    }

    #[test]
    fn expressions_and_types_count_as_well() {
        let text = "fn f(a: &crate::a::A) -> Vec<crate::b::B> { crate::c::d::<u8>(self::e::f()) }
            fn g() -> impl T + use<'_, U> { self::h::i as crate::J }";
        assert_eq!(
            paths(text, "x.rs"),
            ["a::A", "b::B", "c::d", "x::e::f", "x::h::i", "J"]
        );
    }

    #[test]
    fn tokens_of_macros_count_as_well() {
        let text = "fn f() { m!(a: crate::b::C => super::d::e(), [crate::g::<u8>()]); }\n\
                    macro_rules! n { () => { use $crate::{h, i::{j, k}}; x::crate_y } }";
        assert_eq!(
            paths(text, "x.rs"),
            ["b::C", "d::e", "g", "h", "i::j", "i::k"]
        );
    }

    #[test]
    fn comments_literals_and_items_for_tests_do_not_count() {
        let text = "//! crate::a\n/* crate::b */ /// crate::c\nfn f() { m!(\"crate::d\") }\n\
                    #[cfg(test)] mod tests { use crate::e; }\n#[cfg(test)] use crate::g;\n\
                    impl T { #[cfg(test)] fn f() { crate::h::i() } fn j() { crate::k::l() } }";
        assert_eq!(paths(text, "x.rs"), ["k::l"]);
    }

    #[test]
    fn super_is_made_absolute() {
        assert_eq!(paths("use super::a::B;", "group/mod.rs"), ["a::B"]);
        assert_eq!(paths("use super::a::B;", "group/c.rs"), ["group::a::B"]);
        assert_eq!(
            paths("use super::super::{a, b::C};", "group/c.rs"),
            ["a", "b::C"]
        );
    }

    #[test]
    fn lines_are_kept() {
        let text = "\n\nuse crate::a;\nfn f() {\n    m!(\n        crate::b::c)\n}";
        let module = module(text, "x.rs");
        let lines: Vec<usize> = module.paths.iter().map(|path| path.line).collect();
        assert_eq!(lines, [3, 6]);
    }

    #[test]
    fn file_that_is_not_rust_is_a_finding() {
        let (modules, findings) = modules(&[Source::new("agent/src/x.rs", "\nfn {")]);
        assert!(modules.is_empty());
        assert_eq!(findings.len(), 1);
    }
}
