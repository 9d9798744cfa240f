//! Tests of the cursor over XML: encodings, references, and refused documents.

use std::borrow::Cow;

use proptest::prelude::*;

use super::document::InvalidDocument;
use super::xml::{Elements, decode};

const LATIN1: &str = "<?xml version=\"1.0\" encoding=\"iso-8859-1\" ?>";

/// The text of the root `r` of a document.
fn text(document: impl AsRef<[u8]>) -> Result<String, InvalidDocument> {
    let document = decode(document.as_ref())?;
    let mut elements = Elements::open(&document, "r")?;
    let text = elements.text()?.into_owned();
    elements.finish()?;
    Ok(text)
}

/// The outline of a document whose root is `r`: each element with its children in brackets; `skipped` elements without.
fn outline(document: &str) -> Result<String, InvalidDocument> {
    fn children(elements: &mut Elements<'_>, out: &mut String) -> Result<(), InvalidDocument> {
        while let Some(tag) = elements.child()? {
            out.push_str(&tag);
            match &*tag {
                "skipped" => elements.skip()?,
                _ => {
                    out.push('[');
                    children(elements, out)?;
                    out.push(']');
                }
            }
        }
        Ok(())
    }
    let mut elements = Elements::open(document, "r")?;
    let mut out = String::new();
    children(&mut elements, &mut out)?;
    elements.finish()?;
    Ok(out)
}

fn xml<T>(reason: &'static str) -> Result<T, InvalidDocument> {
    Err(InvalidDocument::Xml(reason))
}

#[test]
fn the_declared_encoding_is_honoured() {
    let latin1 = |declaration: &str| [declaration.as_bytes(), b"<r>caf\xe9 \x80</r>"].concat();
    assert_eq!(text(latin1(LATIN1)), Ok("café \u{80}".to_owned()));
    assert_eq!(
        text(latin1(&LATIN1.replace("iso", "ISO"))),
        Ok("café \u{80}".to_owned())
    );
    assert_eq!(text(latin1("")), xml("not UTF-8"));
    assert_eq!(
        text(latin1("<?xml version='1.0' encoding='utf-8'?>")),
        xml("not UTF-8")
    );
    assert_eq!(
        text("<?xml version='1.0' encoding='UTF-8'?><r>é🦀</r>"),
        Ok("é🦀".to_owned())
    );
    assert_eq!(text("<?xml version='1.0'?><r>é</r>"), Ok("é".to_owned()));
    assert_eq!(text("\u{feff}<r>é</r>"), Ok("é".to_owned()));
    // The bytes of UTF-8 are two characters of ISO-8859-1.
    assert_eq!(text(format!("{LATIN1}<r>é</r>")), Ok("Ã©".to_owned()));
}

#[test]
fn another_encoding_is_refused() {
    for encoding in ["utf-16", "windows-1252", "iso-8859-15", ""] {
        let document = format!("<?xml version='1.0' encoding='{encoding}'?><r/>");
        assert_eq!(text(document), xml("unknown encoding"));
    }
    let wide: Vec<u8> = "<r>x</r>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(text(&wide).is_err());
    assert!(text([b"\xff\xfe".as_slice(), &wide].concat()).is_err());
}

#[test]
fn references_are_of_characters_and_of_five_names() {
    let document = "<r>&#40;&#xE9;&#xe9;&#233;&lt;&gt;&amp;&apos;&quot;&#1;&#x1F980;</r>";
    assert_eq!(text(document), Ok("(ééé<>&'\"\u{1}🦀".to_owned()));
    assert_eq!(
        text("<r>&amp;#40;</r>"),
        Ok("&#40;".to_owned()),
        "once only"
    );
    for number in [
        "#0",
        "#xD800",
        "#x110000",
        "#-1",
        "#+1",
        "#",
        "#x",
        "#99999999999999999999",
        "#X41",
    ] {
        assert_eq!(
            text(format!("<r>&{number};</r>")),
            xml("a reference to no character"),
            "{number}"
        );
    }
    for name in ["eacute", "LT", "", "a b"] {
        assert_eq!(
            text(format!("<r>&{name};</r>")),
            xml("an unknown entity"),
            "{name}"
        );
    }
    for broken in [
        "<r>&</r>",
        "<r>&amp</r>",
        "<r>&amp &amp;</r>",
        "<r>&&amp;</r>",
    ] {
        assert_eq!(text(broken), xml("syntax"), "{broken}");
    }
}

#[test]
fn text_is_joined_across_comments_and_instructions() {
    let document = "<r>a<!-- <x> & --><![CDATA[<b>&amp;]]><?x y?>&#99;<![CDATA[]]>d</r>";
    assert_eq!(text(document), Ok("a<b>&amp;cd".to_owned()));
    assert_eq!(text("<r/>"), Ok(String::new()));
    assert_eq!(
        text("<r a='1' a=\"2>\"></r >"),
        Ok(String::new()),
        "attributes are skipped"
    );
    assert_eq!(text("<r>a<x/></r>"), xml("an element inside of a value"));
}

#[test]
fn a_plain_text_is_borrowed() {
    let document = decode(b"<r>plain</r>").unwrap();
    let mut elements = Elements::open(&document, "r").unwrap();
    assert!(matches!(elements.text(), Ok(Cow::Borrowed("plain"))));
}

