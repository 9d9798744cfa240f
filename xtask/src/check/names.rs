//! Checks names without a clear meaning: functions that begin with `get_`, `do_` or `handle_`, modules for leftovers, and a bare
//! `pid` near the kernel, where it may be a process or a thread.

use proc_macro2::{Ident, TokenStream, TokenTree};

use super::sources::Source;

const PREFIXES: &[&str] = &["get_", "do_", "handle_"];
const MODULES: &[&str] = &["utils", "helpers", "common"];
/// Crates in which process ids are called `tgid` and thread ids `tid`.
const NEAR_THE_KERNEL: &[&str] = &["agent-common", "agent-ebpf"];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for Source { path, code, .. } in sources {
        let mut members = NEAR_THE_KERNEL.iter();
        let is_near = members.any(|member| path.starts_with(member));
        let Ok(code) = code else {
            continue; // cargo fmt reports it
        };
        each_name(code.clone(), &mut |keyword, name| {
            let word = name.to_string();
            let place = format!("{}:{}", path.display(), name.span().start().line);
            if is_near && word == "pid" {
                findings.push(format!("{place}: `pid`: say tgid or tid"));
            }
            if keyword == "fn" && PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
                let finding = format!("{place}: function `{word}`: say what it returns or does");
                findings.push(finding);
            }
            if keyword == "mod" && MODULES.contains(&word.as_str()) {
                findings.push(format!(
                    "{place}: module `{word}`: name it after its content"
                ));
            }
        });
    }
    findings
}

/// Calls `found` with each identifier and the one right before it. Comments and literals have none.
fn each_name(code: TokenStream, found: &mut impl FnMut(&str, &Ident)) {
    let mut before = String::new();
    for tree in code {
        match tree {
            TokenTree::Ident(name) => {
                found(&before, &name);
                before = name.to_string();
                continue;
            }
            TokenTree::Group(group) => each_name(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        before.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_names_are_found_and_others_are_not() {
        let bad =
            "fn get_x() {} mod utils; fn handle_y() {} fn do_it() {} pub(crate) mod common {}";
        assert_eq!(check(&[Source::new("a.rs", bad)]).len(), 5);
        let pid = "fn f(pid: u32) {} // pid";
        assert_eq!(check(&[Source::new("agent-ebpf/src/a.rs", pid)]).len(), 1);
        assert_eq!(check(&[Source::new("agent/src/a.rs", pid)]), [""; 0]);
        let good = "fn budget_x() { map.get_mut(); } fn done() {} use agent_common::x; // fn get_y";
        assert_eq!(check(&[Source::new("a.rs", good)]), [""; 0]);
    }

    #[test]
    fn comments_and_literals_have_no_names() {
        let text = r###"a // fn get_x
            /* fn /* c */ get_y */ e "f \" fn get_z" r#"mod " utils"# b"j" 'k' '\'' br"l" 1"###;
        let mut words = Vec::new();
        each_name(text.parse().expect("tokens"), &mut |_, name| {
            words.push(name.to_string());
        });
        assert_eq!(words, ["a", "e"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_literals() {
        let text = "fn do_a()\n/*\n*/ {b(\"\n\n\"\n)} fn do_c() {}";
        let found = check(&[Source::new("a.rs", text)]);
        let lines = found.iter().filter_map(|line| line.split(':').nth(1));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines, ["1", "6"]);
    }
}
