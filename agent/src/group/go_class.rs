//! Character classes of Go's regular expressions: `[...]`, `\d`, `\p{...}`. Part of [`super::go_regexp`].

use super::go_regexp::{GoError, Translator, refuse};

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Go's `unicode.Categories`.
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N",
    "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So",
    "Z", "Zl", "Zp", "Zs", "Any",
];

/// The content of `\d`, `\w` and `\s`, ASCII only, and whether the letter negates it.
pub(super) fn perl_class(letter: Option<char>) -> Option<(&'static str, bool)> {
    match letter? {
        'd' => Some(("0-9", false)),
        'D' => Some(("0-9", true)),
        'w' => Some(("0-9A-Za-z_", false)),
        'W' => Some(("0-9A-Za-z_", true)),
        's' => Some(("\\t\\n\\x0C\\r\\x20", false)),
        'S' => Some(("\\t\\n\\x0C\\r\\x20", true)),
        _ => None,
    }
}

/// `\pL`, `\p{Greek}`, `\P{^Lu}` at the start of `text`: the same class for the `regex` crate, and its length in `text`.
pub(super) fn unicode_class(text: &str) -> Result<Option<(String, usize)>, GoError> {
    let mut negated = match text.as_bytes() {
        [b'\\', b'p', ..] => false,
        [b'\\', b'P', ..] => true,
        _ => return Ok(None),
    };
    let bad = |length: usize| refuse("invalid character class range", &text[..length]);
    let (mut name, length) = match text[2..].chars().next() {
        None => return bad(text.len()),
        Some('{') => match text.find('}') {
            Some(end) => (&text[3..end], end + 1),
            None => return bad(text.len()),
        },
        Some(letter) => (&text[2..2 + letter.len_utf8()], 2 + letter.len_utf8()),
    };
    if let Some(inner) = name.strip_prefix('^') {
        (name, negated) = (inner, !negated);
    }
    let query = match name {
        "Any" => name.to_owned(),
        // Surrogates: no text contains one, and the `regex` crate has no name for them.
        "Cs" if negated => return Ok(Some(("\\p{Any}".to_owned(), length))),
        "Cs" => return Ok(Some(("\\P{Any}".to_owned(), length))),
        _ if CATEGORIES.contains(&name) => format!("gc={name}"),
        _ if is_script(name) => format!("sc={name}"),
        _ => return bad(length),
    };
    let letter = if negated { 'P' } else { 'p' };
    Ok(Some((format!("\\{letter}{{{query}}}"), length)))
}

/// Whether `name` is a script in Unicode's spelling: `Greek`, `Old_Italic`. The `regex` crate would accept any case.
fn is_script(name: &str) -> bool {
    let capital = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
    let spelt =
        name.split('_').all(capital) && name.chars().all(|c| c == '_' || c.is_ascii_alphabetic());
    spelt && regex::bytes::Regex::new(&format!("\\p{{sc={name}}}")).is_ok()
}

impl Translator<'_> {
    /// A class in brackets.
    pub(super) fn class(&mut self) -> Result<(), GoError> {
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