#[test]
fn document_types_are_refused_at_any_place() {
    let bomb = "<!DOCTYPE r [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]>";
    for document in [
        format!("{bomb}<r>&b;</r>"),
        format!("{LATIN1}\n{bomb}<r/>"),
        format!("<r>{bomb}</r>"),
        format!("<r/>{bomb}"),
        "<!doctype r SYSTEM 'file:///etc/passwd'><r/>".to_owned(),
    ] {
        assert_eq!(text(&document), xml("a document type"), "{document}");
    }
}

#[test]
fn only_one_root_has_content() {
    assert_eq!(
        text("\n<!-- a --><?b?> <r>x</r> <!-- c -->\r\n"),
        Ok("x".to_owned())
    );
    for before in ["x", "&#32;", "<![CDATA[ ]]>", "<s/>", "\u{a0}"] {
        assert_eq!(
            text(format!("{before}<r/>")),
            xml("unknown root"),
            "{before}"
        );
    }
    for behind in ["x", "&#32;", "<![CDATA[]]>", "<r/>"] {
        assert_eq!(
            text(format!("<r/>{behind}")),
            xml("content behind the root"),
            "{behind}"
        );
    }
    assert_eq!(text(format!("<r/>{LATIN1}")), xml("a late declaration"));
    assert_eq!(text(format!(" {LATIN1}<r/>")), xml("a late declaration"));
    assert_eq!(
        text(format!("{LATIN1}{LATIN1}<r/>")),
        xml("a late declaration")
    );
    assert_eq!(text("<r/></r>"), xml("syntax"));
    assert_eq!(text(""), xml("unknown root"));
}

#[test]
fn elements_are_nested_and_closed() {
    assert_eq!(
        outline("<r>text<a><b/>&amp;</a><a></a></r>").unwrap(),
        "a[b[]]a[]"
    );
    assert_eq!(
        outline("<r><skipped><a>&none;<skipped/></a></skipped><b/></r>").unwrap(),
        "skippedb[]"
    );
    for broken in [
        "<r><a></r></a>",
        "<r><a></b></r>",
        "<r><a>",
        "<r",
        "<r>",
        "<r></r",
        "<r><skipped>",
        "<r><skipped></r>",
    ] {
        assert!(outline(broken).is_err(), "{broken}");
    }
}

#[test]
fn depth_is_bounded_in_read_and_in_skipped_values() {
    for tag in ["a", "skipped"] {
        let nested = |depth: usize| {
            let (open, close) = (
                format!("<{tag}>").repeat(depth),
                format!("</{tag}>").repeat(depth),
            );
            outline(&format!("<r>{open}{close}</r>"))
        };
        assert!(nested(31).is_ok());
        assert_eq!(nested(32), Err(InvalidDocument::Limit("depth of elements")));
        assert_eq!(
            nested(300_000),
            Err(InvalidDocument::Limit("depth of elements"))
        );
    }
}

#[test]
fn the_length_of_a_text_is_bounded() {
    let most = "x".repeat(64 << 10);
    assert_eq!(text(format!("<r>{most}</r>")), Ok(most.clone()));
    let refused = Err(InvalidDocument::Limit("length of a text"));
    assert_eq!(text(format!("<r>{most}x</r>")), refused);
    assert_eq!(text(format!("<r>{most}<![CDATA[x]]></r>")), refused);
    assert_eq!(
        text(format!("<r>{}</r>", "&#x1F980;".repeat(17_000))),
        refused
    );
    assert_eq!(
        outline(&format!("<r>{most}x<skipped>{most}x</skipped></r>")).unwrap(),
        "skipped"
    );
}

/// The result of the cursor for a document whose root is `r`: of `a` the text, of `s` nothing, of others the children.
fn read(document: &str) -> Result<String, InvalidDocument> {
    let mut elements = Elements::open(document, "r")?;
    let mut out = String::new();
    let mut open = 1;
    while open > 0 {
        let Some(name) = elements.child()? else {
            open -= 1;
            out.push(')');
            continue;
        };
        out.push_str(&name);
        match &*name {
            "a" => out += &elements.text()?,
            "s" => elements.skip()?,
            _ => {
                open += 1;
                out.push('(');
            }
        }
    }
    elements.finish()?;
    Ok(out)
}

proptest! {
    /// No element with a space in its tag is taken in one step.
    #[test]
    fn plain_elements_read_the_same_in_one_step_and_by_the_reader(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "<a>", "</a>", "<a>1</a>", "<a></a>", "<b>", "</b>", "<b>x</b>", "<s>", "</s>", "<s>y</s>", "<c/>", "z", " ",
                "&lt;", "&", ">", "<!-- - -->", "<![CDATA[<q>]]>", "<?p?>", "<a >2</a>", "<_1>", "</_1>", "<>", "</>", "\u{e9}",
            ]),
            0..12,
        ),
    ) {
        let document = format!("<r>{}</r>", pieces.concat());
        let spaced: Vec<String> = pieces
            .iter()
            .map(|piece| ["a", "b", "s", "_1"].iter().fold((*piece).to_owned(), |piece, name| {
                piece.replace(&format!("<{name}>"), &format!("<{name} >"))
            }))
            .collect();
        prop_assert_eq!(read(&document), read(&format!("<r>{}</r>", spaced.concat())));
    }
}
