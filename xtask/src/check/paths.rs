//! Finds the paths in the files of `agent/src`, macros included: identifiers with `::` between them.
//!
//! In: the sources. Out: the module that each file is, and the paths in it. Use trees are expanded: `crate::{a, b::{self, C}}` is
//! `crate::a`, `crate::b` and `crate::b::C`. Files for tests and items after `#[cfg(test)]` are left out. Paths in inline modules
//! are read as if they were at the top of the file; only tests have such modules.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

use super::sources::Source;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CodePath {
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
    /// The module that it is, from the root of the crate: `group/mod.rs` is `[group]`, `lib.rs` is the root.
    pub(super) name: Vec<String>,
    /// All paths of two segments or more, and all imports, as they are written and in the order of the file.
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
        let mut paths = Vec::new();
        Finder::new(&[], false, &mut paths).read(code);
        Self {
            file: file.to_owned(),
            name: name_of(file),
            paths,
        }
    }

    /// The paths that name items of this crate, from its root.
    pub(super) fn crate_paths(&self) -> impl Iterator<Item = CodePath> {
        self.paths.iter().filter_map(|path| {
            Some(CodePath {
                segments: self.absolute(&path.segments)?,
                ..path.clone()
            })
        })
    }

    /// A path from the root of this crate; `None`: it begins with a name, which may be another crate or what the file imports.
    pub(super) fn absolute(&self, segments: &[String]) -> Option<Vec<String>> {
        let (first, tail) = segments.split_first()?;
        let (base, rest) = match first.as_str() {
            "crate" => return Some(tail.to_vec()),
            "self" => (self.name.as_slice(), tail),
            "super" => (self.name.as_slice(), segments),
            _ => return None,
        };
        let above = rest.iter().take_while(|segment| *segment == "super");
        let above = above.count();
        let base = &base[..base.len().saturating_sub(above)];
        Some([base, &rest[above..]].concat())
    }
}

fn name_of(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let mut name: Vec<String> = parts.collect();
    let last = name.last().map(String::as_str);
    if matches!(last, Some("mod" | "lib" | "main")) {
        name.pop();
    }
    name
}

/// Reads the tokens between two delimiters.
struct Finder<'a> {
    /// The path before the braces around the tokens: `a::` before `{b, c}`.
    base: &'a [String],
    /// Whether the tokens are part of a `use`.
    is_import: bool,
    /// The path that ends with the next token that does not continue it; without one, `base`.
    path: Vec<String>,
    line: usize,
    /// The name of the import in `path`.
    name: Option<String>,
    found: &'a mut Vec<CodePath>,
}

impl<'a> Finder<'a> {
    fn new(base: &'a [String], is_import: bool, found: &'a mut Vec<CodePath>) -> Self {
        Self {
            base,
            is_import,
            path: base.to_vec(),
            line: 0,
            name: None,
            found,
        }
    }

    fn read(mut self, code: TokenStream) {
        let (mut colons, mut word_before) = (0, String::new());
        for tree in code {
            let continues = colons == 2;
            let before = std::mem::take(&mut word_before);
            match tree {
                TokenTree::Punct(sign) if sign.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Punct(sign) if sign.as_char() == '*' && self.is_import && continues => {
                    self.name = None;
                    self.path.push("*".to_owned());
                }
                TokenTree::Ident(word) => {
                    self.word(&word, continues, &before);
                    word_before = word.to_string();
                }
                TokenTree::Group(group) => {
                    let mut base = Vec::new();
                    if continues && group.delimiter() == Delimiter::Brace {
                        base = std::mem::replace(&mut self.path, self.base.to_vec());
                        self.name = None;
                    }
                    self.end();
                    Finder::new(&base, self.is_import, self.found).read(group.stream());
                }
                TokenTree::Punct(sign) => {
                    self.end();
                    // `use<'a>` among the bounds of a type imports nothing.
                    self.is_import &= !matches!(sign.as_char(), ';' | '<');
                }
                TokenTree::Literal(_) => self.end(),
            }
            colons = 0;
        }
        self.end();
    }

    fn word(&mut self, word: &Ident, continues: bool, before: &str) {
        let text = word.to_string();
        match text.as_str() {
            "as" if self.is_import => return,
            _ if self.is_import && before == "as" => {
                self.name = Some(text);
                return;
            }
            _ if !continues => self.end(),
            _ => {}
        }
        if self.path.len() == self.base.len() {
            self.line = word.span().start().line;
        }
        match text.as_str() {
            "use" => self.is_import = true,
            "crate" if before == "extern" => self.is_import = true,
            "self" if self.is_import && !self.base.is_empty() => {
                self.name = self.base.last().cloned()
            }
            _ => {
                self.name = self.is_import.then(|| text.clone());
                self.path.push(text);
            }
        }
    }

    /// Takes the path if it is an import or has two segments or more. The next one begins at `base`.
    fn end(&mut self) {
        let path = std::mem::replace(&mut self.path, self.base.to_vec());
        let name = self.name.take();
        let least = match self.is_import {
            true => self.base.len(),
            false => self.base.len().max(1),
        };
        if path.len() > least || name.is_some() {
            self.found.push(CodePath {
                segments: path,
                line: self.line,
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
        paths.map(|path| path.segments.join("::")).collect()
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
