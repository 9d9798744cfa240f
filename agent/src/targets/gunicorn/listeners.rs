//! The control socket among the sockets that a process listens on. Pure.
//!
//! In: the inodes of a process's sockets, the table of Unix sockets in its network namespace (`/proc/<pid>/net/unix`), and its
//! command line. Out: the path by which its control socket was bound. The module setproctitle overwrites arguments and environment
//! of an arbiter, and a configuration file may set the path, so the kernel's table is the only source that always has it.

use std::collections::HashSet;

/// The end of the socket's name, unless `--control-socket` gives it another one. Other Unix sockets serve requests.
const ENDING: &[u8] = b".ctl";
/// Flags, type and state in the table: it accepts connections, is a stream, and is not connected.
const LISTENS: [&[u8]; 3] = [b"00010000", b"0001", b"01"];

/// The inode of a socket in the text of a descriptor's link, `socket:[4711]`.
pub(super) fn inode(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The absolute path of the first socket in `table` that is one of `inodes`, listens, and has a name for control sockets.
pub(super) fn control_path<'t>(
    table: &'t [u8],
    inodes: &HashSet<u64>,
    cmdline: &[u8],
) -> Option<&'t [u8]> {
    let named = option(cmdline);
    let is_named = |path: &[u8]| match named {
        Some(named) if named.starts_with(b"/") => path == named,
        Some(named) => path
            .strip_suffix(named)
            .is_some_and(|directory| directory.ends_with(b"/")),
        None => false,
    };
    let lines = table.split(|byte| *byte == b'\n');
    let mut paths = lines.filter_map(|line| {
        let (inode, path) = listener(line)?;
        inodes.contains(&inode).then_some(path)
    });
    paths.find(|path| path.starts_with(b"/") && (path.ends_with(ENDING) || is_named(path)))
}

/// Inode and path of a line about a listening stream socket. Before the path stand seven words, the first of which is an address.
fn listener(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = line;
    let mut words = [&[][..]; 7];
    for word in &mut words {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        rest = &rest[start..];
        let end = rest.iter().position(|byte| *byte == b' ')?;
        (*word, rest) = rest.split_at(end);
    }
    let [_, _, _, flags, kind, state, inode] = words;
    let inode = std::str::from_utf8(inode).ok()?.parse().ok()?;
    let is_listener = [flags, kind, state] == LISTENS;
    is_listener.then_some((inode, rest.strip_prefix(b" ")?))
}

/// The value of `--control-socket` in a command line; of several, the last one.
fn option(cmdline: &[u8]) -> Option<&[u8]> {
    let (mut words, mut value) = (cmdline.split(|byte| *byte == 0), None);
    while let Some(word) = words.next() {
        match word.strip_prefix(b"--control-socket") {
            Some(b"") => value = words.next(),
            Some(rest) => value = rest.strip_prefix(b"=").or(value),
            None => {}
        }
    }
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The table of a process that ran Gunicorn 27.0.1, shortened.
    const TABLE: &str = "\
Num       RefCount Protocol Flags    Type St Inode Path
00000000f6682ec8: 00000002 00000000 00010000 0001 01    53 /tmp/a/.gunicorn/gunicorn.ctl
0000000000000000: 00000003 00000000 00000000 0001 03    54
0000000000000000: 00000003 00000000 00000000 0001 03    55 /tmp/connected.ctl
0000000000000000: 00000002 00000000 00000000 0002 01    56 /run/datagrams.ctl
0000000000000000: 00000002 00000000 00010000 0001 01    57 @abstract.ctl
0000000000000000: 00000002 00000000 00010000 0001 01    58 relative.ctl
0000000000000000: 00000002 00000000 00010000 0001 01    59 /run/shop/requests.sock
0000000000000000: 00000002 00000000 00010000 0001 01    60 /run/shop/with a space.ctl
";

    fn path<const N: usize>(inodes: [u64; N], words: &[&str]) -> Option<&'static str> {
        let cmdline = words.join("\0") + "\0";
        let inodes = HashSet::from(inodes);
        let path = control_path(TABLE.as_bytes(), &inodes, cmdline.as_bytes());
        path.map(|path| {
            let start = TABLE.find(std::str::from_utf8(path).unwrap()).unwrap();
            &TABLE[start..start + path.len()]
        })
    }

    #[test]
    fn control_socket_is_known_by_its_name() {
        let all = [53, 54, 55, 56, 57, 58, 59, 60];
        let default = Some("/tmp/a/.gunicorn/gunicorn.ctl");
        assert_eq!(path(all, &["gunicorn", "app:app"]), default);
        assert_eq!(path([60], &[]), Some("/run/shop/with a space.ctl"));
        assert_eq!(path([54, 55, 56, 57, 58, 59], &[]), None);
        assert_eq!(path([], &[]), None);
    }

    #[test]
    fn another_name_is_known_by_the_option() {
        let requests = Some("/run/shop/requests.sock");
        for words in [
            &[
                "gunicorn",
                "--control-socket",
                "/run/shop/requests.sock",
                "m",
            ][..],
            &["gunicorn", "--control-socket=/run/shop/requests.sock"],
            &["gunicorn", "--control-socket", "requests.sock"],
            &["gunicorn", "--control-socket=shop/requests.sock"],
            &["--control-socket", "x", "--control-socket", "requests.sock"],
        ] {
            assert_eq!(path([59], words), requests, "{words:?}");
        }
        for words in [
            &["gunicorn", "--control-socket"][..],
            &["gunicorn", "--control-socket="],
            &[
                "gunicorn",
                "--control-socket-mode",
                "/run/shop/requests.sock",
            ],
            &["gunicorn", "--control-socket", "s.sock"],
            &["gunicorn", "--control-socket", "/shop/requests.sock"],
            &["gunicorn", "--bind", "unix:/run/shop/requests.sock"],
        ] {
            assert_eq!(path([59], words), None, "{words:?}");
        }
    }

    #[test]
    fn inodes_are_those_of_sockets() {
        assert_eq!(inode(b"socket:[4711]"), Some(4711));
        for bad in [
            "pipe:[4711]",
            "socket:[]",
            "socket:[-1]",
            "socket:[1",
            "/socket:[1]",
            "",
        ] {
            assert_eq!(inode(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn path_comes_from_a_line_with_its_inode(
            lines in prop::collection::vec(("[0-9a-f]{4}: 2 0 (00010000|00000000) 000[12] 0[13]", 0_u64..4, "[ /@a-c]{0,4}(\\.ctl)?"), 0..6),
            cut in 0_usize..300,
        ) {
            let lines: Vec<String> = lines.iter().map(|(head, inode, path)| format!("{head} {inode} {path}")).collect();
            let mut table = lines.join("\n");
            table.truncate(cut);
            let found = control_path(table.as_bytes(), &HashSet::from([1]), b"");
            if let Some(path) = found {
                let path = std::str::from_utf8(path).unwrap();
                let is_line = |line: &str| line.ends_with(&format!(" 00010000 0001 01 1 {path}"));
                prop_assert!(table.lines().any(is_line));
                prop_assert!(path.starts_with('/') && path.ends_with(".ctl"));
            }
        }
    }
}
