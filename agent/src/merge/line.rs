//! Tokens of one line of an exposition, in both formats.
//!
//! In: the bytes of a body and a place in it. Out: the parts of the line there, as slices of the body, or its mistake.
//! Blanks are accepted where Prometheus accepts them in the text format, in OpenMetrics too.

use std::borrow::Cow;

use super::BodyFormat;

/// Most labels of one series.
const MAX_LABELS: usize = 128;

/// Sets of bytes, one bit for each: in names of metrics, in names of labels, unescaped in values of labels, in words, in lines.
const METRIC: u8 = 1;
const LABEL: u8 = 2;
const VALUE: u8 = 4;
const WORD: u8 = 8;
const LINE: u8 = 16;
/// The sets of each byte.
static SETS: [u8; 256] = {
    let mut sets = [0; 256];
    let mut byte = 0_u8;
    loop {
        let is_label = byte.is_ascii_alphanumeric() || byte == b'_';
        let is_line = byte != b'\n';
        sets[byte as usize] = set_if(is_label || byte == b':', METRIC)
            | set_if(is_label, LABEL)
            | set_if(is_line && byte != b'"' && byte != b'\\', VALUE)
            | set_if(is_line && byte != b' ' && byte != b'\t', WORD)
            | set_if(is_line, LINE);
        if byte == u8::MAX {
            break sets;
        }
        byte += 1;
    }
};

const fn set_if(is_in: bool, set: u8) -> u8 {
    if is_in { set } else { 0 }
}

/// A place in a body.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

/// One label of a series. The value is escaped, and only where it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesLabel<'a> {
    pub(super) name: Cow<'a, [u8]>,
    pub(super) value: Cow<'a, [u8]>,
}

/// The line of a series, without its labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesLine<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// As the format writes it.
    pub(super) timestamp: Option<&'a [u8]>,
    pub(super) has_exemplar: bool,
}

