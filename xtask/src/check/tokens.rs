//! Splits Rust text into a flat list of tokens, for checks that look at names only.
//!
//! In: the text of a file. Out: its identifiers and its punctuation, with lines. Comments and literals are no tokens; the text of
//! a documentation comment is a literal. It does not interpret the tokens and expands no macro.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

/// An identifier, or one character of punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// The tokens of a file; none if it is not Rust, which `cargo fmt` reports.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    if let Ok(stream) = text.parse::<TokenStream>() {
        flatten(stream, &mut found);
    }
    found
}

fn flatten(stream: TokenStream, found: &mut Vec<Token>) {
    for tree in stream {
        match tree {
            TokenTree::Ident(name) => found.push(token(name.to_string(), name.span())),
            TokenTree::Punct(sign) => found.push(token(sign.as_char(), sign.span())),
            TokenTree::Literal(_) => {}
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                found.push(token(open, group.span_open()));
                flatten(group.stream(), found);
                found.push(token(close, group.span_close()));
            }
        }
    }
}

fn token(text: impl Into<String>, span: Span) -> Token {
    Token {
        text: text.into(),
        line: span.start().line,
    }
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn comments_and_literals_are_no_tokens() {
        let text = r###"a // crate::x
            /* b /* c */ d */ e "f \" g" r#"h " i"# b"j" 'k' '\'' br"l" 1"###;
        let words: Vec<String> = tokens(text).into_iter().map(|token| token.text).collect();
        assert_eq!(words, ["a", "e"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_literals() {
        let found = tokens("a\n/*\n*/ b(\"\n\n\"\n) c");
        let lines: Vec<usize> = found.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 3, 6, 6]);
    }
}
