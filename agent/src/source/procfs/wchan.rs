//! `/proc/<pid>/wchan`: the kernel function a task sleeps in.
//!
//! A parser of our own: the procfs crate hands the file over as it is and reads it of processes, not of threads.

use std::ffi::CStr;

/// Name, and longest file that is read, bytes: a kernel symbol has at most 512.
pub(super) const FILE: (&CStr, usize) = (c"wchan", 1 << 10);

/// The function; `None` for `0` and for nothing: not asleep, or not for us to know.
pub(super) fn parse_wchan(file: &[u8]) -> Option<String> {
    let name = file.trim_ascii();
    (!name.is_empty() && name != b"0").then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_nothing_are_none() {
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
