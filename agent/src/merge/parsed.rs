//! One body, parsed: its families and where their lines are.
//!
//! In: the bytes of a body. Out: families by the names that they have in text 0.0.4, and where the lines of each are ([`Run`]),
//! or the first fault. The lines are checked here and read again by the output.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::line::{CommentLine, Cursor};
use super::{BodyFormat, MAX_FAMILIES, MAX_RUNS, MalformedBody, RESERVED};
use crate::exposition::Kind;

const TOO_MANY_FAMILIES: &str = "the body has more than 65,536 families";

/// A family of one body. The type is `None` if it is untyped.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyFamily<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Option<Kind>,
    /// As the body writes it.
    pub(super) help: &'a [u8],
}

/// Lines of one family that follow each other, `start..end` of the body. Each is the line of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) family: u32,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) series: u32,
}

/// A body without faults.
#[derive(Debug, Default)]
pub(super) struct ParsedBody<'a> {
    pub(super) families: Vec<BodyFamily<'a>>,
    pub(super) runs: Vec<Run>,
    pub(super) timestamps: u64,
    pub(super) exemplars: u64,
    pub(super) reserved: u64,
}

/// The types of both formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeclaredType {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    Unknown,
}

/// The last statement of a body about a name.
#[derive(Debug, Default)]
struct Declared<'a> {
    declared_type: Option<DeclaredType>,
    help: &'a [u8],
}

/// A body up to the place that was read.
struct BodyReading<'a> {
    format: BodyFormat,
    declared: HashMap<&'a [u8], Declared<'a>, RandomState>,
    by_name: HashMap<&'a [u8], u32, RandomState>,
    parsed: ParsedBody<'a>,
}

impl<'a> ParsedBody<'a> {
    pub(super) fn parse(body: &'a [u8], format: BodyFormat) -> Result<Self, MalformedBody> {
        let malformed = |at: usize, reason| {
            let before = body.get(..at).unwrap_or(body);
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            MalformedBody { line, reason }
        };
        if u32::try_from(body.len()).is_err() {
            return Err(malformed(0, "the body has more than 4 GiB"));
        }
        if let Err(error) = std::str::from_utf8(body) {
            return Err(malformed(error.valid_up_to(), "the body is not UTF-8"));
        }
        let mut reading = BodyReading {
            format,
            declared: HashMap::default(),
            by_name: HashMap::default(),
            parsed: Self::default(),
        };
        let mut cursor = Cursor::new(body, 0);
        let mut line = 0;
        match reading.read(&mut cursor, &mut line) {
            Ok(()) => Ok(reading.parsed),
            Err(reason) => Err(malformed(line, reason)),
        }
    }
}

impl<'a> BodyReading<'a> {
    /// Reads all lines; `line` is where the one begins that is being read.
    fn read(&mut self, cursor: &mut Cursor<'a>, line: &mut usize) -> Result<(), &'static str> {
        let mut labels = Vec::new();
        let mut last: Option<(&[u8], u32)> = None;
        loop {
            *line = cursor.at;
            let start = cursor.place();
            cursor.skip_blanks();
            match cursor.peek() {
                Some(b'\n') => cursor.at += 1,
                Some(b'#') => {
                    match cursor.comment(self.format)? {
                        CommentLine::Help { name, text } => self.help(name, text)?,
                        CommentLine::Type { name, word } => self.declare(name, word)?,
                        CommentLine::End if cursor.peek().is_none() => return Ok(()),
                        CommentLine::End => return Err("lines behind `# EOF`"),
                        CommentLine::Other => {}
                    }
                    last = None;
                }
                Some(_) => {
                    let series = cursor.series(self.format, &mut labels)?;
                    if RESERVED.iter().any(|start| series.name.starts_with(start)) {
                        self.parsed.reserved += 1;
                        continue;
                    }
                    self.parsed.timestamps += u64::from(series.timestamp.is_some());
                    self.parsed.exemplars += u64::from(series.has_exemplar);
                    let family = match last {
                        Some((name, family)) if name == series.name => family,
                        _ => self.family(series.name)?,
                    };
                    last = Some((series.name, family));
                    self.add(family, start, cursor.place())?;
                }
                None if self.format == BodyFormat::Text => return Ok(()),
                None => return Err("the body ends without `# EOF`"),
            }
        }
    }

    /// Adds a line of a series to the run before it, or begins a run.
    fn add(&mut self, family: u32, start: u32, end: u32) -> Result<(), &'static str> {
        let is_full = self.parsed.runs.len() == MAX_RUNS;
        match self.parsed.runs.last_mut() {
            Some(run) if run.family == family && run.end == start => {
                run.end = end;
                run.series += 1;
            }
            _ if is_full => return Err("lines of too many families alternate"),
            _ => self.parsed.runs.push(Run {
                family,
                start,
                end,
                series: 1,
            }),
        }
        Ok(())
    }

