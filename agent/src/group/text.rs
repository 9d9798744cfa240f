//! Decodes bytes of a process to text, measures text as the exposition writes it, and takes Go's base name.

use crate::process::Arguments;

/// Appends `bytes` to `out`; each byte that is not UTF-8 becomes one U+FFFD, as in Go.
pub(super) fn decode(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
}

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

/// Go's `filepath.Base`: trailing slashes stripped, `/` for slashes only, `.` for nothing.
pub(super) fn base(path: &[u8]) -> &[u8] {
    let Some(end) = path.iter().rposition(|byte| *byte != b'/') else {
        return if path.is_empty() { b"." } else { b"/" };
    };
    let path = &path[..=end];
    path.iter()
        .rposition(|byte| *byte == b'/')
        .map_or(path, |slash| &path[slash + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_byte_is_one_character() {
        let cases: [(&[u8], &str); 6] = [
            (b"plain", "plain"),
            (b"a\xffb", "a\u{fffd}b"),
            (b"\xe2\x82", "\u{fffd}\u{fffd}"),
            (b"\xf0\x80\x80\x80x", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}x"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            ("é\n\0".as_bytes(), "é\n\0"),
        ];
        for (bytes, expected) in cases {
            let mut text = String::new();
            decode(bytes, &mut text);
            assert_eq!(text, expected, "{bytes:?}");
        }
    }

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

    #[test]
    fn base_names() {
        let cases = [
            ("/usr/bin/q/", "q"),
            ("/", "/"),
            ("//a//b//", "b"),
            ("", "."),
            ("///", "/"),
            ("a", "a"),
            ("nginx: master process /usr/sbin/nginx -g", "nginx -g"),
            ("./foo", "foo"),
        ];
        for (path, expected) in cases {
            assert_eq!(base(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
