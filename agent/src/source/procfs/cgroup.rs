//! `/proc/<pid>/cgroup`: the control groups a process is in. Parsed by the procfs crate: it is read once for each name.

use std::ffi::CStr;

use procfs::{FromBufRead, ProcessCGroups};

/// Name, and longest file that is read, bytes; a path is at most 4,096 long, and there are at most a dozen hierarchies.
pub(super) const FILE: (&CStr, usize) = (c"cgroup", 128 << 10);

/// The path of each line, in file order; `None` when a line is not as a kernel writes it.
///
/// Bytes that are not UTF-8 become U+FFFD here: paths are shown and compared as text.
pub(super) fn parse_cgroup(file: &[u8]) -> Option<Vec<String>> {
    ProcessCGroups::from_buf_read(String::from_utf8_lossy(file).as_bytes())
        .map(|lines| lines.into_iter().map(|line| line.pathname).collect())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_their_hierarchy() {
        let paths = |file| parse_cgroup(file).unwrap();
        assert_eq!(paths(b"0::/user.slice/a:b\n"), ["/user.slice/a:b"]);
        assert_eq!(
            paths(b"2:cpu,cpuacct:/x\n1:name=systemd:/y\n0::/\n"),
            ["/x", "/y", "/"]
        );
        assert_eq!(paths(b"0::/caf\xc3\n"), ["/caf\u{fffd}"]);
        assert_eq!(paths(b""), Vec::<String>::new());
    }

    #[test]
    fn garbage_gives_nothing() {
        for bad in [
            &b"\n"[..],
            b"x\n",
            b"0:/\n",
            b"-1::/\n",
            b"99999999999::/\n",
            b"\xff\0",
        ] {
            assert_eq!(parse_cgroup(bad), None, "{bad:?}");
        }
    }
}
