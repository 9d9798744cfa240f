//! Suggestions for misspelt words: the known word that was probably meant.

/// The word of `known` nearest to `word`, if it is at most two letters off (one for words of up to four letters).
/// Ignores case.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word = word.to_lowercase();
    // A longer word is no typing error, and the comparison takes quadratic time.
    if word.chars().count() > 40 {
        return None;
    }
    let (off, best) = known
        .iter()
        .map(|known| (strsim::levenshtein(&word, known), *known))
        .min()?;
    (off <= if best.len() <= 4 { 1 } else { 2 }).then_some(best)
}

/// Keys that an item does not have, with the keys that do what their names suggest.
const OF_ITEM: [(&str, &str); 24] = [
    ("arguments", "cmdline"),
    ("args", "cmdline"),
    ("argv", "cmdline"),
    ("cmd", "cmdline"),
    ("command", "cmdline"),
    ("command_line", "cmdline"),
    ("commandline", "cmdline"),
    ("match", "cmdline"),
    ("pattern", "cmdline"),
    ("regex", "cmdline"),
    ("regexp", "cmdline"),
    ("process", "comm"),
    ("process_name", "comm"),
    ("processes", "comm"),
    ("binary", "exe"),
    ("executable", "exe"),
    ("path", "exe"),
    ("program", "exe"),
    ("owner", "user"),
    ("uid", "user"),
    ("username", "user"),
    ("groupname", "name"),
    ("ignore", "exclude"),
    ("skip", "exclude"),
];

/// The key of an item that does what `word` suggests, if it is one of `known`.
pub(super) fn of_item(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word = word.to_lowercase().replace('-', "_");
    let (_, key) = OF_ITEM.iter().find(|(other, _)| *other == word)?;
    known.contains(key).then_some(*key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_get_the_nearest_known_one() {
        let known = ["name", "comm", "exe", "cmdline"];
        let cases = [
            ("cmd_line", Some("cmdline")),
            ("Comm", Some("comm")),
            ("com", Some("comm")),
            ("names", Some("name")),
            ("exec", Some("exe")),
            ("commandline", None),
            ("labels", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(
            nearest("process_name", &["process_names"]),
            Some("process_names")
        );
    }
}
