//! Rewrites Go's regular expressions for the `regex` crate.
//!
//! In comes a pattern as Go's regexp package (1.23) reads it; out goes a pattern with the same meaning for the `regex` crate,
//! and the names of its groups. Patterns that Go refuses are refused here with Go's words. Both languages follow RE2, so this
//! module walks the pattern once and rewrites only the differences: section 9 of docs/dev/compatibility.md lists them.
//!
//! Differences that stay: a repeated `(?i)` (`a(?i)*`), a surrogate (`\x{D800}`) and nesting deeper than 250 are errors; the
//! short names of scripts (`\p{Grek}`) are accepted.

mod class;
mod error;

use std::fmt::Write as _;

use class::{POSIX, perl_class, unicode_class};
pub(crate) use error::{GoError, refuse};

/// Highest number of repetitions, nested ones multiplied.
const MAX_REPEAT: u32 = 1000;

/// A pattern for the `regex` crate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    pub(crate) pattern: String,
    /// Group names in order, "" for the whole match (the first) and for every group without a name.
    pub(crate) names: Vec<String>,
}

struct Translator<'a> {
    source: &'a str,
    /// The next byte of `source`.
    at: usize,
    out: String,
    names: Vec<String>,
    /// For each open group, the largest product of nested repetitions in it; the first entry is the whole pattern.
    open: Vec<u32>,
    /// The same product for the operand of a repetition operator at this place; `None` if there is no operand.
    operand: Option<u32>,
    /// Start of the repetition operator just passed.
    repeated: Option<usize>,
}

/// Translates `source`.
pub(crate) fn translate(source: &str) -> Result<Translated, GoError> {
    let mut translator = Translator {
        source,
        at: 0,
        out: String::with_capacity(source.len() + 16),
        names: vec![String::new()],
        open: vec![1],
        operand: None,
        repeated: None,
    };
    while let Some(next) = translator.rest().chars().next() {
        translator.step(next)?;
    }
    if translator.open.len() > 1 {
        return refuse("missing closing )", source);
    }
    Ok(Translated {
        pattern: translator.out,
        names: translator.names,
    })
}

