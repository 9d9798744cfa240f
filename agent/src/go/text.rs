//! Bytes as Go converts them to text, and the base name of a path.

/// Appends `bytes` to `out`; each byte that is not UTF-8 becomes one U+FFFD, as in Go.
pub(crate) fn decode(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
}

/// Go's `filepath.Base`: trailing slashes stripped, `/` for slashes only, `.` for nothing.
pub(crate) fn base(path: &[u8]) -> &[u8] {
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
    fn base_name_is_that_of_go_filepath() {
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
