//! `/proc/<pid>/wchan`: the kernel function that a task sleeps in.
//!
//! It has its own parser, because the procfs crate returns the file unparsed, and reads it of processes only, not of threads.

use std::ffi::CStr;

/// Name, and largest size read, bytes; a kernel symbol has at most 512.
pub(super) const FILE: (&CStr, usize) = (c"wchan", 1 << 10);

/// Parses the function; `None` for `0` and for an empty file: the task does not sleep, or the agent may not see it.
pub(super) fn parse_wchan(file: &[u8]) -> Option<String> {
    let name = file.trim_ascii();
    (!name.is_empty() && name != b"0").then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_an_empty_file_are_no_function() {
        assert_eq!(
            parse_wchan(b"do_epoll_wait").as_deref(),
            Some("do_epoll_wait")
        );
        assert_eq!(parse_wchan(b"poll\n").as_deref(), Some("poll"));
        assert_eq!(parse_wchan(b"00").as_deref(), Some("00"));
        assert_eq!(parse_wchan(b"0"), None);
        assert_eq!(parse_wchan(b"0\n"), None);
        assert_eq!(parse_wchan(b""), None);
        assert_eq!(parse_wchan(b"x\xff").as_deref(), Some("x\u{fffd}"));
    }
}
