//! Escapes help texts and label values, so that no name, however hostile, breaks the body.

/// Appends a label value, without its quotes. The format allows control characters other than the line feed
/// unescaped.
pub(crate) fn write_label_value(value: &str, out: &mut String) {
    write_escaped(value, out, |byte| match byte {
        b'\\' => Some("\\\\"),
        b'"' => Some("\\\""),
        b'\n' => Some("\\n"),
        _ => None,
    });
}

/// Appends a help text.
pub(super) fn write_help(help: &str, out: &mut String) {
    write_escaped(help, out, |byte| match byte {
        b'\\' => Some("\\\\"),
        b'\n' => Some("\\n"),
        _ => None,
    });
}

/// Appends `text` with the bytes replaced for which `escape` has something. These must be ASCII, so that all cuts are at character
/// boundaries. The text between them is copied at once.
fn write_escaped(text: &str, out: &mut String, escape: impl Fn(u8) -> Option<&'static str>) {
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(escaped) = escape(byte) {
            out.push_str(&text[written..at]);
            out.push_str(escaped);
            written = at + 1;
        }
    }
    out.push_str(&text[written..]);
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
