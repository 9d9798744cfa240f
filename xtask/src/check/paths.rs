//! Finds the paths in the files of `agent/src`: in use trees, types and expressions, and between the tokens of macros.
//!
//! In: the sources. Out: the module that each file is, and the paths in it. Use trees are expanded: `crate::{a, b::{self, C}}` is
//! `crate::a`, `crate::b` and `crate::b::C`. Files for tests and items after `#[cfg(test)]` are left out. Paths in inline modules
//! are read as if they were at the top of the file; only tests have such modules.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemExternCrate, ItemUse, UseTree};

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

/// The files of `agent/src` that are not for tests only, and a finding for each that cannot be parsed.
pub(super) fn modules(sources: &[Source]) -> (Vec<Module>, Vec<String>) {
    let mut modules = Vec::new();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let Ok(file) = source.path.strip_prefix("agent/src") else {
            continue;
        };
        match Module::parse(file, &source.text) {
            Ok(module) => modules.push(module),
            Err(error) => {
                let (path, line) = (source.path.display(), error.span().start().line);
                findings.push(format!("{path}:{line}: not parsed as Rust: {error}"));
            }
        }
    }
    (modules, findings)
}

impl Module {
    fn parse(file: &Path, text: &str) -> syn::Result<Self> {
        let mut finder = Finder { found: Vec::new() };
        finder.visit_file(&syn::parse_file(text)?);
        Ok(Self {
            file: file.to_owned(),
            name: name_of(file),
            paths: finder.found,
        })
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

#[derive(Debug)]
struct Finder {
    found: Vec<CodePath>,
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => item.attrs.as_slice(),
            ImplItem::Fn(item) => item.attrs.as_slice(),
            ImplItem::Type(item) => item.attrs.as_slice(),
            ImplItem::Macro(item) => item.attrs.as_slice(),
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.use_tree(&item.tree, &[]);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
        let segments = vec![item.ident.to_string()];
        self.import(segments, item.ident.span(), Some(name.to_string()));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|part| part.ident.to_string());
        let segments: Vec<String> = names.collect();
        if segments.len() > 1 {
            self.found.push(CodePath {
                segments,
                line: path.segments[0].ident.span().start().line,
                name: None,
            });
        }
        visit::visit_path(self, path);
    }

    /// What stands between the delimiters of a macro or an attribute.
    fn visit_token_stream(&mut self, stream: &'ast TokenStream) {
        self.tokens(stream.clone(), &[]);
    }
}

impl Finder {
    fn use_tree(&mut self, tree: &UseTree, base: &[String]) {
        match tree {
            UseTree::Path(path) => self.use_tree(&path.tree, &joined(base, &path.ident)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, base);
                }
            }
            UseTree::Name(item) if item.ident == "self" => {
                self.import(base.to_vec(), item.ident.span(), base.last().cloned());
            }
            UseTree::Name(item) => {
                let name = Some(item.ident.to_string());
                self.import(joined(base, &item.ident), item.ident.span(), name);
            }
            UseTree::Rename(item) => {
                let segments = match item.ident == "self" {
                    true => base.to_vec(),
                    false => joined(base, &item.ident),
                };
                self.import(segments, item.ident.span(), Some(item.rename.to_string()));
            }
            UseTree::Glob(glob) => {
                self.import(joined(base, &"*"), glob.star_token.spans[0], None);
            }
        }
    }

    fn import(&mut self, segments: Vec<String>, span: Span, name: Option<String>) {
        self.found.push(CodePath {
            segments,
            line: span.start().line,
            name,
        });
    }

    /// The paths in tokens that may be anything: names with `::` between them. `base` is the path before the braces around them.
    fn tokens(&mut self, stream: TokenStream, base: &[String]) {
        let mut path = base.to_vec();
        let mut line = 0;
        let mut colons = 0;
        for tree in stream {
            match tree {
                TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end_path(&mut path, base, line);
                    }
                    if path.len() == base.len() {
                        line = name.span().start().line;
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) if colons == 2 && has_braces(&group) => {
                    self.tokens(group.stream(), &path);
                    path.truncate(base.len());
                    colons = 0;
                }
                other => {
                    self.end_path(&mut path, base, line);
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream(), &[]);
                    }
                    colons = 0;
                }
            }
        }
        self.end_path(&mut path, base, line);
    }

    /// Takes the path if it has two segments or more and names something below `base`; the next one begins at `base` again.
    fn end_path(&mut self, path: &mut Vec<String>, base: &[String], line: usize) {
        if path.len() > base.len().max(1) {
            self.found.push(CodePath {
                segments: path.clone(),
                line,
                name: None,
            });
        }
        path.truncate(base.len());
    }
}

fn has_braces(group: &Group) -> bool {
    group.delimiter() == Delimiter::Brace
}

fn joined(base: &[String], last: &impl ToString) -> Vec<String> {
    let mut segments = base.to_vec();
    segments.push(last.to_string());
    segments
}

/// Whether `#[cfg(test)]` is among the attributes.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_cfg = |attribute: &&Attribute| attribute.path().is_ident("cfg");
    attributes.iter().filter(is_cfg).any(|attribute| {
        let condition = attribute.parse_args::<syn::Ident>();
        condition.is_ok_and(|word| word == "test")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str, file: &str) -> Vec<String> {
        let module = Module::parse(Path::new(file), text).expect("Rust");
        let paths = module.crate_paths();
        paths.map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn trees_come_apart() {
        let text = "use crate::{a, b::{self, C as D, e::*}, };";
        assert_eq!(paths(text, "x.rs"), ["a", "b", "b::C", "b::e::*"]);
    }

    #[test]
    fn imports_have_the_names_that_the_file_uses() {
        let text = "use crate::{a, b::{self, C as D, e::*}}; fn f() { crate::g::h() }";
        let module = Module::parse(Path::new("x.rs"), text).expect("Rust");
        let names: Vec<_> = module.paths.into_iter().map(|path| path.name).collect();
        let expected = [Some("a"), Some("b"), Some("D"), None, None];
        assert_eq!(names, expected.map(|name| name.map(str::to_owned)));
    }

    #[test]
    fn expressions_and_types_count_as_well() {
        let text = "fn f(a: &crate::a::A) -> Vec<crate::b::B> { crate::c::d::<u8>(self::e::f()) }";
        assert_eq!(paths(text, "x.rs"), ["a::A", "b::B", "c::d", "x::e::f"]);
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
        let module = Module::parse(Path::new("x.rs"), text).expect("Rust");
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
