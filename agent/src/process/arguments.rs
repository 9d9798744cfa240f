//! The argument vector of a process: one bounded buffer, however many arguments the process shows.
//!
//! A process may overwrite its arguments with anything: a million NULs are a million empty arguments. So arguments are never
//! stored one by one. The buffer has the kernel's format, one NUL between two arguments; readers split it at the NULs.

use std::fmt;

/// All arguments in one buffer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// All arguments in order, one NUL between two, none at the end.
    bytes: Box<[u8]>,
    /// Number of arguments: an empty buffer is no argument, or one empty argument.
    count: u16,
    is_cut: bool,
}

impl Arguments {
    /// At most this many bytes are held, NULs between arguments included.
    pub const MAX_BYTES: usize = 64 << 10;
    /// At most this many arguments are held.
    pub const MAX_COUNT: usize = 4096;

    /// From the content of `/proc/<pid>/cmdline`, or the beginning of it. As in process-exporter, NULs at the end are dropped
    /// before splitting, and a file of NULs only is one empty argument. Arguments beyond the bounds are dropped;
    /// [`Arguments::is_cut`] then returns `true`.
    pub fn of_file(file: &[u8]) -> Self {
        Self::of_beginning(file, Self::MAX_BYTES)
    }

    /// As [`Self::of_file`], but keeps at most `most` bytes.
    pub fn of_beginning(file: &[u8], most: usize) -> Self {
        if file.is_empty() {
            return Self::default();
        }
        let most = most.min(Self::MAX_BYTES);
        let is_long = file.len() > most;
        let file = &file[..file.len().min(most)];
        let last = file.iter().rposition(|byte| *byte != 0);
        let file = &file[..last.map_or(0, |last| last + 1)];
        let mut ends = nuls(file);
        let beyond = ends.nth(Self::MAX_COUNT - 1);
        let count = match beyond {
            Some(_) => Self::MAX_COUNT,
            None => nuls(file).count() + 1,
        };
        Self {
            bytes: file[..beyond.unwrap_or(file.len())].into(),
            count: u16::try_from(count).unwrap_or(u16::MAX),
            is_cut: is_long || beyond.is_some(),
        }
    }

    /// Whether there are no arguments: a kernel thread or a zombie.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of arguments.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Number of bytes held.
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the process has more than is held here.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The same arguments, marked as cut.
    pub fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }

    /// The first argument.
    pub fn first(&self) -> Option<&[u8]> {
        self.iter().next()
    }

    /// Each argument, raw bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let words = self.bytes.split(|byte| *byte == 0);
        words.take(self.len())
    }

    /// All arguments, one blank between two, raw bytes.
    pub fn joined(&self) -> Vec<u8> {
        let blank = |byte: &u8| if *byte == 0 { b' ' } else { *byte };
        self.bytes.iter().map(blank).collect()
    }

    /// The first `most` bytes, marked as cut if there are more.
    pub fn shortened(&self, most: usize) -> Self {
        if self.bytes.len() <= most {
            return self.clone();
        }
        Self::of_file(&self.bytes[..most]).cut()
    }
}

fn nuls(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let places = bytes.iter().enumerate();
    places.filter_map(|(at, byte)| (*byte == 0).then_some(at))
}

impl<T: AsRef<[u8]>> FromIterator<T> for Arguments {
    /// From single arguments, within the same bounds. Empty arguments at the end stay.
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for word in words {
            let word = word.as_ref();
            let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
            if count == Self::MAX_COUNT {
                return Self::of_parts(bytes, count).cut();
            }
            if count > 0 {
                bytes.push(0);
            }
            bytes.extend_from_slice(word);
            count += 1;
            if bytes.len() > Self::MAX_BYTES {
                return Self::of_file(&bytes);
            }
        }
        Self::of_parts(bytes, count)
    }
}

impl Arguments {
    fn of_parts(bytes: Vec<u8>, count: usize) -> Self {
        Self {
            bytes: bytes.into(),
            count: u16::try_from(count).unwrap_or(u16::MAX),
            is_cut: false,
        }
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.iter().map(<[u8]>::escape_ascii);
        let mut list = formatter.debug_list();
        list.entries(words.map(|word| word.to_string()));
        if self.is_cut {
            return list.finish_non_exhaustive();
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(file: &[u8]) -> Vec<Vec<u8>> {
        let arguments = Arguments::of_file(file);
        assert!(!arguments.is_cut());
        arguments.iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn file_of_procfs_splits_at_nuls_after_trimming() {
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

    #[test]
    fn file_beyond_the_bounds_is_cut_and_marked() {
        let nuls = Arguments::of_file(&[0; Arguments::MAX_BYTES + 1]);
        assert_eq!((nuls.len(), nuls.bytes(), nuls.is_cut()), (1, 0, true));
        let many = Arguments::of_file(&b"x\0".repeat(1 << 20));
        assert_eq!((many.len(), many.is_cut()), (4096, true));
        assert_eq!(many.bytes(), 2 * 4096 - 1);
        let exactly = b"x\0".repeat(4096);
        let exactly = Arguments::of_file(&exactly);
        assert_eq!((exactly.len(), exactly.is_cut()), (4096, false));
        let one = Arguments::of_file(&[b'x'; Arguments::MAX_BYTES + 1]);
        assert_eq!(
            (one.len(), one.bytes(), one.is_cut()),
            (1, Arguments::MAX_BYTES, true)
        );
        let fits = Arguments::of_file(&[b'x'; Arguments::MAX_BYTES]);
        assert_eq!((fits.bytes(), fits.is_cut()), (Arguments::MAX_BYTES, false));
    }

    #[test]
    fn list_of_words_is_bounded_as_a_file_is() {
        let none: [&str; 0] = [];
        assert!(none.iter().collect::<Arguments>().is_empty());
        let empty: Arguments = [""].iter().collect();
        assert_eq!((empty.len(), empty.first()), (1, Some(&b""[..])));
        let three: Arguments = ["a", "", ""].iter().collect();
        assert_eq!(three.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b""]);
        let many: Arguments = std::iter::repeat_n("x", 9999).collect();
        assert_eq!((many.len(), many.is_cut()), (4096, true));
        let long: Arguments = [vec![b'a'; 9], vec![b'b'; 1 << 20]].iter().collect();
        assert_eq!((long.len(), long.is_cut()), (2, true));
        assert_eq!(long.bytes(), Arguments::MAX_BYTES);
    }

    #[test]
    fn shortened_arguments_are_a_marked_beginning() {
        let all: Arguments = ["abc", "defg"].iter().collect();
        assert_eq!(all.shortened(8), all);
        assert_eq!(all.joined(), b"abc defg");
        let some = all.shortened(6);
        assert_eq!((some.joined(), some.is_cut()), (b"abc de".to_vec(), true));
        assert_eq!(all.shortened(4).joined(), b"abc");
        assert_eq!(all.shortened(0).len(), 0);
    }

    #[test]
    fn debug_text_lists_words_and_shows_the_cut() {
        let all: Arguments = ["a", "b\u{7}"].iter().collect();
        assert_eq!(format!("{all:?}"), r#"["a", "b\\x07"]"#);
        assert_eq!(format!("{:?}", all.shortened(1)), r#"["a", ..]"#);
    }
}
