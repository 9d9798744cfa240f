//! `/proc/<pid>/cgroup`: the control groups a process is in. Parsed by the procfs crate: it is read once for each name.

use std::ffi::CStr;

use procfs::{FromBufRead, ProcessCGroups};

/// Name, and longest file that is read, bytes; a path is at most 4,096 long, and there are at most a dozen hierarchies.
pub(super) const FILE: (&CStr, usize) = (c"cgroup", 128 << 10);

/// The path of each line, in file order; and whether whoever has the same cgroup v2 id has the same paths. `None` when a line is
/// not as a kernel writes it.
///
/// Bytes that are not UTF-8 become U+FFFD here: paths are shown and compared as text.
pub(super) fn parse_cgroup(file: &[u8]) -> Option<(Vec<String>, bool)> {
    let lines = ProcessCGroups::from_buf_read(String::from_utf8_lossy(file).as_bytes());
    let lines = lines.ok()?.0;
    let unified = lines.iter().find(|line| line.hierarchy == 0);
    let is_told = unified.is_some_and(|unified| {
        let mut others = lines.iter().filter(|line| line.hierarchy != 0);
        lines.len() == 1 || others.all(|line| holds(&line.pathname, &unified.pathname))
    });
    let paths = lines.into_iter().map(|line| line.pathname).collect();
    Some((paths, is_told))
}

/// Whether a version 1 path follows from the v2 path: systemd puts a process into the same cgroup of each hierarchy, or into
/// one above it. The root of version 2 holds all that others, who know version 1 only, have put somewhere.
fn holds(path: &str, unified: &str) -> bool {
    let below = unified.strip_prefix(path.trim_end_matches('/'));
    unified != "/" && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(file: &[u8]) -> Vec<String> {
        parse_cgroup(file).unwrap().0
    }

    #[test]
    fn an_id_of_version_2_tells_only_what_follows_from_its_path() {
        for (file, expected) in [
            ("0::/a/b\n", true),
            ("0::/\n", true),
            ("2:cpu:/a\n1:name=systemd:/a/b\n0::/a/b\n", true),
            ("2:cpu:/\n0::/a/b\n", true),
            ("2:cpu:/docker/x\n0::/system.slice/docker.service\n", false),
            ("2:cpu:/a\n0::/ab\n", false),
            ("2:cpu:/x\n0::/\n", false),
            ("2:cpu:/\n0::/\n", false),
            ("2:cpu:/x\n1:name=systemd:/x\n", false),
            ("", false),
        ] {
            assert_eq!(
                parse_cgroup(file.as_bytes()).unwrap().1,
                expected,
                "{file:?}"
            );
        }
    }

    #[test]
    fn paths_without_their_hierarchy() {
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
