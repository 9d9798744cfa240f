//! `/proc/<pid>/cmdline`: the argument vector, as the process left it.
//!
//! A parser of our own: the procfs crate gives text, and an argument may be any bytes. Daemons overwrite this memory
//! (`nginx: worker process`), so what comes out is what they chose to show.

use std::ffi::CStr;

/// Name, and how much of the file is read, bytes: what stands behind the first MiB is invisible, as it is to
/// process-exporter.
pub(super) const FILE: (&CStr, usize) = (c"cmdline", 1 << 20);

/// The arguments, raw bytes, NULs at the end trimmed before splitting.
///
/// Empty for an empty file (kernel threads, zombies). A file of NULs only is one empty argument, as process-exporter
/// has it.
pub(super) fn parse_cmdline(file: &[u8]) -> Vec<Vec<u8>> {
    if file.is_empty() {
        return Vec::new();
    }
    let end = file
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    file[..end]
        .split(|byte| *byte == 0)
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(file: &[u8]) -> Vec<Vec<u8>> {
        parse_cmdline(file)
    }

    #[test]
    fn arguments_are_bytes_between_nuls() {
        assert_eq!(words(b""), Vec::<Vec<u8>>::new());
        assert_eq!(words(b"vim\0a b\0"), [b"vim".to_vec(), b"a b".to_vec()]);
        assert_eq!(words(b"no nul at the end"), [b"no nul at the end".to_vec()]);
        assert_eq!(
            words(b"x\0\0y\0\0\0"),
            [b"x".to_vec(), b"".to_vec(), b"y".to_vec()]
        );
        assert_eq!(words(b"\0\0\0"), [b"".to_vec()]);
        assert_eq!(words(b"\0a\0"), [b"".to_vec(), b"a".to_vec()]);
        assert_eq!(words(b"a\xff\nb\0"), [b"a\xff\nb".to_vec()]);
    }
}
