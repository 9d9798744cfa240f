//! Text for display: makes hostile names harmless.

use serde::Serialize;

/// Length limit of displayed text, in characters; longer text is cut and ends with `…`.
const MAX_CHARACTERS: usize = 256;

/// A text for display: characters that cannot be seen (control characters, marks that change the direction of
/// writing) are escaped as in Rust, and it has at most 256 characters. It is not yet escaped for HTML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    /// Escapes and shortens `text`.
    pub fn of(text: &str) -> Self {
        let mut out = String::new();
        let mut characters = 0;
        for char in text.chars() {
            let start = out.len();
            match char {
                '"' | '\'' => out.push(char),
                _ => out.extend(char.escape_debug()),
            }
            characters += out[start..].chars().count();
            if characters >= MAX_CHARACTERS {
                out.truncate(start);
                out.push('…');
                break;
            }
        }
        Self(out)
    }

    /// The same for bytes; U+FFFD replaces each invalid UTF-8 sequence.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::of(&String::from_utf8_lossy(bytes))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped() {
        for (text, expected) in [
            ("plain 'a' \"b\"", "plain 'a' \"b\""),
            ("\u{1b}[2J\n\0", "\\u{1b}[2J\\n\\0"),
            ("\u{202e}gpj.exe\u{2066}", "\\u{202e}gpj.exe\\u{2066}"),
            ("\u{200b}\u{feff}\u{ad}", "\\u{200b}\\u{feff}\\u{ad}"),
            ("a\\nb", "a\\\\nb"),
            ("שלום café", "שלום café"),
        ] {
            assert_eq!(Shown::of(text).0, expected, "{text:?}");
        }
        assert_eq!(Shown::of_bytes(b"cut caf\xc3").0, "cut caf\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_at_the_limit() {
        for text in ["a".repeat(4096), "\u{202e}".repeat(4096), "é\n".repeat(999)] {
            let shown = Shown::of(&text).0;
            assert!(
                shown.chars().count() <= MAX_CHARACTERS && shown.ends_with('…'),
                "{shown}"
            );
        }
        let fits = "x".repeat(MAX_CHARACTERS - 1);
        assert_eq!(Shown::of(&fits).0, fits);
    }
}