impl<'a> Translator<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        self.at += if found { prefix.len() } else { 0 };
        found
    }

    fn step(&mut self, next: char) -> Result<(), GoError> {
        let repeated = self.repeated.take();
        match next {
            '(' => self.group()?,
            ')' => {
                self.at += 1;
                let weight = self.open.pop().unwrap_or(1);
                if self.open.is_empty() {
                    return refuse("unexpected )", self.source);
                }
                self.out.push(')');
                self.pushed(weight);
            }
            '|' => {
                self.at += 1;
                self.out.push('|');
                self.operand = None;
            }
            '*' | '+' | '?' => {
                let start = self.at;
                self.at += 1;
                self.repeat(start, repeated, 1)?;
            }
            '{' => self.braces(repeated)?,
            '[' => {
                self.class()?;
                self.pushed(1);
            }
            '\\' => self.backslash()?,
            '.' | '^' | '$' => {
                self.at += 1;
                self.out.push(next);
                self.pushed(1);
            }
            _ => {
                self.at += next.len_utf8();
                self.literal(next);
                self.pushed(1);
            }
        }
        Ok(())
    }

    /// Notes that something repeatable was written.
    fn pushed(&mut self, weight: u32) {
        self.operand = Some(weight);
        if let Some(open) = self.open.last_mut() {
            *open = weight.max(*open);
        }
    }

    /// Writes `c` so that it stands for itself everywhere.
    fn literal(&mut self, c: char) {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            let _ = write!(self.out, "\\x{{{:X}}}", u32::from(c));
        } else {
            self.out.push(c);
        }
    }

    /// Writes the operator from `start` to here, which repeats its operand up to `times` times.
    fn repeat(&mut self, start: usize, repeated: Option<usize>, times: u32) -> Result<(), GoError> {
        let end = self.at;
        self.skip("?");
        if let Some(first) = repeated {
            return refuse(
                "invalid nested repetition operator",
                &self.source[first..self.at],
            );
        }
        let operator = &self.source[start..self.at];
        let Some(weight) = self.operand else {
            return refuse("missing argument to repetition operator", operator);
        };
        let weight = weight.saturating_mul(times.max(1));
        if weight > MAX_REPEAT {
            return refuse("invalid repeat count", &self.source[start..end]);
        }
        self.out.push_str(operator);
        self.pushed(weight);
        self.repeated = Some(start);
        Ok(())
    }

    /// `{n}`, `{n,}`, `{n,m}`, or a literal brace.
    fn braces(&mut self, repeated: Option<usize>) -> Result<(), GoError> {
        let start = self.at;
        let Some((min, max, length)) = counts(self.rest()) else {
            self.at += 1;
            self.literal('{');
            self.pushed(1);
            return Ok(());
        };
        self.at += length;
        let most = max.unwrap_or(min);
        if min > MAX_REPEAT || most > MAX_REPEAT || min > most {
            return refuse("invalid repeat count", &self.source[start..self.at]);
        }
        self.repeat(start, repeated, most)
    }

    /// `(`, `(?:`, `(?flags)`, `(?P<name>`.
    fn group(&mut self) -> Result<(), GoError> {
        let start = self.at;
        self.at += 1;
        self.operand = None;
        if !self.skip("?") {
            return self.capture(String::new());
        }
        if self.skip("P<") || self.skip("<") {
            let Some(end) = self.rest().find('>') else {
                return refuse("invalid named capture", &self.source[start..]);
            };
            let name = &self.rest()[..end];
            self.at += end + 1;
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return refuse("invalid named capture", &self.source[start..self.at]);
            }
            return self.capture(name.to_owned());
        }
        self.flags(start)
    }

    /// Groups are written without their names: Go allows the same name twice, and names that start with a digit.
    fn capture(&mut self, name: String) -> Result<(), GoError> {
        self.names.push(name);
        self.open.push(1);
        self.out.push('(');
        Ok(())
    }

    fn flags(&mut self, start: usize) -> Result<(), GoError> {
        let (mut negative, mut any) = (false, false);
        let from = self.at;
        while let Some(next) = self.rest().chars().next() {
            self.at += next.len_utf8();
            match next {
                'i' | 'm' | 's' | 'U' => any = true,
                '-' if !negative => (negative, any) = (true, false),
                ':' | ')' if any || !negative => {
                    let flags = &self.source[from..self.at - 1];
                    if next == ':' {
                        self.open.push(1);
                        let _ = write!(self.out, "(?{flags}:");
                    } else if !flags.is_empty() {
                        let _ = write!(self.out, "(?{flags})");
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        refuse(
            "invalid or unsupported Perl syntax",
            &self.source[start..self.at],
        )
    }

    /// A backslash outside a class.
    fn backslash(&mut self) -> Result<(), GoError> {
        let rest = self.rest();
        let next = rest[1..].chars().next();
        if self.skip("\\Q") {
            let quoted = self.rest().split("\\E").next().unwrap_or_default();
            self.at += quoted.len();
            self.skip("\\E");
            for c in quoted.chars() {
                self.literal(c);
                self.pushed(1);
            }
            return Ok(());
        }
        if let Some(assertion) = match next {
            // Go's word boundary knows ASCII words only.
            Some('b') => Some("(?-u:\\b)"),
            Some('B') => Some("(?-u:\\B)"),
            Some('A') => Some("\\A"),
            Some('z') => Some("\\z"),
            _ => None,
        } {
            self.at += 2;
            self.out.push_str(assertion);
        } else if let Some((inside, negated)) = perl_class(next) {
            self.at += 2;
            let _ = write!(self.out, "[{}{inside}]", if negated { "^" } else { "" });
        } else if let Some((class, length)) = unicode_class(rest)? {
            self.at += length;
            self.out.push_str(&class);
        } else {
            let c = self.escape()?;
            self.literal(c);
        }
        self.pushed(1);
        Ok(())
    }

    /// A backslash sequence for one character, inside or outside a class.
    fn escape(&mut self) -> Result<char, GoError> {
        let start = self.at;
        let mut chars = self.rest()[1..].chars();
        let Some(next) = chars.next() else {
            return refuse("trailing backslash at end of expression", "");
        };
        self.at += 1 + next.len_utf8();
        let simple = match next {
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(next),
            _ if next.is_ascii() && !next.is_ascii_alphanumeric() => Some(next),
            _ => None,
        };
        match simple {
            Some(c) => Ok(c),
            None => refuse("invalid escape sequence", &self.source[start..self.at]),
        }
    }

    /// `\x7F` or `\x{10FFFF}`, from after the `x`.
    fn hexadecimal(&mut self) -> Option<char> {
        let digits = if self.skip("{") {
            let digits = &self.rest()[..self.rest().find('}')?];
            self.at += digits.len() + 1;
            digits
        } else {
            let digits = self.rest().get(..2)?;
            self.at += 2;
            digits
        };
        let hexadecimal =
            !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        char::from_u32(
            u32::from_str_radix(digits, 16)
                .ok()
                .filter(|_| hexadecimal)?,
        )
    }

    /// `\0`, `\101`: up to three digits. A single digit from 1 to 7 would be a back-reference, which Go does not have.
    fn octal(&mut self, first: char) -> Option<char> {
        let more = self
            .rest()
            .bytes()
            .take(2)
            .take_while(|digit| (b'0'..=b'7').contains(digit))
            .count();
        if first != '0' && more == 0 {
            return None;
        }
        let digits = &self.source[self.at - 1..self.at + more];
        self.at += more;
        char::from_u32(u32::from_str_radix(digits, 8).ok()?)
    }

    /// A class in brackets.
    fn class(&mut self) -> Result<(), GoError> {
        let start = self.at;
        self.at += 1;
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            if self.rest().is_empty() {
                return refuse("missing closing ]", &self.source[start..]);
            }
            if self.rest().starts_with(']') && !first {
                break;
            }
            first = false;
            if !self.named_class()? {
                self.range(start)?;
            }
        }
        self.at += 1;
        self.out.push(']');
        Ok(())
    }

    /// `[:alpha:]`, `\pL` or `\d` inside a class. Returns `false` if none of them is next.
    fn named_class(&mut self) -> Result<bool, GoError> {
        let rest = self.rest();
        if let Some(end) = rest.strip_prefix("[:").and_then(|inner| inner.find(":]")) {
            let (name, whole) = (&rest[2..2 + end], &rest[..end + 4]);
            if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return refuse("invalid character class range", whole);
            }
            self.at += whole.len();
            self.out.push_str(whole);
            return Ok(true);
        }
        if !rest.starts_with('\\') {
            return Ok(false);
        }
        if let Some((class, length)) = unicode_class(rest)? {
            self.at += length;
            self.out.push_str(&class);
            return Ok(true);
        }
        let Some((inside, negated)) = perl_class(rest[1..].chars().next()) else {
            return Ok(false);
        };
        self.at += 2;
        let class = if negated {
            format!("[^{inside}]")
        } else {
            inside.to_owned()
        };
        self.out.push_str(&class);
        Ok(true)
    }

    /// One character, or two with a dash between them.
    fn range(&mut self, class: usize) -> Result<(), GoError> {
        let start = self.at;
        let low = self.class_char(class)?;
        self.literal(low);
        let rest = self.rest();
        if rest.starts_with('-') && rest.len() > 1 && !rest.starts_with("-]") {
            self.at += 1;
            let high = self.class_char(class)?;
            if high < low {
                return refuse(
                    "invalid character class range",
                    &self.source[start..self.at],
                );
            }
            self.out.push('-');
            self.literal(high);
        }
        Ok(())
    }

    fn class_char(&mut self, class: usize) -> Result<char, GoError> {
        match self.rest().chars().next() {
            None => refuse("missing closing ]", &self.source[class..]),
            Some('\\') => self.escape(),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c)
            }
        }
    }
}

/// The numbers of `{n}`, `{n,}` or `{n,m}` at the start of `text`, and its length; `None` if `text` starts with no such
/// repetition. An open end has no upper number. Numbers too large to be valid come out larger than [`MAX_REPEAT`].
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let inside = text[1..].split('}').next()?;
    // Without a closing brace, the opening one is literal.
    text.as_bytes().get(inside.len() + 1)?;
    let number = |digits: &str| {
        let padded = digits.len() > 1 && digits.starts_with('0');
        let good =
            !digits.is_empty() && !padded && digits.bytes().all(|digit| digit.is_ascii_digit());
        good.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let length = inside.len() + 2;
    match inside.split_once(',') {
        None => number(inside).map(|n| (n, Some(n), length)),
        Some((min, "")) => number(min).map(|n| (n, None, length)),
        Some((min, max)) => Some((number(min)?, Some(number(max)?), length)),
    }
}
