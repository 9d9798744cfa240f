//! Texts of the tree, checked by programs of PyPI: the spelling by typos, the links of the Markdown documents by rumdl.
//!
//! A link leads to a file or folder of the repository and, behind `#`, to a heading of that document; a reference has a
//! definition. URLs are not fetched. `typos.toml` has the words that typos does not know.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{python, workspace};

/// Anchors, references and paths. Paths that begin with a slash begin at the root of the repository.
const LINKS: &[&str] = &[
    "--enable=MD051,MD052,MD057",
    "--config=MD057.absolute-links = \"relative_to_roots\"",
    "--config=MD057.roots = [\".\"]",
];

pub(super) fn spelling() -> Result<Command> {
    let mut typos = Command::new(python::program("typos", "1.52.0")?);
    typos
        .args(["--format", "brief"])
        .current_dir(workspace::root());
    Ok(typos)
}

/// The check of the documents below a folder, except in cargo's `target`.
pub(super) fn links(folder: &Path) -> Result<Command> {
    let mut rumdl = Command::new(python::program("rumdl", "0.3.0")?);
    rumdl
        .args(["check", "--isolated", "--no-cache", "--exclude=target"])
        .args(LINKS)
        .arg(".")
        .current_dir(folder);
    Ok(rumdl)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Held while a test looks for rumdl, so that only one of them fetches it.
    static FETCH: Mutex<()> = Mutex::new(());

    /// The findings in these documents, sorted, without the text behind the place and the rule.
    fn findings(documents: &[(&str, &str)]) -> Vec<String> {
        let thread = std::thread::current();
        let folder = std::env::temp_dir().join(format!(
            "headcount-{}-{}",
            std::process::id(),
            thread.name().unwrap_or_default().replace("::", "-")
        ));
        for (path, text) in documents {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a document");
        }
        let fetch = FETCH.lock();
        let rumdl = links(&folder);
        drop(fetch);
        let output = rumdl.expect("rumdl").output().expect("a report");
        std::fs::remove_dir_all(&folder).expect("the folder goes");
        let report = String::from_utf8_lossy(&output.stdout);
        let shown = report.lines().filter_map(|line| {
            let (place, what) = line.split_once(": [MD0")?;
            let (line, _column) = place.rsplit_once(':')?;
            Some(format!("{line} {}", what.split('\'').nth(1)?))
        });
        let mut found: Vec<String> = shown.collect();
        found.sort();
        assert_eq!(output.status.success(), found.is_empty(), "{report}");
        found
    }

    #[test]
    fn links_to_missing_files_and_headings_are_found() {
        let readme = "# One\n\
                      [a](docs/a.md#two) [b](docs) [c](#one) [d](https://h/x#y) [e](mailto:a@b)\n\
                      [f](docs/b.md) [g](docs/a.md#one) [h](#two) [i](../c.md)\n";
        let page = "# Two\n\
                    [j](../README.md) [k](/docs/a.md) [l](README.md) [m](../docs/./a.md#two)\n\
                    [n](/a.md)\n";
        assert_eq!(
            findings(&[("README.md", readme), ("docs/a.md", page)]),
            [
                "README.md:3 #two",
                "README.md:3 ../c.md",
                "README.md:3 docs/b.md",
                "README.md:3 one",
                "docs/a.md:2 README.md",
                "docs/a.md:3 /a.md",
            ]
        );
    }

    #[test]
    fn inline_links_and_images_are_found_with_their_lines() {
        let text = "[a](a.md), ![b](b.png \"B\") and\n\
                    [c\nd](<c d.md>) [e](f(1).md) ([g](g.md#h))\n\n\
                    * [![i](i.png)](j.md)\n| [k](k.md) | [l]( m.md ) |\n";
        assert_eq!(
            findings(&[("x.md", text)]),
            [
                "x.md:1 a.md",
                "x.md:1 b.png",
                "x.md:3 c d.md",
                "x.md:3 f(1).md",
                "x.md:3 g.md",
                "x.md:5 i.png",
                "x.md:5 j.md",
                "x.md:6 k.md",
                "x.md:6 m.md",
            ]
        );
    }

    #[test]
    fn code_and_text_that_only_resembles_a_link_give_no_finding() {
        let text = "`[a](b)` ``[c](`d)`` [e]`f`(g) [FEATURE] x (y)\n\n```\n[h](i)\n~~~\n```\n\n\
                    ~~~~ text\n[j](k)\n~~~\n[l](m)\n~~~~\n\n\
                    \\`[n](o)\\` \\[p\\](q) r](s) [t](u v)\n";
        assert_eq!(findings(&[("x.md", text)]), ["x.md:14 o"]);
        let unclosed = "a ` b\n\n[c](d) ` e\n| ` | \n| [f](g) ` |\n";
        assert_eq!(findings(&[("x.md", unclosed)]), ["x.md:3 d", "x.md:5 g"]);
    }

    #[test]
    fn reference_without_definition_is_found() {
        let text = "[a][One  two] [three][] [b][four]\n\n\
                    [one two]: a.md\n[Three]: <b.md> \"B\"\n[^1]: note\n";
        assert_eq!(
            findings(&[("x.md", text)]),
            ["x.md:1 four", "x.md:3 a.md", "x.md:4 b.md"]
        );
    }

    #[test]
    fn anchors_follow_the_rule_of_github() {
        let text = "# Files in `/proc` that do not answer\n## A_b, C-d & [E f](x.md)! ##\n\
                    ### Twice\ntext\n# Twice\n#none\n####### none\n\n```\n# code\n```\n\
                    [a](#a_b-c-d--e-f) [b](#files-in-proc-that-do-not-answer) [c](#twice) [d](#twice-1)\n\
                    [e](#twice-2) [f](#none) [g](#code)\n";
        assert_eq!(
            findings(&[("x.md", text)]),
            ["x.md:13 #code", "x.md:13 #none", "x.md:13 #twice-2"]
        );
    }
}
