//! The named character classes of Go's regular expressions: `\d`, `\p{...}`, `[:alpha:]`.

use super::error::{GoError, refuse};

/// Names in `[:...:]`.
pub(super) const POSIX: [&str; 14] = [
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
