//! Bounded texts of an instance's documents: the names of applications, and words such as versions.
//!
//! An application's name is chosen by a local user, and the other applications of the instance must not suffer from it. So a
//! long name is cut instead of refused; it stays distinct, because it ends in a hash of the whole.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// Longest name of an application, bytes. A longer one is cut to at most this.
pub(super) const MAX_NAME: usize = 256;
/// Longest word, bytes.
pub(super) const MAX_WORD: usize = 64;
/// Number of bytes of the hash that a cut name shows.
const SHOWN: usize = 8;
/// Bytes of a cut name behind the part that is kept: the mark `~` and the hash.
const END: usize = 1 + 2 * SHOWN;

/// The name of an application: not empty, without NUL, at most [`MAX_NAME`] bytes. Different texts give different names.
pub(super) fn name(text: &str) -> Option<String> {
    let fits = text.len() <= MAX_NAME && !could_be_cut(text);
    match text {
        // XML has no NUL, but its reader lets one pass.
        _ if text.is_empty() || text.contains('\0') => None,
        _ if fits => Some(text.to_owned()),
        _ => Some(cut(text)),
    }
}

/// A word: 1 to [`MAX_WORD`] characters of visible ASCII.
pub(super) fn word(text: &str) -> Option<String> {
    let is_word =
        (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}

fn cut(text: &str) -> String {
    let kept = text.floor_char_boundary(MAX_NAME - END);
    let mut name = String::with_capacity(MAX_NAME);
    name.push_str(text.get(..kept).unwrap_or_default());
    name.push('~');
    for byte in digest(&SHA256, text.as_bytes()).as_ref().iter().take(SHOWN) {
        // Writing to a `String` cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Whether a text has the length and the end of a cut name. Such a text is cut, too: otherwise it could be the name of another.
fn could_be_cut(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let end = text.rsplit_once('~').map_or("", |(_, end)| end);
    text.len() + 4 > MAX_NAME && end.len() == END - 1 && end.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_fits_stays_as_it_is() {
        for text in [
            "/srv/blog (production)",
            "é",
            &"x".repeat(MAX_NAME),
            "~0123456789abcdef",
        ] {
            assert_eq!(name(text).as_deref(), Some(text));
        }
        assert_eq!(name(""), None);
        assert_eq!(name("a\0"), None);
    }

    /// The hash is from `printf '%257s' | tr ' ' x | sha256sum`.
    #[test]
    fn a_longer_name_is_cut_and_ends_in_a_hash_of_the_whole() {
        let expected = format!("{}~15eb95a462ee20bd", "x".repeat(239));
        assert_eq!(name(&"x".repeat(257)), Some(expected));
    }

    #[test]
    fn a_name_that_looks_cut_is_no_other_name() {
        for text in ["x".repeat(300), "é".repeat(150), "\u{1f980}".repeat(80)] {
            let cut = name(&text).unwrap();
            assert!((MAX_NAME - 3..=MAX_NAME).contains(&cut.len()));
            let forged = name(&cut).unwrap();
            assert_ne!(forged, cut);
        }
    }

    #[test]
    fn a_word_is_visible_and_short() {
        for text in ["6.0.17", "standalone", "~", &"x".repeat(MAX_WORD)] {
            assert_eq!(word(text).as_deref(), Some(text));
        }
        for text in ["", "a b", "a\n", "é", "\x7f", &"x".repeat(MAX_WORD + 1)] {
            assert_eq!(word(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn names_are_bounded_and_distinct(one in "[a~é\u{1f980}]{0,300}", other in "[a~é\u{1f980}]{0,300}") {
            for text in [&one, &other] {
                prop_assert!(name(text).is_none_or(|name| name.len() <= MAX_NAME));
            }
            prop_assert_eq!(name(&one) == name(&other), one == other);
        }
    }
}
