//! A process by its identity: its directory in `/proc`, and whether it is still the same process.
//!
//! In: identities from the state. Out: directories that belong to these processes alone, and values of their `status`. A read in
//! `/proc` may never return, so all of this belongs in a reader (`targets/readers`).

use std::str::SplitAsciiWhitespace;

use super::failure::Failure;
use super::files::Place;
use crate::host::Host;
use crate::process::ProcessId;

/// Field of `stat` with the start time, counted from the one behind the task name, clock ticks since boot.
const START: usize = 19;

/// The real uid of a process: running a set-user-ID program does not change it.
///
/// # Errors
/// [`Failure::Gone`] if it has ended.
pub(super) fn user_of(host: &Host, id: ProcessId) -> Result<u32, Failure> {
    let process = open(host, id)?;
    let status = process.regular("status")?.read()?;
    check(host, &process, id)?;
    real_uid(&status).ok_or(Failure::Malformed)
}

/// Opens the directory of a process. All files opened in it belong to this process, even if the kernel reuses its number.
pub(super) fn open(host: &Host, id: ProcessId) -> Result<Place, Failure> {
    let process = Place::trusted(&host.procfs.join(id.tgid.to_string()))?;
    check(host, &process, id)?;
    Ok(process)
}

/// Checks that `process` is still the process with this identity.
pub(super) fn check(host: &Host, process: &Place, id: ProcessId) -> Result<(), Failure> {
    let stat = process.regular("stat")?.read()?;
    let ticks = start_ticks(&stat).ok_or(Failure::Malformed)?;
    let is_same = id.start_ns.checked_div(host.tick_ns) == Some(ticks);
    if is_same { Ok(()) } else { Err(Failure::Gone) }
}

fn start_ticks(stat: &[u8]) -> Option<u64> {
    // The task name may contain any byte, including brackets.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(START)?.parse().ok()
}

fn real_uid(status: &[u8]) -> Option<u32> {
    numbers(status, b"Uid:")?.next()?.parse().ok()
}

/// The user of a process whose real, effective, saved and file-system uids are equal.
pub(super) fn sole_uid(status: &[u8]) -> Option<u32> {
    let mut uids = numbers(status, b"Uid:")?.map(str::parse::<u32>);
    let first = uids.next()?.ok()?;
    uids.all(|uid| uid == Ok(first)).then_some(first)
}

/// The words of the line with this name.
pub(super) fn numbers<'s>(status: &'s [u8], name: &[u8]) -> Option<SplitAsciiWhitespace<'s>> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(name))?;
    Some(std::str::from_utf8(line).ok()?.split_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_read_after_any_task_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n";
        for name in ["a", "a b", ") S 1 2 (", "(x)"] {
            let stat = format!("42 ({name}) {fields}");
            assert_eq!(start_ticks(stat.as_bytes()), Some(4711), "{name}");
        }
        for bad in ["", "42 (a)", "42 (a) S 1 2", "42 (a", "\u{fffd})"] {
            assert_eq!(start_ticks(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn sole_uid_is_that_of_all_four() {
        assert_eq!(sole_uid(b"Uid:\t7\t7\t7\t7\n"), Some(7));
        for bad in [
            "",
            "Uid:\n",
            "Uid:\t7\t0\t0\t0\n",
            "Uid:\t0\t0\t7\t0\n",
            "Uid:\tx\n",
        ] {
            assert_eq!(sole_uid(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn real_uid_is_the_first() {
        assert_eq!(
            real_uid(b"Name:\tUid: 7\nUid:\t1000\t0\t0\t0\n"),
            Some(1000)
        );
        for bad in [&b""[..], b"Uid:\n", b"Uid:\tx\n", b"Uid:\t\xff\n"] {
            assert_eq!(real_uid(bad), None);
        }
    }
}
