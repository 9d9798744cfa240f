//! Names of bounded length that differ whenever their source texts differ.
//!
//! In comes text, in pieces; out goes a name that takes at most [`MAX_NAME`] bytes of the exposition (see [`fitting`]). A
//! longer text is cut, and ends in `~` and a hash of the whole text, so that two JVMs that differ only in their last argument
//! are two groups. The hash depends on the text alone: it is the same after a restart and on other machines. It is SHA-256, cut
//! to 64 bits, so that a local user cannot find a text that is cut to another group's name.
//!
//! A local user may decide how long a text is. Therefore only its first [`MAX_WHOLE`] bytes are hashed, and the rest is
//! refused.

use std::fmt;

use ring::digest::{Context, SHA256};

use super::text::fitting;
use crate::go::text::decode;

/// The longest group name or label value, in bytes after escaping, as one sample of the exposition holds it.
pub const MAX_NAME: usize = 1024;
/// At most this many bytes of a text are hashed.
const MAX_WHOLE: usize = 256 << 10;
/// Number of bytes of the hash that a name shows.
const SHOWN: usize = 8;
/// The character before the hash.
const MARK: char = '~';
/// Number of characters of mark and hash together.
const END: usize = 1 + 2 * SHOWN;

/// A name, and whether it was cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) is_cut: bool,
}

/// Collects a text. Writing fails once [`MAX_WHOLE`] bytes are exceeded.
#[derive(Default)]
pub(super) struct Bounded {
    text: String,
    /// Bytes of `text` after escaping.
    escaped: usize,
    whole: Option<Whole>,
}

/// The hash of a text that is longer than a name may be.
struct Whole {
    hash: Context,
    bytes: usize,
}

impl Bounded {
    pub(super) fn write_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        // Decoding never makes a text shorter, so these bytes suffice to fill it.
        let most = &bytes[..bytes.len().min(MAX_WHOLE + 4)];
        let mut decoded = String::new();
        decode(most, &mut decoded);
        fmt::Write::write_str(self, &decoded)
    }

    /// Whether the last write failed because the text is too long.
    pub(super) fn is_full(&self) -> bool {
        self.whole
            .as_ref()
            .is_some_and(|whole| whole.bytes >= MAX_WHOLE)
    }

    pub(super) fn finish(mut self) -> Name {
        // A long text that ends like a cut one is cut, too: otherwise it could equal the name of a text that was cut.
        if self.whole.is_none() && self.escaped + 4 > MAX_NAME && ends_in_hash(&self.text) {
            self.whole = Some(Whole::of(&self.text));
        }
        let Some(whole) = self.whole else {
            return Name {
                text: self.text,
                is_cut: false,
            };
        };
        let mut text = self.text;
        text.truncate(fitting(&text, MAX_NAME - END).0.len());
        text.push(MARK);
        for byte in &whole.hash.finish().as_ref()[..SHOWN] {
            text.extend([byte >> 4, byte & 15].map(hex_digit));
        }
        Name { text, is_cut: true }
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        if self.whole.is_none() {
            let (fits, escaped) = fitting(text, MAX_NAME - self.escaped);
            self.text.push_str(fits);
            self.escaped += escaped;
            rest = &text[fits.len()..];
            if rest.is_empty() {
                return Ok(());
            }
        }
        let whole = self.whole.get_or_insert_with(|| Whole::of(&self.text));
        whole.add(rest)
    }
}

impl Whole {
    fn of(text: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(text.as_bytes());
        let bytes = text.len();
        Self { hash, bytes }
    }

    fn add(&mut self, text: &str) -> fmt::Result {
        let most = text.len().min(MAX_WHOLE - self.bytes);
        self.hash.update(&text.as_bytes()[..most]);
        self.bytes += most;
        if most < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

/// The bounded name of one text.
pub(super) fn bounded(text: &str) -> Name {
    let mut out = Bounded::default();
    // Bytes beyond the limit are left out of the hash.
    let _ = fmt::Write::write_str(&mut out, text);
    out.finish()
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value)])
}

fn ends_in_hash(text: &str) -> bool {
    let end = text.rsplit_once(MARK).map_or("", |(_, end)| end);
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    end.len() == END - 1 && end.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_texts_stay_as_they_are() {
        for text in [
            "",
            "nginx",
            "~0123456789abcdef",
            &"\"".repeat(512),
            &"é".repeat(512),
        ] {
            let name = bounded(text);
            assert_eq!((name.text.as_str(), name.is_cut), (text, false));
        }
    }

    #[test]
    fn long_texts_with_the_same_beginning_are_different_names() {
        let classpath = format!("java -cp {}", "/opt/kafka/libs/a.jar:".repeat(200));
        let names = ["", "kafka.Kafka one", "kafka.Kafka two"]
            .map(|end| bounded(&format!("{classpath}{end}")));
        for (index, name) in names.iter().enumerate() {
            assert!(name.is_cut);
            assert_eq!(name.text.len(), MAX_NAME);
            assert!(name.text.starts_with("java -cp /opt/kafka/libs/a.jar:"));
            let others = names.iter().filter(|other| other.text == name.text);
            assert_eq!(others.count(), 1, "{index}");
        }
    }

    /// From `printf '%1025s' | tr ' ' x | sha256sum`. The hash must be the same in every run, on every machine and in every
    /// release: otherwise a group's series would end.
    #[test]
    fn the_hash_depends_on_the_text_alone() {
        let name = bounded(&"x".repeat(MAX_NAME + 1));
        let expected = format!("{}~c6d8e99053008760", "x".repeat(MAX_NAME - END));
        assert_eq!(name.text, expected);
    }

    #[test]
    fn a_text_that_looks_cut_is_no_other_group() {
        let cut = bounded(&"x".repeat(2000));
        let forged = bounded(&cut.text);
        assert!(forged.is_cut);
        assert_ne!(forged.text, cut.text);
    }

    #[test]
    fn the_work_for_a_text_is_bounded() {
        let mut out = Bounded::default();
        let piece = "x".repeat(64 << 10);
        let written = (0..100).take_while(|_| out.write_str(&piece).is_ok());
        assert_eq!(written.count(), 4);
        assert!(out.is_full());
        let name = out.finish();
        assert_eq!(
            name,
            bounded(&"x".repeat(MAX_WHOLE)),
            "how it was written does not matter"
        );
        assert_eq!(name, bounded(&"x".repeat(MAX_WHOLE + 9)));
    }

    proptest! {
        #[test]
        fn pieces_and_bytes_make_the_same_name(text in "[ -~é\n\\\\\"]{0,3000}", piece in 1_usize..700) {
            let mut out = Bounded::default();
            let characters: Vec<char> = text.chars().collect();
            for piece in characters.chunks(piece) {
                out.write_str(&piece.iter().collect::<String>()).unwrap();
            }
            let name = out.finish();
            prop_assert_eq!(&name, &bounded(&text));
            prop_assert_eq!(fitting(&name.text, MAX_NAME).0, name.text.as_str());
            prop_assert_eq!(name.is_cut, name.text != text);
            let mut out = Bounded::default();
            out.write_bytes(text.as_bytes()).unwrap();
            prop_assert_eq!(out.finish(), name);
        }
    }
}
