//! Joins the arguments of a process to text, and measures text as the exposition writes it.

use crate::go::text::decode;
use crate::process::Arguments;

/// The longest beginning of `text` that takes at most `most` bytes in the exposition, and the bytes it takes there. The
/// exposition writes each backslash, quote and line feed as two bytes, so a name of quotes is twice as long there.
pub(super) fn fitting(text: &str, most: usize) -> (&str, usize) {
    let mut escaped = 0;
    for (at, character) in text.char_indices() {
        let bytes = match character {
            '\\' | '"' | '\n' => 2,
            other => other.len_utf8(),
        };
        if escaped + bytes > most {
            return (&text[..at], escaped);
        }
        escaped += bytes;
    }
    (text, escaped)
}

/// The arguments, with one space between two.
pub(super) fn joined(argv: &Arguments) -> String {
    let mut text = String::with_capacity(argv.bytes());
    for (index, argument) in argv.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        decode(argument, &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_text_is_measured_after_escaping_and_cut_between_characters() {
        let cases = [
            ("plain", 5, "plain", 5),
            ("plain", 4, "plai", 4),
            ("\"\\\n", 6, "\"\\\n", 6),
            ("\"\"\"", 5, "\"\"", 4),
            ("a\"b", 2, "a", 1),
            ("éé", 3, "é", 2),
            ("", 0, "", 0),
            ("x", 0, "", 0),
            ("\t\0", 2, "\t\0", 2),
        ];
        for (text, most, expected, bytes) in cases {
            assert_eq!(fitting(text, most), (expected, bytes), "{text:?} in {most}");
        }
    }
}
