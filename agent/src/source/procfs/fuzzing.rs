//! Fuzz targets for the files of `/proc`: no content makes a parser panic, and the result equals that of an independent parser.

use super::{cgroup, decimal, io, limits, smaps, stat, status, wchan};
use crate::process::{Arguments, State};

/// The number that a word of digits spells.
fn number(word: &str) -> Option<u64> {
    let is_decimal = word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|_| is_decimal)
}

/// Text with one character for each byte.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Checks `stat` against its words, counted from the last parenthesis.
pub(crate) fn stat(file: &[u8]) {
    let text = latin(file);
    let (before, behind) = text.rsplit_once(')').unwrap_or_default();
    let comm = before.split_once('(').map(|(_, comm)| comm.to_owned());
    assert_eq!(stat::parse_comm(file).map(latin), comm);
    let name = stat::task_name(file);
    assert_eq!(name.is_some(), comm.is_some());
    let kept = stat::parse_comm(file).map(|comm| &comm[..comm.len().min(15)]);
    assert!(
        name.is_none_or(|name| kept.is_some_and(|kept| name.starts_with(kept)) && name[15] == 0)
    );
    let words: Vec<&str> = behind.split_ascii_whitespace().collect();
    // Field numbers as in proc(5).
    let field = |n: usize| words.get(n - 3).copied().and_then(number);
    let parsed = stat::parse_stat(file);
    let numbers = [4, 10, 12, 14, 15, 20, 22, 23, 24].map(field);
    let is_narrow = [numbers[0], numbers[5]]
        .iter()
        .all(|n| n.is_some_and(|n| u32::try_from(n).is_ok()));
    let letter = words
        .first()
        .filter(|word| word.chars().count() == 1)
        .and_then(|word| word.chars().next());
    let is_whole =
        comm.is_some() && numbers.iter().all(Option::is_some) && is_narrow && letter.is_some();
    assert_eq!(parsed.is_some(), is_whole);
    let Some(found) = parsed else { return };
    let found_numbers = [
        u64::from(found.parent),
        found.minor_faults,
        found.major_faults,
        found.user_ticks,
        found.system_ticks,
        u64::from(found.threads),
        found.start_ticks,
        found.virtual_bytes,
        found.rss_pages,
    ];
    assert_eq!(found_numbers.map(Some), numbers);
    let letter = letter.and_then(|letter| u8::try_from(letter).ok());
    assert_eq!(Some(found.state), letter.map(State::from_letter));
}

/// Checks the files with lines of a name and numbers. If a name occurs twice, the last line counts, or the first, or their sum.
pub(crate) fn lines(file: &[u8]) {
    let text = latin(file);
    let values = |name: &str, word: usize| -> Vec<Option<u64>> {
        let of_name = text.split('\n').filter_map(|line| line.strip_prefix(name));
        of_name
            .map(|value| value.split_ascii_whitespace().nth(word).and_then(number))
            .collect()
    };
    let last = |name: &str, word| values(name, word).last().copied().flatten();
    if let Some(found) = status::parse_status(file) {
        assert_eq!(found.effective_uid.map(u64::from), last("Uid:", 1));
        let swapped = last("VmSwap:", 0).unwrap_or_default() * 1024;
        assert_eq!(found.swapped_bytes, swapped);
        let voluntary = last("voluntary_ctxt_switches:", 0);
        let both = voluntary.zip(last("nonvoluntary_ctxt_switches:", 0));
        let switches = found
            .switches
            .map(|found| (found.voluntary, found.nonvoluntary));
        assert_eq!(switches, both);
    }
    let both = last("read_bytes:", 0).zip(last("write_bytes:", 0));
    let found = io::parse_io(file);
    assert_eq!(
        found.map(|found| (found.read_bytes, found.write_bytes)),
        both
    );
    fd_limit(file, &text);
    smaps(file, &values("Pss:", 0), &values("SwapPss:", 0));
    let name = wchan::parse_wchan(file);
    assert!(name.is_none_or(|name| !name.is_empty() && name != "0"));
    assert!(decimal::parse_id(file).is_none_or(|id| id > 0));
}

fn fd_limit(file: &[u8], text: &str) {
    let line = text
        .split('\n')
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.map(|columns| columns.split_ascii_whitespace().next());
    let expected = match soft {
        None => Ok(None),
        Some(Some("unlimited")) => Ok(Some(u64::MAX)),
        Some(word) => word.and_then(number).map(Some).ok_or(limits::Malformed),
    };
    assert_eq!(limits::parse_fd_limit(file), expected);
}

fn smaps(file: &[u8], resident: &[Option<u64>], swapped: &[Option<u64>]) {
    let sum = |kib: &[Option<u64>]| {
        let mut sums = kib.iter().copied();
        sums.try_fold(0_u64, |sum, kib| sum.checked_add(kib?.checked_mul(1024)?))
    };
    let expected = sum(resident)
        .zip(sum(swapped))
        .filter(|_| !resident.is_empty());
    let found = smaps::parse(file);
    assert_eq!(
        found.map(|found| (found.resident_bytes, found.swapped_bytes)),
        expected
    );
}

/// Checks `cmdline`: its words, joined again, are the file without its terminator, or a beginning of it that is marked as cut.
pub(crate) fn cmdline(file: &[u8]) {
    let arguments = Arguments::of_file(file);
    let end = file
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let words: Vec<&[u8]> = arguments.iter().collect();
    let joined = words.join(&0);
    assert!(file[..end].starts_with(&joined));
    assert!(arguments.is_cut() || joined.len() == end);
    assert!(joined.len() <= Arguments::MAX_BYTES && words.len() <= Arguments::MAX_COUNT);
    assert_eq!(
        (words.len(), joined.len()),
        (arguments.len(), arguments.bytes())
    );
    assert_eq!(words.is_empty(), file.is_empty());
    assert!(words.iter().copied().flatten().all(|byte| *byte != 0));
    let again: Arguments = words.iter().collect();
    assert!(arguments.is_cut() || again == arguments);
}

/// Checks `cgroup`: each path is the text after the second colon of its line, and either all lines can be parsed or none. The
/// procfs crate takes lines that begin with a number sign for comments; lines of the kernel begin with digits.
pub(crate) fn cgroup(file: &[u8]) {
    let Some((paths, _)) = cgroup::parse_cgroup(file) else {
        return;
    };
    let text = String::from_utf8_lossy(file);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let expected: Vec<Option<&str>> = lines
        .iter()
        .map(|line| line.splitn(3, ':').nth(2))
        .collect();
    let found: Vec<Option<&str>> = paths.iter().map(|path| Some(path.as_str())).collect();
    assert_eq!(found, expected);
}
