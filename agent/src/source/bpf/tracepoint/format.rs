//! A parser for the description of one tracepoint (`events/<category>/<event>/format` in tracefs).
//!
//! ```text
//! field:pid_t next_pid; offset:56; size:4; signed:1;
//! field:__data_loc char[] filename; offset:8; size:4; signed:0;
//! ```

/// A field of the tracepoint's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// Bytes from the start of the record.
    pub(super) offset: u32,
    /// Size in bytes.
    pub(super) size: u32,
}

/// The field called `name`; `None` if the event lacks it or its line cannot be parsed.
pub(super) fn parse_field(format: &str, name: &str) -> Option<Field> {
    format.lines().find_map(|line| {
        let (declaration, rest) = line.trim_start().strip_prefix("field:")?.split_once(';')?;
        if called(declaration) != name {
            return None;
        }
        let number = |key: &str| {
            let part = rest.split(';').map(str::trim);
            let mut values = part.filter_map(|part| part.strip_prefix(key)?.strip_prefix(':'));
            values.next()?.parse().ok()
        };
        Some(Field {
            offset: number("offset")?,
            size: number("size")?,
        })
    })
}

/// The name in a C declaration: the last word, without the length of an array.
fn called(declaration: &str) -> &str {
    let last = declaration.split_whitespace().next_back();
    let last = last.unwrap_or_default();
    last.split_once('[').map_or(last, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMAT: &str = "name: x\nID: 1\nformat:\n\
        \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n\n\
        \tfield:char next_comm[16];\toffset:40;\tsize:16;\tsigned:0;\n\
        \tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n\
        \nprint fmt: \"field:pid_t fake;\toffset:1;\tsize:4;\", REC->next_comm\n";

    #[test]
    fn fields_are_found_by_their_names_alone() {
        let found = |name| parse_field(FORMAT, name).map(|field| (field.offset, field.size));
        assert_eq!(found("common_flags"), Some((2, 1)));
        assert_eq!(found("next_comm"), Some((40, 16)));
        assert_eq!(found("filename"), Some((8, 4)));
        assert_eq!(found("comm"), None);
        assert_eq!(found("fake"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn a_line_that_is_not_understood_is_no_field() {
        for line in [
            "\tfield:int a;",
            "\tfield:int a;\toffset:x;\tsize:4;",
            "\tfield:int a;\toffset:-1;\tsize:4;",
            "\tfield:int a;\toffset:99999999999;\tsize:4;",
            "\tfield:int a;\tsize:4;",
            "field:",
            "field:;",
        ] {
            assert_eq!(parse_field(line, "a"), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_stops_it(text: String, name: String) {
            let _ = parse_field(&text, &name);
        }
    }
}