/// A line that begins with `#`.
#[derive(Debug, Clone, Copy)]
pub(super) enum CommentLine<'a> {
    Help { name: &'a [u8], text: &'a [u8] },
    Type { name: &'a [u8], word: &'a [u8] },
    End,
    Other,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The place, in a body shorter than 4 GiB.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "longer bodies are refused before a line is read"
    )]
    pub(super) const fn place(&self) -> u32 {
        self.at as u32
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips `byte` if it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_blanks(&mut self) {
        while is_blank(self.peek()) {
            self.at += 1;
        }
    }

    /// Takes the bytes of a set.
    fn take(&mut self, set: u8) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| SETS[usize::from(*byte)] & set == 0);
        let taken = &rest[..end.unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn word(&mut self) -> &'a [u8] {
        self.take(WORD)
    }

    /// The rest of the line, without its end.
    fn rest(&mut self) -> &'a [u8] {
        self.take(LINE)
    }

    fn end_of_line(&mut self) -> Result<(), &'static str> {
        self.skip_blanks();
        if self.eat(b'\n') || self.peek().is_none() {
            return Ok(());
        }
        Err("expected the end of the line")
    }

    fn metric_name(&mut self) -> Result<&'a [u8], &'static str> {
        match self.peek() {
            Some(first) if !first.is_ascii_digit() => {}
            _ => return Err("expected the name of a metric"),
        }
        match self.take(METRIC) {
            b"" => Err("expected the name of a metric"),
            name => Ok(name),
        }
    }

    /// Reads the line of a series, and its labels into `labels`. Afterwards the place is behind the line.
    pub(super) fn series(
        &mut self,
        format: BodyFormat,
        labels: &mut Vec<SeriesLabel<'a>>,
    ) -> Result<SeriesLine<'a>, &'static str> {
        labels.clear();
        let name = self.metric_name()?;
        self.skip_blanks();
        if self.eat(b'{') {
            self.labels(labels)?;
            self.skip_blanks();
        } else if !is_blank(self.bytes.get(self.at.wrapping_sub(1)).copied()) {
            return Err("expected a blank or labels behind the name of a metric");
        }
        let value = self.word();
        if !is_number(value) {
            return Err("the value is no number");
        }
        self.skip_blanks();
        let timestamp = match self.peek() {
            None | Some(b'\n' | b'#') => None,
            Some(_) => Some(self.word()),
        };
        if let Some(timestamp) = timestamp
            && milliseconds(timestamp, format).is_none()
        {
            return Err("the timestamp is no number");
        }
        self.skip_blanks();
        let has_exemplar = format == BodyFormat::OpenMetrics && self.eat(b'#');
        if has_exemplar {
            self.exemplar()?;
        }
        self.end_of_line()?;
        Ok(SeriesLine {
            name,
            value,
            timestamp,
            has_exemplar,
        })
    }

    /// Reads an exemplar after its `#`.
    fn exemplar(&mut self) -> Result<(), &'static str> {
        const WRONG: &str = "the exemplar is malformed";
        self.skip_blanks();
        if !self.eat(b'{') {
            return Err(WRONG);
        }
        self.labels(&mut Vec::new())?;
        self.skip_blanks();
        let value = self.word();
        self.skip_blanks();
        let timestamp = self.word();
        let is_timed =
            timestamp.is_empty() || milliseconds(timestamp, BodyFormat::OpenMetrics).is_some();
        if is_number(value) && is_timed {
            return Ok(());
        }
        Err(WRONG)
    }

    /// Reads labels up to the closing brace.
    fn labels(&mut self, labels: &mut Vec<SeriesLabel<'a>>) -> Result<(), &'static str> {
        loop {
            self.skip_blanks();
            if self.eat(b'}') {
                return Ok(());
            }
            let name = match self.peek() {
                Some(first) if !first.is_ascii_digit() => self.take(LABEL),
                _ => b"",
            };
            if name.is_empty() {
                return Err("expected the name of a label or `}`");
            }
            if name == b"__name__" || labels.iter().any(|label| *label.name == *name) {
                return Err("a series has two labels of the same name");
            }
            if labels.len() == MAX_LABELS {
                return Err("a series has more than 128 labels");
            }
            self.skip_blanks();
            if !self.eat(b'=') {
                return Err("expected `=` behind the name of a label");
            }
            self.skip_blanks();
            if !self.eat(b'"') {
                return Err("expected `\"` before the value of a label");
            }
            let value = self.quoted()?;
            labels.push(SeriesLabel {
                name: Cow::Borrowed(name),
                value,
            });
            self.skip_blanks();
            if !self.eat(b',') {
                return match self.eat(b'}') {
                    true => Ok(()),
                    false => Err("expected `,` or `}` behind a label"),
                };
            }
        }
    }

    /// Reads a label value up to its closing quote. A backslash that escapes nothing means itself.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, &'static str> {
        let start = self.at;
        let mut is_canonical = true;
        loop {
            self.take(VALUE);
            match self.peek() {
                Some(b'"') => break,
                None | Some(b'\n') => return Err("the value of a label has no closing quote"),
                Some(_) => {
                    self.at += 1;
                    let escaped = matches!(self.peek(), Some(b'n' | b'\\' | b'"'));
                    self.at += usize::from(escaped);
                    is_canonical &= escaped;
                }
            }
        }
        let value = &self.bytes[start..self.at];
        self.at += 1;
        if is_canonical {
            return Ok(Cow::Borrowed(value));
        }
        let mut canonical = Vec::with_capacity(value.len() + 1);
        let mut bytes = value.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            canonical.push(byte);
            if byte == b'\\' {
                let escaped = bytes.next_if(|next| matches!(next, b'n' | b'\\' | b'"'));
                canonical.push(escaped.unwrap_or(b'\\'));
            }
        }
        Ok(Cow::Owned(canonical))
    }

    /// Reads a line that begins with `#`. Afterwards the place is behind the line.
    pub(super) fn comment(&mut self, format: BodyFormat) -> Result<CommentLine<'a>, &'static str> {
        self.eat(b'#');
        self.skip_blanks();
        let keyword = self.word();
        self.skip_blanks();
        let comment = match keyword {
            b"HELP" => {
                let name = self.metric_name()?;
                if !matches!(self.peek(), None | Some(b' ' | b'\t' | b'\n')) {
                    return Err("expected a blank behind the name of a metric");
                }
                self.skip_blanks();
                let text = self.rest();
                CommentLine::Help { name, text }
            }
            b"TYPE" => {
                let name = self.metric_name()?;
                self.skip_blanks();
                let word = self.word();
                self.end_of_line()?;
                return Ok(CommentLine::Type { name, word });
            }
            b"EOF" if format == BodyFormat::OpenMetrics => CommentLine::End,
            _ => {
                self.rest();
                CommentLine::Other
            }
        };
        self.end_of_line()?;
        Ok(comment)
    }
}

const fn is_blank(byte: Option<u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// Whether Prometheus reads `word` as a number. A number that no float can hold is none.
fn is_number(word: &[u8]) -> bool {
    if (1..=15).contains(&word.len()) && word.iter().all(u8::is_ascii_digit) {
        return true;
    }
    let parsed = std::str::from_utf8(word).map(str::parse::<f64>);
    let Ok(Ok(value)) = parsed else {
        return false;
    };
    // Rust also reads numbers that are too large, as infinite, and NaN with a sign.
    if value.is_nan() {
        word.len() == 3
    } else {
        value.is_finite() || !word.iter().any(u8::is_ascii_digit)
    }
}

/// A timestamp in milliseconds. The text format writes milliseconds, OpenMetrics seconds.
pub(super) fn milliseconds(word: &[u8], format: BodyFormat) -> Option<i64> {
    let word = std::str::from_utf8(word).ok()?;
    match format {
        BodyFormat::Text => word.parse().ok(),
        BodyFormat::OpenMetrics => {
            let ms = word.parse::<f64>().ok()? * 1000.0;
            #[allow(
                clippy::cast_possible_truncation,
                reason = "what is less than a millisecond has no place in the text format"
            )]
            (ms.abs() < i64::MAX as f64).then_some(ms as i64)
        }
    }
}