    fn help(&mut self, name: &'a [u8], text: &'a [u8]) -> Result<(), &'static str> {
        self.declared(name)?.help = text;
        if let Some(family) = self.known(name)
            && family.help.is_empty()
        {
            family.help = text;
        }
        Ok(())
    }

    /// A family keeps its first type. A second type begins a new family: in OpenMetrics, Go programs write `x` and `x_total` as
    /// two families `x`.
    fn declare(&mut self, name: &'a [u8], word: &[u8]) -> Result<(), &'static str> {
        let declared_type = DeclaredType::parse(word, self.format).ok_or("unknown type")?;
        let before = self.declared(name)?.declared_type.replace(declared_type);
        if before.is_none()
            && let Some(family) = self.known(name)
        {
            family.kind = declared_type.kind();
        }
        Ok(())
    }

    fn declared(&mut self, name: &'a [u8]) -> Result<&mut Declared<'a>, &'static str> {
        if self.declared.len() >= MAX_FAMILIES && !self.declared.contains_key(name) {
            return Err(TOO_MANY_FAMILIES);
        }
        Ok(self.declared.entry(name).or_default())
    }

    fn known(&mut self, name: &[u8]) -> Option<&mut BodyFamily<'a>> {
        let family = *self.by_name.get(name)?;
        self.parsed.families.get_mut(family as usize)
    }

    /// The family of a series called `name`.
    fn family(&mut self, name: &'a [u8]) -> Result<u32, &'static str> {
        let (name, kind, help) = self.resolve(name);
        if let Some(family) = self.by_name.get(name) {
            return Ok(*family);
        }
        let family = self.parsed.families.len();
        if family == MAX_FAMILIES {
            return Err(TOO_MANY_FAMILIES);
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked above")]
        let family = family as u32;
        self.by_name.insert(name, family);
        self.parsed.families.push(BodyFamily { name, kind, help });
        Ok(family)
    }

    /// Name, type and help of the family of a series called `name`: a family of that name, or one that such a series belongs to
    /// by its ending, else an untyped family of its own.
    fn resolve(&self, name: &'a [u8]) -> (&'a [u8], Option<Kind>, &'a [u8]) {
        if let Some(declared) = self.declared.get(name) {
            let kind = declared.declared_type.and_then(DeclaredType::kind);
            return (name, kind, declared.help);
        }
        if let Some(at) = name.iter().rposition(|byte| *byte == b'_')
            && let Some(declared) = self.declared.get(&name[..at])
            && let Some(of) = declared.declared_type
            && let Some((is_part, kind)) = of.with_ending(&name[at..], self.format)
        {
            let name = if is_part { &name[..at] } else { name };
            return (name, Some(kind), declared.help);
        }
        (name, None, b"")
    }
}

impl DeclaredType {
    fn parse(word: &[u8], format: BodyFormat) -> Option<Self> {
        Some(match (word, format) {
            (b"counter", _) => Self::Counter,
            (b"gauge", _) => Self::Gauge,
            (b"histogram", _) => Self::Histogram,
            (b"summary", _) => Self::Summary,
            (b"untyped", BodyFormat::Text) | (b"unknown", BodyFormat::OpenMetrics) => Self::Unknown,
            (b"gaugehistogram", BodyFormat::OpenMetrics) => Self::GaugeHistogram,
            (b"info", BodyFormat::OpenMetrics) => Self::Info,
            (b"stateset", BodyFormat::OpenMetrics) => Self::StateSet,
            _ => return None,
        })
    }

    /// The type in text 0.0.4.
    const fn kind(self) -> Option<Kind> {
        match self {
            Self::Counter => Some(Kind::Counter),
            Self::Gauge | Self::Info | Self::StateSet => Some(Kind::Gauge),
            Self::Histogram | Self::GaugeHistogram => Some(Kind::Histogram),
            Self::Summary => Some(Kind::Summary),
            Self::Unknown => None,
        }
    }

    /// The type of a series with this ending in text 0.0.4, and whether it is part of the family there. Otherwise it is a family
    /// of its own.
    fn with_ending(self, ending: &[u8], format: BodyFormat) -> Option<(bool, Kind)> {
        Some(match (self, ending, format) {
            (Self::Histogram, b"_bucket" | b"_count" | b"_sum", _)
            | (Self::GaugeHistogram, b"_bucket", _) => (true, Kind::Histogram),
            (Self::Summary, b"_count" | b"_sum", _) => (true, Kind::Summary),
            (Self::Counter, b"_total", BodyFormat::OpenMetrics) => (false, Kind::Counter),
            (Self::GaugeHistogram, b"_gcount" | b"_gsum", _)
            | (Self::Info, b"_info", _)
            | (
                Self::Counter | Self::Histogram | Self::Summary,
                b"_created",
                BodyFormat::OpenMetrics,
            ) => (false, Kind::Gauge),
            _ => return None,
        })
    }
}
