//! Splits Rust text into tokens, so that comments and strings do not count as paths and names.
//!
//! It handles line comments and nested block comments, strings, raw strings, characters and lifetimes. It does not interpret the
//! tokens and expands no macro.

/// An identifier, a number, `::`, or one character of punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = next(rest, first);
        let (word, tail) = rest.split_at(length);
        if is_token {
            found.push(Token {
                text: word.to_owned(),
                line,
            });
        }
        line += word.matches('\n').count();
        rest = tail;
    }
    found
}

/// Length of the token that `text` begins with, and whether it is kept.
fn next(text: &str, first: char) -> (usize, bool) {
    if text.starts_with("//") {
        (text.find('\n').unwrap_or(text.len()), false)
    } else if text.starts_with("/*") {
        (block_comment(text), false)
    } else if let Some(length) = raw_string(text) {
        (length, false)
    } else if first == '"' || text.starts_with("b\"") || text.starts_with("c\"") {
        (quoted(text, '"'), false)
    } else if first == '\'' {
        (character_or_lifetime(text), false)
    } else if is_word(first) {
        (text.find(|c| !is_word(c)).unwrap_or(text.len()), true)
    } else if text.starts_with("::") {
        (2, true)
    } else {
        (first.len_utf8(), !first.is_whitespace())
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of `r"…"`, `br#"…"#` and so on; `None` for anything else, raw identifiers included.
fn raw_string(text: &str) -> Option<usize> {
    let marker = ["r", "br", "cr"].into_iter().find(|marker| {
        let tail = text.strip_prefix(*marker).unwrap_or_default();
        tail.trim_start_matches('#').starts_with('"')
    })?;
    let tail = &text[marker.len()..];
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let body = marker.len() + hashes + 1;
    Some(
        text[body..]
            .find(&end)
            .map_or(text.len(), |at| body + at + end.len()),
    )
}

/// Length from a possible prefix and the opening quote to the end of the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let open = text.find(quote).unwrap_or(0) + 1;
    let mut escaped = false;
    for (at, c) in text[open..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return open + at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of `'a'` and `'\n'`, which are characters, or of `'a`, which is a lifetime; none of them is a token of interest.
fn character_or_lifetime(text: &str) -> usize {
    let mut inside = text.chars().skip(1);
    let (second, third) = (inside.next(), inside.next());
    if second == Some('\\') || third == Some('\'') {
        return quoted(text, '\'');
    }
    let name = &text[1..];
    1 + name.find(|c| !is_word(c)).unwrap_or(name.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_text_are_no_words() {
        let text = r###"a // crate::x
            /* b /* c */ d */ e "f \" g" r#"h " i"# b"j" 'k' '\'' l<'static> br"n""###;
        assert_eq!(words(text), ["a", "e", "l", "<", ">"]);
    }

    #[test]
    fn paths_come_apart() {
        let expected: Vec<&str> = "use crate :: a :: { b , c_1 } ;".split(' ').collect();
        assert_eq!(words("use crate::a::{b, c_1};"), expected);
    }

    #[test]
    fn lines_are_counted_through_comments_and_text() {
        let lines: Vec<usize> = tokens("a\n/*\n*/ b \"\n\n\" c")
            .iter()
            .map(|t| t.line)
            .collect();
        assert_eq!(lines, [1, 3, 5]);
    }
}
