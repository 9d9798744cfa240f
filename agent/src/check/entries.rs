//! Finds entries in the lists of one item that cannot match, or that match something else than they seem to.

use super::name;
use crate::config::{Item, Key, Text};

/// Bytes that the kernel keeps of a task's name.
const COMM: usize = 15;

/// Line and text of each finding.
pub(super) fn remarks(item: &Item) -> impl Iterator<Item = (usize, String)> {
    let entries = Key::SELECTORS.into_iter().flat_map(|key| {
        let list = item.list(key).map_or(&[][..], Vec::as_slice);
        let remarks = list.iter().filter_map(move |entry| {
            let what = remark(key, entry)?;
            Some((entry.line, format!("{key}: {what}")))
        });
        let whole = item.list(key).and_then(|list| empty(item, key, list));
        remarks.chain(whole)
    });
    entries.chain(useless(item))
}

fn remark(key: Key, Text { text, .. }: &Text) -> Option<String> {
    match key {
        Key::Cmdline | Key::Cgroup => expression(text),
        Key::Comm | Key::Exe | Key::User => name::remark(key, text).or_else(|| match key {
            Key::Comm => comm(text),
            Key::Exe => exe(text),
            _ => text
                .is_empty()
                .then(|| "an empty entry is no user; name one, or remove it".to_owned()),
        }),
        Key::Name | Key::Exclude | Key::Labels | Key::MaxGroups | Key::Http | Key::Scrape => None,
    }
}

fn comm(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("an empty entry is no task's name; name one, or remove it".to_owned());
    }
    if is_path(text) {
        let base = text.rsplit('/').next().unwrap_or_default();
        return Some(match base {
            "" => format!(
                "{text:?} is a path, and comm is a task's name, so it never matches; name the program"
            ),
            _ => format!(
                "{text:?} is a path, and comm is a task's name, so it never matches; write exe: [{text:?}], or {:?} here",
                &base[..base.floor_char_boundary(COMM)]
            ),
        });
    }
    if let Some(thread) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return Some(format!(
            "{text:?} is how ps shows a process without arguments; its name has no brackets: write {thread:?}"
        ));
    }
    // Names of kernel threads may be longer than those of other tasks.
    (text.len() > COMM && !is_kernel_thread(text)).then(|| {
        let kept = &text[..text.floor_char_boundary(COMM)];
        format!(
            "{text:?} has {} bytes, of which the kernel keeps {COMM}, so it never matches; write {kept:?}",
            text.len()
        )
    })
}

/// Whether it is a path. Names of kernel threads have slashes, too (`kworker/0:1`), but not at the beginning.
fn is_path(comm: &str) -> bool {
    ["/", "./", "../", "~/", "$"]
        .iter()
        .any(|start| comm.starts_with(start))
        && comm.contains('/')
        || comm.contains("bin/")
}

/// Whether the name looks like that of a kernel thread. The test misses some kernel threads, but takes no well-known program for
/// one.
pub(super) fn is_kernel_thread(comm: &str) -> bool {
    const BEGINNINGS: [&str; 9] = [
        "kthread",
        "kworker",
        "kswapd",
        "ksoftirqd",
        "kcompactd",
        "khugepaged",
        "kauditd",
        "rcu_",
        "oom_reaper",
    ];
    comm.contains('/')
        || BEGINNINGS
            .iter()
            .any(|beginning| comm.starts_with(beginning))
}

fn exe(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("an empty entry is no program; name one, or remove it".to_owned());
    }
    if text.ends_with('/') {
        return Some(format!(
            "{text:?} is a directory, and the first argument is a program, so it never matches; name the programs"
        ));
    }
    let (program, arguments) = text.split_once(" -")?;
    Some(format!(
        "{text:?} is compared with the first argument only, so it never matches; write {program:?} here, and \
         \"-{arguments}\" as an expression in cmdline"
    ))
}

/// Finding for a list without entries.
fn empty(item: &Item, key: Key, list: &[Text]) -> Option<(usize, String)> {
    if !list.is_empty() {
        return None;
    }
    let is_all = matches!(key, Key::Cmdline | Key::Cgroup);
    let is_alone = Key::SELECTORS
        .iter()
        .filter(|key| item.list(**key).is_some())
        .count()
        == 1;
    let what = match (is_all, is_alone) {
        (true, true) => {
            "an empty list matches every process, kernel threads too; write ['.*'] if that is meant"
        }
        (true, false) => return None,
        (false, _) => "an empty list matches no process; name something, or remove it",
    };
    Some((item.line, format!("{key}: {what}")))
}

fn expression(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(
            "an empty expression is found in everything; write one, or remove it".to_owned(),
        );
    }
    if let Some(meant) = doubled_backslash(text) {
        return Some(format!(
            "in {text:?} two backslashes in a row mean one in the command line; only in double quotes a backslash is doubled: write '{meant}'"
        ));
    }
    let star = glob_star(text)?;
    let shorter = [&text[..star - 1], &text[star + 1..]].concat();
    let meant = text.replacen('*', ".*", 1);
    Some(format!(
        "in {text:?} the star repeats the character before it, so {shorter:?} is enough to match; write {meant:?}"
    ))
}

/// The expression with one backslash in place of two, where the two are before a character that is usually escaped, and not in a
/// path of another system (`C:\\\\windows`).
fn doubled_backslash(text: &str) -> Option<String> {
    let is_doubled = text.match_indices(r"\\").any(|(at, _)| {
        let mut behind = text[at + 2..].chars();
        let next = match behind.next() {
            Some('s' | 'S' | 'd' | 'D' | 'w' | 'W' | 'b' | 'B') => !behind
                .next()
                .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_'),
            Some(other) => ".+*?()[]{}|^$/-".contains(other),
            None => false,
        };
        let before = text[..at].chars().next_back();
        next && before != Some(':') && before != Some('\\')
    });
    is_doubled.then(|| text.replace(r"\\", r"\"))
}

/// Position of the star of a shell pattern: after a letter, a digit or the like, in a text with no other sign of an expression.
fn glob_star(text: &str) -> Option<usize> {
    if text.contains(['\\', '(', ')', '[', ']', '{', '}', '^', '$', '|', '+'])
        || text.contains(".*")
    {
        return None;
    }
    let star = text.find('*')?;
    let before = text[..star].chars().next_back()?;
    (before.is_ascii_alphanumeric() || "_-/:".contains(before)).then_some(star)
}

/// Finding for a key about groups in an item that makes none.
fn useless(item: &Item) -> Option<(usize, String)> {
    let name = item.name.as_ref().map(|name| (Key::Name, name.line));
    let label = item.labels.first();
    let label = label.map(|label| (Key::Labels, label.template.line));
    let bound = item.max_groups.map(|_| (Key::MaxGroups, item.line));
    let scrape = item.scrape.as_ref().map(|_| (Key::Scrape, item.line));
    let (key, line) = name
        .or(label)
        .or(bound)
        .or(scrape)
        .filter(|_| item.exclude)?;
    let what = format!("{key}: excluded processes are in no group; remove {key}, or exclude");
    Some((line, what))
}
