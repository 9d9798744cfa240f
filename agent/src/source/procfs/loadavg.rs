//! `/proc/loadavg`: the number of tasks of the whole node.

use std::ffi::CStr;

use super::decimal::{parse_decimal, words};

/// Name, and largest size read, bytes; a real file has about 30.
pub(super) const FILE: (&CStr, usize) = (c"loadavg", 256);

/// Parses the second number of the fourth field, `<runnable tasks>/<all tasks>`.
pub(super) fn parse_tasks(file: &[u8]) -> Option<u64> {
    let tasks = words(file).nth(3)?;
    parse_decimal(tasks.split(|byte| *byte == b'/').nth(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::source::procfs::Procfs;

    #[test]
    fn loadavg_gives_the_number_of_all_tasks() {
        assert_eq!(parse_tasks(b"5.72 4.94 4.10 8/201 5570\n"), Some(201));
        for bad in [&b""[..], b"1 2 3", b"1 2 3 8 9", b"1 2 3 8/x 9"] {
            assert_eq!(parse_tasks(bad), None);
        }
        let mut procfs = Procfs::new(Host::detect("/proc", "/").unwrap());
        assert!(procfs.tasks() > Some(1));
    }
}
