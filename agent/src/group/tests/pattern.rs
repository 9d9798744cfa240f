//! Every row of section 9 of docs/dev/compatibility.md, and further differences in spelling between the two languages.

use super::*;

fn compile(source: &str) -> Result<Pattern, GoError> {
    Pattern::compile(source, &mut Room::default())
}

/// Pattern, text, expected match.
const MATCHES: &[(&str, &str, bool)] = &[
    // ASCII classes.
    (r"^\d$", "7", true),
    (r"^\d$", "a", false),
    (r"^\w$", "-", false),
    (r"^\s$", "a", false),
    (r"^\d$", "\u{663}", false),
    (r"^\D$", "\u{663}", true),
    (r"^\w+$", "a_9", true),
    (r"^\w+$", "é", false),
    (r"^\W$", "é", true),
    (r"^\s$", "\u{a0}", false),
    (r"^\s$", "\x0b", false),
    (r"^\s+$", " \t\n\r\x0c", true),
    (r"^\S$", "\x0b", true),
    (r"^[\d\s]+$", "1 2", true),
    (r"^[\d\s]+$", "\u{663}", false),
    (r"^[^\w]+$", "é", true),
    (r"^[\D]+$", "é", true),
    (r"^[\D]+$", "7", false),
    (r"\bab", "éab", true),
    (r"\bab", "xab", false),
    (r"\Bb", "ab", true),
    (r"\Bb", "éb", false),
    (r"(?i)^\w$", "\u{212a}", true),
    // Braces that are no repetition.
    (r"a{b", "a{b", true),
    (r#"{"k""#, r#"{"k""#, true),
    (r"^a{,3}$", "a{,3}", true),
    (r"^a{,3}$", "aaa", false),
    (r"^a{1$", "a{1", true),
    (r"^a{01}$", "a{01}", true),
    (r"^a{2,}?$", "aaa", true),
    (r"^a{1000}$", "a", false),
    ("x}]", "x}]", true),
    // Quoting and octal.
    (r"^\Qa.b*\E+$", "a.b***", true),
    (r"^\Qa.b\E$", "axb", false),
    (r"\Q(", "(", true),
    (r"^a\Q\E+$", "aaa", true),
    (r"^\101$", "A", true),
    (r"^\0$", "\0", true),
    (r"^\1010$", "A0", true),
    (r"^[\101]$", "A", true),
    (r"^\x41\x{42}$", "AB", true),
    (r"^\a\f\n\r\t\v$", "\x07\x0c\n\r\t\x0b", true),
    (r"^\_\-\ \#\&\~\@$", "_- #&~@", true),
    // Classes.
    ("^[[a]+$", "[a", true),
    ("^[a&&b]+$", "a&b", true),
    ("^[a~~b]+$", "a~b", true),
    ("^[]a]+$", "]a", true),
    ("^[^]a]$", "b", true),
    ("^[a-]+$", "-a", true),
    ("^[-a]+$", "-a", true),
    (r"^[+--]+$", "+,-", true),
    (r"^[\d-z]+$", "1-z", true),
    ("^[[:alpha:]_]+$", "ab_", true),
    ("^[[:^alpha:]]$", "é", true),
    ("^[[:word:]]+$", "a_9", true),
    ("^[[:a]+$", ":[a", true),
    ("[a-z&&[^b]]", "b]", true),
    // Unicode classes.
    (r"^\pL$", "é", true),
    (r"^\p{L}$", "é", true),
    (r"^\p{^L}$", "1", true),
    (r"^\p{^L}$", "é", false),
    (r"^\P{^L}$", "é", true),
    (r"^\PL$", "é", false),
    (r"^[\p{Greek}\P{L}]+$", "α1", true),
    (r"^\p{Old_Italic}$", "\u{10300}", true),
    (r"^\p{Any}$", "é", true),
    // Groups and flags.
    (r"(?P<n>a)(?P<n>b)(?<9x>c)", "abc", true),
    (r"(?i)FOO", "foo", true),
    (r"(?i:F)OO", "fOO", true),
    (r"(?i:F)OO", "foo", false),
    (r"^a.b$", "a\nb", false),
    (r"(?s)^a.b$", "a\nb", true),
    (r"(?s-i:^a.b$)", "a\nb", true),
    (r"(?m)^b$", "a\nb\nc", true),
    (r"^b$", "a\nb\nc", false),
    (r"a$", "a\n", false),
    (r"\Aa\z", "a", true),
    (r"(?)a", "a", true),
    (r"(|a)*b()$", "aab", true),
    (r"^*a", "a", true),
    (r"\b+a", "a", true),
    // Neither language's word boundaries.
    (r"^\<a\>$", "<a>", true),
    (r"\<a\>", "a", false),
    // Text decoded from invalid bytes.
    ("a.b", "a\u{fffd}b", true),
    ("^.$", "é", true),
    ("", "", true),
    ("#x y", "#x y", true),
];

#[test]
fn expression_has_the_meaning_of_go() {
    for (pattern, text, found) in MATCHES {
        let compiled = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert_eq!(compiled.is_match(text), *found, "{pattern} in {text:?}");
    }
}

/// Patterns that Go refuses, and its words after "error parsing regexp: ".
const REFUSED: &[(&str, &str)] = &[
    ("x**", "invalid nested repetition operator: `**`"),
    ("x*+", "invalid nested repetition operator: `*+`"),
    ("a++", "invalid nested repetition operator: `++`"),
    ("a+??", "invalid nested repetition operator: `+??`"),
    ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
    ("a{2}*", "invalid nested repetition operator: `{2}*`"),
    ("*", "missing argument to repetition operator: `*`"),
    ("a|+", "missing argument to repetition operator: `+`"),
    ("(?:?)", "missing argument to repetition operator: `?`"),
    ("({2})", "missing argument to repetition operator: `{2}`"),
    ("x{1001}", "invalid repeat count: `{1001}`"),
    ("x{1001,}", "invalid repeat count: `{1001,}`"),
    ("x{99999999999}", "invalid repeat count: `{99999999999}`"),
    ("x{3,2}", "invalid repeat count: `{3,2}`"),
    ("(x{100}){100}", "invalid repeat count: `{100}`"),
    ("((x{10}){10}){11}", "invalid repeat count: `{11}`"),
    ("[a--b]", "invalid character class range: `a--`"),
    ("[z-a]", "invalid character class range: `z-a`"),
    ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    (
        r"\p{Alphabetic}",
        r"invalid character class range: `\p{Alphabetic}`",
    ),
    (r"\p{greek}", r"invalid character class range: `\p{greek}`"),
    (r"\pX", r"invalid character class range: `\pX`"),
    (r"\p{L", r"invalid character class range: `\p{L`"),
    ("[a", "missing closing ]: `[a`"),
    ("x[]", "missing closing ]: `[]`"),
    ("[", "missing closing ]: `[`"),
    ("(a", "missing closing ): `(a`"),
    ("a)", "unexpected ): `a)`"),
    ("a\\", "trailing backslash at end of expression: ``"),
    (r"\u0041", r"invalid escape sequence: `\u`"),
    (r"\1", r"invalid escape sequence: `\1`"),
    (r"\8", r"invalid escape sequence: `\8`"),
    (r"\Z", r"invalid escape sequence: `\Z`"),
    (r"\é", r"invalid escape sequence: `\é`"),
    (r"\xG0", r"invalid escape sequence: `\xG0`"),
    (r"\x{}", r"invalid escape sequence: `\x{}`"),
    (r"\x{110000}", r"invalid escape sequence: `\x{110000}`"),
    (r"[\b]", r"invalid escape sequence: `\b`"),
    (r"[a-\d]", r"invalid escape sequence: `\d`"),
    ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
    ("(?<!a)", "invalid named capture: `(?<!a)`"),
    ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
    ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
    ("(?P<é>a)", "invalid named capture: `(?P<é>`"),
    ("(?P<>a)", "invalid named capture: `(?P<>`"),
    ("(?P<n", "invalid named capture: `(?P<n`"),
    ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
];

#[test]
fn text_that_go_refuses_is_refused_in_the_same_words() {
    for (pattern, expected) in REFUSED {
        let error = match compile(pattern) {
            Ok(compiled) => panic!("{pattern} is accepted as {compiled:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            error,
            format!("error parsing regexp: {expected}"),
            "{pattern}"
        );
    }
}

#[test]
fn every_category_of_go_is_known() {
    for category in [
        "C", "Cc", "Cf", "Co", "L", "Lt", "M", "Me", "Nd", "Pc", "Sk", "Zl", "Zp", "Zs", "Cs",
    ] {
        compile(&format!("\\p{{{category}}}[\\P{{{category}}}]")).unwrap();
    }
}

#[test]
fn captures_as_upstream_keeps_them() {
    type HeldTexts<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, &str, HeldTexts<'_>)] = &[
        (r"-jar (\S+)", "java -jar a.jar -x", &[("", "a.jar")]),
        ("celeryd", "python -m celeryd x", &[("", "celeryd")]),
        (
            "(?P<Zed>a)(?P<Abc>b)(c)",
            "abc",
            &[("", "c"), ("Abc", "b"), ("Zed", "a")],
        ),
        ("(?P<n>a)(?P<n>b)", "ab", &[("", "ab"), ("n", "b")]),
        ("foo(?P<O>-x)?", "foo", &[("", "foo"), ("O", "")]),
        ("(a)|(b)", "a", &[("", "")]),
    ];
    for (pattern, text, expected) in cases {
        let mut matches = Matches::new();
        assert!(compile(pattern).unwrap().captures(text, &mut matches));
        let held: Vec<(&str, &str)> = matches
            .iter()
            .map(|(name, held)| (&**name, held.as_str()))
            .collect();
        assert_eq!(held, *expected, "{pattern}");
    }
    let mut matches = Matches::new();
    assert!(!compile("x").unwrap().captures("y", &mut matches) && matches.is_empty());
}

#[test]
fn memory_is_bounded() {
    let large = r"(?i)[\pL\pN]{500}[\pL\pN]{500}";
    let error = compile(large).unwrap_err();
    assert_eq!(error.what, "expression too large");
    let deep = format!("{}a{}", "(".repeat(5000), ")".repeat(5000));
    assert!(compile(&deep).is_err());
    assert!(compile(&"(".repeat(100_000)).is_err());
}

#[test]
fn no_pattern_panics() {
    let pieces = [
        "(", "?", "P<", "n>", ")", "[", "]", "^", "-", "\\", "Q", "E", "p{", "}", "{", "1", ",",
        "é", "*", "x", ":",
    ];
    let mut seed = 1_u64;
    for _ in 0..20_000 {
        let mut pattern = String::new();
        for _ in 0..8 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            pattern.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
        }
        if let Ok(translated) = regexp::translate(&pattern) {
            let built = Regex::new(&translated.pattern);
            assert!(
                built.is_ok(),
                "{pattern} -> {}: {built:?}",
                translated.pattern
            );
        }
    }
}
