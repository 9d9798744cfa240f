//! The families of all bodies: one type for each name, and where the lines of each family are.
//!
//! In: parsed bodies. Out: [`Piece`]s in the order in which they are written. A family is *demoted* if its type cannot stand:
//! its series become untyped families by their own names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use super::line::Cursor;
use super::parsed::{ParsedBody, Run};
use super::{InstanceOutcome, MAX_FAMILIES, MAX_PIECES, ScrapedBody};
use crate::exposition::Kind;

/// A family of the merged body.
#[derive(Debug, Clone, Copy)]
pub(super) struct MergedFamily<'a> {
    pub(super) name: &'a [u8],
    /// `None` if it is untyped.
    pub(super) kind: Option<Kind>,
    /// As the first body with a help writes it.
    pub(super) help: &'a [u8],
    /// Types that bodies give it, one bit for each.
    kinds: u8,
    is_demoted: bool,
}

/// A run of one instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) instance: u32,
    /// With the family's place in the table.
    pub(super) run: Run,
}

#[derive(Debug, Default)]
pub(super) struct FamilyTable<'a> {
    by_name: HashMap<&'a [u8], u32, RandomState>,
    pub(super) families: Vec<MergedFamily<'a>>,
    /// Sorted once the table is settled.
    pub(super) pieces: Vec<Piece>,
    /// Families that lost their type.
    pub(super) conflicts: u64,
}

impl<'a> FamilyTable<'a> {
    /// Adds the families of an instance. Returns how many series have no place, because the table or the list of pieces is full.
    pub(super) fn join(&mut self, instance: u32, body: &ParsedBody<'a>) -> u64 {
        let places: Vec<Option<u32>> = body
            .families
            .iter()
            .map(|family| self.add(family.name, family.kind, family.help))
            .collect();
        let mut cut = 0;
        for run in &body.runs {
            match places.get(run.family as usize).copied().flatten() {
                Some(family) if self.pieces.len() < MAX_PIECES => self.pieces.push(Piece {
                    instance,
                    run: Run { family, ..*run },
                }),
                _ => cut += u64::from(run.series),
            }
        }
        cut
    }

    /// The place of a family; `None` if it is not there and the table is full.
    fn add(&mut self, name: &'a [u8], kind: Option<Kind>, help: &'a [u8]) -> Option<u32> {
        match self.by_name.entry(name) {
            Entry::Occupied(entry) => {
                let family = self.families.get_mut(*entry.get() as usize)?;
                family.kinds |= bit(kind);
                if family.help.is_empty() {
                    family.help = help;
                }
                Some(*entry.get())
            }
            Entry::Vacant(_) if self.families.len() == MAX_FAMILIES => None,
            Entry::Vacant(entry) => {
                let place = u32::try_from(self.families.len()).ok()?;
                self.families.push(MergedFamily {
                    name,
                    kind,
                    help,
                    kinds: bit(kind),
                    is_demoted: false,
                });
                Some(*entry.insert(place))
            }
        }
    }

    /// Demotes families whose type cannot stand, and sorts the pieces. Counts the series that then have no place in the table.
    pub(super) fn settle(&mut self, answers: &[ScrapedBody<'a>], outcomes: &mut [InstanceOutcome]) {
        self.demote();
        self.split(answers, outcomes);
        let mut by_name: Vec<usize> = (0..self.families.len()).collect();
        by_name.sort_unstable_by_key(|place| self.families[*place].name);
        let mut ranks = vec![0_usize; self.families.len()];
        for (rank, place) in by_name.into_iter().enumerate() {
            ranks[place] = rank;
        }
        self.pieces.sort_unstable_by_key(|piece| {
            let rank = ranks.get(piece.run.family as usize);
            (rank.copied(), piece.instance, piece.run.start)
        });
    }

    /// Demotes families of several types, and those of which a part is called like another family, with that one.
    fn demote(&mut self) {
        let mut waiting: Vec<u32> = Vec::new();
        for (place, family) in (0..).zip(&self.families) {
            if family.kinds.count_ones() > 1 {
                waiting.push(place);
            }
            if let Some(at) = family.name.iter().rposition(|byte| *byte == b'_')
                && let Some(whole) = self.by_name.get(&family.name[..at])
                && endings(self.families[*whole as usize].kinds).contains(&&family.name[at..])
            {
                waiting.push(*whole);
            }
        }
        let mut name = Vec::new();
        while let Some(place) = waiting.pop() {
            let family = &mut self.families[place as usize];
            if family.is_demoted {
                continue;
            }
            family.is_demoted = true;
            family.kind = None;
            self.conflicts += u64::from(family.kinds != bit(None));
            for ending in endings(family.kinds) {
                name.clear();
                name.extend_from_slice(family.name);
                name.extend_from_slice(ending);
                waiting.extend(self.by_name.get(&*name));
            }
        }
    }

    /// Gives the series of demoted families to the families of their own names.
    fn split(&mut self, answers: &[ScrapedBody<'a>], outcomes: &mut [InstanceOutcome]) {
        if self.conflicts == 0 {
            return;
        }
        for piece in std::mem::take(&mut self.pieces) {
            let family = self.families[piece.run.family as usize];
            if !family.is_demoted || endings(family.kinds).is_empty() {
                self.pieces.push(piece);
                continue;
            }
            let Some(answer) = answers.get(piece.instance as usize) else {
                continue;
            };
            let mut cursor = Cursor::new(answer.body, piece.run.start as usize);
            let mut labels = Vec::new();
            while cursor.at < piece.run.end as usize {
                let start = cursor.place();
                cursor.skip_blanks();
                // Was read before.
                let Ok(series) = cursor.series(answer.format, &mut labels) else {
                    break;
                };
                let end = cursor.place();
                let Some(place) = self.add(series.name, None, family.help) else {
                    if let Some(outcome) = outcomes.get_mut(piece.instance as usize) {
                        outcome.cut += 1;
                    }
                    continue;
                };
                match self.pieces.last_mut() {
                    Some(Piece { instance, run })
                        if (*instance, run.family, run.end) == (piece.instance, place, start) =>
                    {
                        run.end = end;
                        run.series += 1;
                    }
                    _ => self.pieces.push(Piece {
                        instance: piece.instance,
                        run: Run {
                            family: place,
                            start,
                            end,
                            series: 1,
                        },
                    }),
                }
            }
        }
    }
}

const fn bit(kind: Option<Kind>) -> u8 {
    match kind {
        None => 1,
        Some(Kind::Counter) => 2,
        Some(Kind::Gauge) => 4,
        Some(Kind::Summary) => 8,
        Some(Kind::Histogram) => 16,
    }
}

/// The suffixes of the family's name in the names of its series, if it has one of these types.
const fn endings(kinds: u8) -> &'static [&'static [u8]] {
    if kinds & bit(Some(Kind::Histogram)) != 0 {
        &[b"_bucket", b"_count", b"_sum"]
    } else if kinds & bit(Some(Kind::Summary)) != 0 {
        &[b"_count", b"_sum"]
    } else {
        &[]
    }
}
