//! Parts of an exposition: the output of single writers, and the one body made of several parts.
//!
//! In: the text of each [`Writer`](super::Writer) and the places of its families in it. Out: one body, all families sorted by
//! name. Writers need not know each other, and may run on different threads: if two of them write the same family, the body has
//! its head once. Left to others: that no two samples have the same labels; debug builds assert that.

use std::collections::BTreeMap;
use std::ops::Range;

/// The place of one family in the text.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) name: Range<usize>,
    pub(super) head: usize,
    pub(super) samples: usize,
    pub(super) end: usize,
    /// Number of lines from `samples` to `end`.
    pub(super) lines: u64,
    /// Whether any of these lines has a label.
    pub(super) labelled: bool,
}

/// The families that one [`Writer`](super::Writer) has written: their text and their places in it.
#[derive(Debug, Clone, Default)]
pub struct Part {
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
    pub(super) samples: u64,
}

impl Part {
    /// A part with text that is in the format already, as one block; it stands before the families of other parts. Its samples
    /// are not counted.
    pub fn verbatim(text: String) -> Self {
        let end = text.len();
        let block = Block {
            name: 0..0,
            head: 0,
            samples: 0,
            end,
            lines: 0,
            labelled: false,
        };
        Self {
            text,
            blocks: vec![block],
            samples: 0,
        }
    }

    /// Its samples; each line of a histogram counts as one.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Size of its text, bytes.
    pub const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Adds the number of lines of each of its families with labels to `families`.
    pub fn count_labelled(&self, families: &mut BTreeMap<String, u64>) {
        for block in self.blocks.iter().filter(|block| block.labelled) {
            let name = &self.text[block.name.clone()];
            match families.get_mut(name) {
                Some(lines) => *lines += block.lines,
                None => drop(families.insert(name.to_owned(), block.lines)),
            }
        }
    }
}

/// The body that `parts` make together, families sorted by name. Samples of one family stand in the order of the parts, and
/// within a part in the order in which they were written.
pub fn assemble(parts: &[&Part]) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(parts.iter().map(|part| part.blocks.len()).sum());
    for (n, part) in parts.iter().enumerate() {
        let text = part.text.as_str();
        blocks.extend(
            part.blocks
                .iter()
                .map(|block| (&text[block.name.clone()], n, block, text)),
        );
    }
    blocks.sort_unstable_by_key(|(name, n, block, _)| (*name, *n, block.head));
    let mut body = String::with_capacity(parts.iter().map(|part| part.text.len()).sum());
    let mut last = None;
    for (name, _, block, text) in blocks {
        let from = if last == Some(name) {
            block.samples
        } else {
            block.head
        };
        body.push_str(&text[from..block.end]);
        last = Some(name);
    }
    debug_assert_eq!(repeated(&body), None, "two samples with the same labels");
    body.into_bytes()
}

/// The first sample that occurs twice in `body`, without its value.
fn repeated(body: &str) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    body.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.rsplit_once(' ')?.0))
        .find(|sample| !seen.insert(*sample))
}

#[cfg(test)]
mod tests {
    use super::super::{Descriptor, Kind, Writer};
    use super::*;

    const fn family(name: &'static str) -> Descriptor {
        Descriptor {
            name,
            kind: Kind::Gauge,
            help: "Help.",
            labels: &["of"],
            unit: "",
            source: "",
            fallback: "",
        }
    }

    static A: Descriptor = family("a");
    static B: Descriptor = family("b");
    static C: Descriptor = family("c");

    fn part(families: &[&'static Descriptor], of: &str) -> Part {
        let mut writer = Writer::default();
        for family in families {
            writer.family(family).sample(&[of], 1_u64);
        }
        writer.take()
    }

    #[test]
    fn families_of_several_parts_are_sorted_together_and_have_one_head() {
        let (first, second) = (part(&[&C, &A], "1"), part(&[&B, &C, &A], "2"));
        let body = String::from_utf8(assemble(&[&first, &second])).unwrap();
        let head = |name: &str| format!("# HELP {name} Help.\n# TYPE {name} gauge\n");
        let expected = [
            head("a") + "a{of=\"1\"} 1\na{of=\"2\"} 1\n",
            head("b") + "b{of=\"2\"} 1\n",
            head("c") + "c{of=\"1\"} 1\nc{of=\"2\"} 1\n",
        ];
        assert_eq!(body, expected.concat());
        assert_eq!((first.samples(), second.samples()), (2, 3));
        assert!(first.bytes() + second.bytes() > body.len());
        let mut families = BTreeMap::new();
        for part in [&first, &second] {
            part.count_labelled(&mut families);
        }
        let counts = [("a", 2), ("b", 1), ("c", 2)];
        assert_eq!(
            families,
            counts.map(|(name, n)| (name.to_owned(), n)).into()
        );
    }

    #[test]
    fn parts_without_families_add_nothing() {
        let only = part(&[&A], "1");
        let alone = assemble(&[&only]);
        assert_eq!(
            assemble(&[&Part::default(), &only, &Part::default()]),
            alone
        );
        assert_eq!(assemble(&[]), b"");
    }

    #[test]
    fn verbatim_text_stands_first_as_it_is() {
        let given = Part::verbatim("z 1\n".to_owned());
        assert_eq!(assemble(&[&given]), b"z 1\n");
        let body = assemble(&[&part(&[&A], "1"), &given]);
        assert!(body.starts_with(b"z 1\n# HELP a "));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "two samples with the same labels")]
    fn the_same_sample_in_two_parts_is_noticed() {
        assemble(&[&part(&[&A], "1"), &part(&[&A], "1")]);
    }
}
