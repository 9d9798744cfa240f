//! Finds items that are never reached, because an earlier item matches every process that they could match.
//!
//! The lists alone decide, and only in certain cases. One assumption is made: a process that `comm` names, and not as a kernel
//! thread, has a command line.

use super::entries::is_kernel_thread;
use crate::config::{Config, Item, Key, Text};
use crate::group::finds_nothing;

/// Expressions that match every text.
const ALWAYS: [&str; 5] = ["", ".*", "^.*", "^", "$"];
/// Expressions that match every text except the empty one, apart from line breaks.
const ANYTHING: [&str; 3] = [".+", ".", "^.+"];

/// Line and text of the finding, if the item is never reached.
pub(super) fn remark(config: &Config, index: usize) -> Option<(usize, String)> {
    let (item, before) = (config.items.get(index)?, config.items.get(..index)?);
    let (number, earlier) = before
        .iter()
        .enumerate()
        .find(|(_, earlier)| takes_all(earlier, item))?;
    let what = format!(
        "it is never reached, because item {} (line {}) matches all that it could; put it before that one, or remove it",
        number + 1,
        earlier.line
    );
    Some((item.line, what))
}

/// Whether `earlier` matches every process that `later` matches.
fn takes_all(earlier: &Item, later: &Item) -> bool {
    Key::SELECTORS.into_iter().all(|key| {
        let Some(wanted) = earlier.list(key) else {
            return true;
        };
        let has = later.list(key).map_or(&[][..], Vec::as_slice);
        match key {
            Key::Cmdline | Key::Cgroup => wanted.iter().all(|one| follows(key, one, later)),
            _ => !has.is_empty() && has.iter().all(|one| lists(key, wanted, &one.text)),
        }
    })
}

/// Whether every process that matches `one` matches one of the entries.
fn lists(key: Key, entries: &[Text], one: &str) -> bool {
    let base = one.rsplit('/').next().unwrap_or_default();
    entries
        .iter()
        .any(|entry| entry.text == one || (key == Key::Exe && entry.text == base))
}

/// Whether the expression matches in every process that `later` matches.
fn follows(key: Key, Text { text, .. }: &Text, later: &Item) -> bool {
    let own = later.list(key).map_or(&[][..], Vec::as_slice);
    let exe = later.exe.as_deref().unwrap_or_default();
    let has_it = |entry: &Text| {
        is_plain(text) && is_plain(&entry.text) && entry.text.contains(text.as_str())
    };
    if own.iter().any(|entry| entry.text == *text || has_it(entry)) {
        return true;
    }
    // A process in no cgroup has no path in which an expression could match.
    key == Key::Cmdline
        && (ALWAYS.contains(&text.as_str())
            || ANYTHING.contains(&text.as_str()) && has_command_line(later)
            || is_plain(text)
                && !exe.is_empty()
                && exe.iter().all(|entry| entry.text.contains(text.as_str())))
}

/// Whether every process that the item matches has a command line.
fn has_command_line(item: &Item) -> bool {
    let is_program = |comm: &Text| !is_kernel_thread(&comm.text);
    item.exe.is_some()
        || item
            .comm
            .as_ref()
            .is_some_and(|list| list.iter().all(is_program))
        || item
            .cmdline
            .iter()
            .flatten()
            .any(|entry| !finds_nothing(&entry.text))
}

/// Whether an expression consists only of plain characters, so that it matches every text that contains it.
fn is_plain(expression: &str) -> bool {
    !expression.contains([
        '\\', '(', ')', '[', ']', '{', '}', '*', '+', '?', '^', '$', '|',
    ])
}
