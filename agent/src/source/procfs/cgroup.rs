//! `/proc/<pid>/cgroup`: the control groups of a process, and the container that the node itself runs in. The procfs crate
//! parses the file, because it is read only once for each naming.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

use procfs::{FromBufRead, ProcessCGroups};

use crate::process::container_path;

/// Name, and largest size read, bytes; a path has at most 4,096 bytes, and there are at most a dozen hierarchies.
pub(super) const FILE: (&CStr, usize) = (c"cgroup", 128 << 10);

/// Parses the file. Returns the path of each line, in file order, and those paths that every process with the same cgroup v2 id
/// shares. `None` if a line is not as the kernel writes it.
///
/// Bytes that are not UTF-8 become U+FFFD, because paths are shown and compared as text.
pub(in crate::source) fn parse_cgroup(file: &[u8]) -> Option<(Vec<String>, Vec<String>)> {
    let lines = ProcessCGroups::from_buf_read(String::from_utf8_lossy(file).as_bytes());
    let lines = lines.ok()?.0;
    let unified = lines.iter().find(|line| line.hierarchy == 0);
    let unified = unified.map(|line| line.pathname.clone());
    let mut others = lines.iter().filter(|line| line.hierarchy != 0);
    let all_follow =
        |unified: &str| lines.len() == 1 || others.all(|line| follows(&line.pathname, unified));
    let is_whole = unified.as_deref().is_some_and(all_follow);
    let paths: Vec<String> = lines.into_iter().map(|line| line.pathname).collect();
    let by_id = match is_whole {
        true => paths.clone(),
        // The root of version 2 contains every process that a manager which knows only version 1 has placed anywhere, so its id
        // says nothing.
        false => unified.into_iter().filter(|path| path != "/").collect(),
    };
    Some((paths, by_id))
}

/// Whether a version 1 path follows from the v2 path: systemd puts a process into the same cgroup of each hierarchy, or into one
/// above it.
fn follows(path: &str, unified: &str) -> bool {
    let below = unified.strip_prefix(path.trim_end_matches('/'));
    unified != "/" && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The container that process 1 is in: the node itself is a container then, as nodes of kind are.
#[derive(Debug)]
pub(super) struct NodeContainer {
    /// The cgroup file of process 1.
    file: PathBuf,
    id: OnceCell<Option<String>>,
}

impl NodeContainer {
    /// Reads nothing before the first call of [`NodeContainer::id`].
    pub(super) fn new(procfs: &Path) -> Self {
        Self {
            file: procfs.join("1/cgroup"),
            id: OnceCell::new(),
        }
    }

    /// Its id; `None` if process 1 is in no container.
    pub(super) fn id(&self) -> Option<&str> {
        let read = || {
            let (paths, _) = parse_cgroup(&std::fs::read(&self.file).ok()?)?;
            container_path(&paths).map(|path| path.id.to_owned())
        };
        self.id.get_or_init(read).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(file: &[u8]) -> Vec<String> {
        parse_cgroup(file).unwrap().0
    }

    #[test]
    fn paths_by_id_of_version_2_are_those_that_follow_from_its_path() {
        let cases: [(&str, &[&str]); 9] = [
            ("0::/a/b\n", &["/a/b"]),
            ("0::/\n", &["/"]),
            (
                "2:cpu:/a\n1:name=systemd:/a/b\n0::/a/b\n",
                &["/a", "/a/b", "/a/b"],
            ),
            ("2:cpu:/\n0::/a/b\n", &["/", "/a/b"]),
            ("2:cpu:/docker/x\n0::/a\n", &["/a"]),
            ("2:cpu:/a\n0::/ab\n", &["/ab"]),
            ("2:cpu:/x\n0::/\n", &[]),
            ("2:cpu:/\n0::/\n", &[]),
            ("2:cpu:/x\n1:name=systemd:/x\n", &[]),
        ];
        for (file, expected) in cases {
            let (_, by_id) = parse_cgroup(file.as_bytes()).unwrap();
            assert_eq!(by_id, expected, "{file:?}");
        }
    }

    #[test]
    fn paths_are_parsed_without_their_hierarchy() {
        assert_eq!(paths(b"0::/user.slice/a:b\n"), ["/user.slice/a:b"]);
        assert_eq!(
            paths(b"2:cpu,cpuacct:/x\n1:name=systemd:/y\n0::/\n"),
            ["/x", "/y", "/"]
        );
        assert_eq!(paths(b"0::/caf\xc3\n"), ["/caf\u{fffd}"]);
        assert_eq!(paths(b""), Vec::<String>::new());
    }

    #[test]
    fn garbage_is_malformed() {
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

    #[test]
    fn node_that_is_a_container_has_its_id_from_process_1() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1")).unwrap();
        let id = format!("{:064x}", 7);
        for (text, expected) in [
            (format!("1:cpu:/docker/{id}\n"), Some(&*id)),
            (
                format!("0::/system.slice/docker-{id}.scope/init.scope\n"),
                Some(&*id),
            ),
            ("0::/init.scope\n".to_owned(), None),
            ("nonsense".to_owned(), None),
        ] {
            std::fs::write(dir.path().join("1/cgroup"), &text).unwrap();
            let node = NodeContainer::new(dir.path());
            assert_eq!(node.id(), expected, "{text}");
        }
    }
}
