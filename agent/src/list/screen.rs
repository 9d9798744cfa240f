//! Makes hostile text safe for a terminal: nothing in the result moves the cursor, and the width is limited.

use unicode_width::UnicodeWidthChar;

/// Columns if standard output is no terminal.
const NO_TERMINAL: usize = 512;

/// Columns of the terminal on standard output.
pub fn terminal_width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        // The terminal does not know its width.
        Ok(size) if size.ws_col == 0 => 80,
        Ok(size) => size.ws_col.into(),
        Err(_) => NO_TERMINAL,
    }
}

/// `text` in at most `width` columns. Invisible characters (control characters, those that change the direction of writing) are
/// escaped as in Rust; a text that does not fit is cut off and ends in `…`.
pub(super) fn shown(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut columns = 0;
    for char in text.chars() {
        let start = out.len();
        match char {
            '"' | '\'' => out.push(char),
            _ => out.extend(char.escape_debug()),
        }
        let piece = columns_of(&out[start..]);
        if columns + piece > width {
            // Removes characters that were taken before, to make room for the sign.
            out.truncate(start);
            while columns + 1 > width
                && let Some(last) = out.pop()
            {
                columns -= columns_of(last.encode_utf8(&mut [0; 4]));
            }
            if width > 0 {
                out.push('…');
            }
            return out;
        }
        columns += piece;
    }
    out
}

/// Upper bound of the columns: a terminal may join characters.
pub(super) fn columns_of(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped() {
        for (text, expected) in [
            ("plain 'a' \"b\"", "plain 'a' \"b\""),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("a\nb\rc\td\0", "a\\nb\\rc\\td\\0"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("\u{202e}x\u{200b}\u{2028}", "\\u{202e}x\\u{200b}\\u{2028}"),
            ("a\\nb", "a\\\\nb"),
            ("café \u{fffd}", "café \u{fffd}"),
        ] {
            assert_eq!(shown(text, 99), expected, "{text:?}");
        }
    }

    #[test]
    fn text_is_cut_to_the_width() {
        let texts = [
            "",
            "a",
            "abcdef",
            "\u{1b}\u{1b}",
            "日本語",
            "é日\n",
            "abcdefghijklmnop",
        ];
        for text in texts {
            for width in 0..9 {
                let found = shown(text, width);
                let used = found.trim_end_matches('…');
                let sign = usize::from(found != used);
                assert!(
                    columns_of(used) + sign <= width,
                    "{text:?} {width}: {found:?}"
                );
            }
            assert!(!shown(text, 99).contains('…'));
        }
        assert_eq!(shown("abcdef", 4), "abc…");
    }
}
