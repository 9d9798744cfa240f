//! Escapes help texts and label values, so that no name, however hostile, breaks the body.

/// Appends a label value, without its quotes. The format allows control characters other than the line feed
/// unescaped.
pub(super) fn write_label_value(value: &str, out: &mut String) {
    let mut written = 0;
    for (at, byte) in value.bytes().enumerate() {
        let escaped = match byte {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            b'\n' => "\\n",
            _ => continue,
        };
        // The three escaped bytes are ASCII, so both cuts are at character boundaries.
        out.push_str(&value[written..at]);
        out.push_str(escaped);
        written = at + 1;
    }
    out.push_str(&value[written..]);
}

/// Appends a help text.
pub(super) fn write_help(help: &str, out: &mut String) {
    for character in help.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{write_help, write_label_value};

    fn label(value: &str) -> String {
        let mut out = String::new();
        write_label_value(value, &mut out);
        out
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(label("plain"), "plain");
        assert_eq!(label(""), "");
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
        assert_eq!(label("\n\n"), "\\n\\n");
        assert_eq!(
            label("caf\u{e9}\u{FFFD}\"\u{1F980}"),
            "caf\u{e9}\u{FFFD}\\\"\u{1F980}"
        );
        assert_eq!(label("a\0b"), "a\0b");
        assert_eq!(label("tab\tcr\r"), "tab\tcr\r");
    }

    #[test]
    fn help_keeps_its_quotes() {
        let mut out = String::new();
        write_help("a \"b\" \\ \n c", &mut out);
        assert_eq!(out, "a \"b\" \\\\ \\n c");
    }
}
