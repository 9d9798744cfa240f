//! Fuzz target for the answers of an arbiter and the kernel's table of its sockets.

use std::collections::HashSet;

use super::answer::{oldest_heartbeat, stats};
use super::listeners::control_path;

/// Reads the input as both answers, and as a table of Unix sockets in front of a command line. Asserts that ages are none of the
/// future, and that a path stands in the table in a line with its inode.
pub(crate) fn gunicorn_control(input: &[u8]) {
    let _ = stats(input);
    if let Ok(Some(age)) = oldest_heartbeat(input) {
        assert!(age >= 0.0 && age.is_finite());
    }
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (table, cmdline) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let inodes = HashSet::from([4711]);
    if let Some(path) = control_path(table, &inodes, cmdline) {
        assert!(path.starts_with(b"/") && !path.contains(&b'\n'));
        let mut lines = table.split(|byte| *byte == b'\n');
        let is_whole = |line: &[u8]| {
            let head = line.strip_suffix(path).unwrap_or_default();
            head.trim_ascii_end().ends_with(b"4711")
        };
        assert!(lines.any(is_whole));
        assert_eq!(control_path(table, &HashSet::new(), cmdline), None);
    }
}
