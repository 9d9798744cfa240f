//! `/proc/<pid>/limits`: the limit of open files of a process.
//!
//! It has its own parser, because only one of seventeen lines is used, of every process at every pass. The procfs crate makes a
//! map of strings of all lines, needs every line, panics on a line of fewer than three words, and takes 20 times as long to parse
//! (5.6 against 0.28 us).

use std::ffi::CStr;

use super::decimal::{parse_decimal, words};

/// Name, and largest size read, bytes; a real file has about 1,400.
pub(super) const FILE: (&CStr, usize) = (c"limits", 16 << 10);

/// The line exists but cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Parses the soft limit of `Max open files`; `u64::MAX` for `unlimited`, `None` if the line is missing.
pub(super) fn parse_fd_limit(file: &[u8]) -> Result<Option<u64>, Malformed> {
    let line = file
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Max open files"));
    match line.map(|columns| words(columns).next()) {
        None => Ok(None),
        Some(Some(b"unlimited")) => Ok(Some(u64::MAX)),
        Some(soft) => soft.and_then(parse_decimal).map(Some).ok_or(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_of_open_files_is_parsed() {
        let table = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max processes             62898                62898                processes \n\
                 Max open files            {soft:<20} 1048576              files     \n\
                 Max nice priority         0                    0                    \n"
            )
        };
        assert_eq!(parse_fd_limit(table("1024").as_bytes()), Ok(Some(1024)));
        assert_eq!(parse_fd_limit(table("0").as_bytes()), Ok(Some(0)));
        assert_eq!(
            parse_fd_limit(table("unlimited").as_bytes()),
            Ok(Some(u64::MAX))
        );
        for bad in ["-1", "many", "18446744073709551616"] {
            assert_eq!(
                parse_fd_limit(table(bad).as_bytes()),
                Err(Malformed),
                "{bad}"
            );
        }
    }

    #[test]
    fn missing_line_is_no_limit_and_half_a_line_is_malformed() {
        assert_eq!(parse_fd_limit(b""), Ok(None));
        assert_eq!(parse_fd_limit(b"\xff\n\n Max\n"), Ok(None));
        assert_eq!(parse_fd_limit(b"Max open files"), Err(Malformed));
        assert_eq!(
            parse_fd_limit(b"Max open files      \nunlimited"),
            Err(Malformed)
        );
    }
}
