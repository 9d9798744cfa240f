//! Finds names (`comm`, `exe`, `user`) that were meant to be something else: expressions, shell patterns, exclusions.

use crate::config::Key;

/// The mistake in a name, and the text to write instead.
pub(super) fn remark(key: Key, text: &str) -> Option<String> {
    let excluded = text
        .strip_prefix('!')
        .map(str::trim)
        .filter(|rest| !rest.is_empty());
    if let Some(excluded) = excluded {
        return Some(format!(
            "{text:?} excludes nothing: it is compared as it stands; put the item - {{{key}: ['{excluded}'], exclude: true}} before this one"
        ));
    }
    if !looks_like_expression(text) {
        return None;
    }
    let remedy = match (alternatives(text), key) {
        (Some(names), _) => format!("write {key}: [{}]", names.join(", ")),
        (None, Key::User) => "list the users one by one".to_owned(),
        (None, _) => {
            format!(
                "list the names one by one, or use cmdline: ['{}']",
                text.replace('\'', "''")
            )
        }
    };
    Some(format!(
        "{text:?} is compared as it stands, not as an expression, so it never matches; {remedy}"
    ))
}

/// Whether the author probably took the name for an expression. Each sign is rare in names; `(sd-pam)`, `g++`, `python3.11` and
/// `kworker/0:1` are names.
fn looks_like_expression(text: &str) -> bool {
    const SIGNS: [&str; 14] = [
        "*", "|", "\\", ".+", ".?", "(?", ")?", ")+", "]?", "]+", "){", "]{", "[^", "[[:",
    ];
    SIGNS.iter().any(|sign| text.contains(sign))
        || text.starts_with('^')
        || text.len() > 1 && text.ends_with('$')
        || has_class(text)
}

/// Whether a part of it is `[0-9]` or the like. A name that is wholly in brackets is how ps shows a kernel thread.
fn has_class(text: &str) -> bool {
    let is_whole = text.starts_with('[') && text.find(']') == Some(text.len() - 1);
    let class = text
        .split_once('[')
        .and_then(|(_, rest)| Some(rest.split_once(']')?.0));
    class.is_some_and(|class| {
        !class.is_empty() && (!is_whole || class.len() == 3 && class.as_bytes()[1] == b'-')
    })
}

/// The names in `a|b` or `^(a|b)$`.
fn alternatives(text: &str) -> Option<Vec<&str>> {
    let text = text.strip_prefix('^').unwrap_or(text);
    let text = text.strip_suffix('$').unwrap_or(text);
    let inside = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    let text = inside.unwrap_or(text);
    let is_plain = |name: &&str| {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_./@+".contains(c);
        !name.is_empty() && name.chars().all(is_of_name)
    };
    let names: Vec<&str> = text.split('|').collect();
    (names.len() > 1 && names.iter().all(is_plain)
        || inside.is_none() && names.len() == 1 && is_plain(&names[0]))
    .then_some(names)
}
