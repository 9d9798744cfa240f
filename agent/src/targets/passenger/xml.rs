//! A cursor over the elements of an XML document, in its order and without a tree.
//!
//! In comes a document; out come the names of elements, one after another, and the texts of those that are asked for. Texts are
//! borrowed from the document where they can be. The caller knows which element lies in which; its functions have the structure
//! of the document.
//!
//! The reader checks that elements are nested, that references are of characters or of the five predefined entities, and that
//! nothing but the root has content. Attributes are skipped. A document type is refused, so that there are no entities to expand.
//!
//! Nearly all elements of a pool are `<name>text</name>`. The cursor takes such an element in one step, which costs a fifth of the
//! three events that the reader makes of it; the result is the same.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};

use super::document::InvalidDocument;

/// Deepest nesting of elements, the root included.
const MAX_DEPTH: usize = 32;
/// Longest text of one element, bytes of UTF-8.
const MAX_TEXT: usize = 64 << 10;

/// The document without its XML declaration, in the declared encoding: UTF-8, which is the default, or ISO-8859-1.
pub(super) fn decode(document: &[u8]) -> Result<Cow<'_, str>, InvalidDocument> {
    let mut reader = Reader::from_reader(document);
    let Ok(Event::Decl(declaration)) = reader.read_event() else {
        return utf8(document);
    };
    let content: &[u8] = reader.get_ref();
    match declaration.encoding() {
        None => utf8(content),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => utf8(content),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("iso-8859-1") => Ok(latin1(content)),
        Some(_) => Err(InvalidDocument::Xml("unknown encoding")),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, InvalidDocument> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidDocument::Xml("not UTF-8"))?;
    Ok(Cow::Borrowed(text))
}

/// Each byte is the character of that number.
fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// The cursor. It stands inside of an element, which is open.
pub(super) struct Elements<'a> {
    document: &'a str,
    reader: Reader<&'a [u8]>,
    /// Open elements, without `leaf`.
    depth: usize,
    /// The text of the open element if the reader is behind its end already.
    leaf: Option<&'a str>,
}

impl<'a> Elements<'a> {
    /// Opens the root, which must have this name. The document is that of [`decode`].
    pub(super) fn open(document: &'a str, root: &str) -> Result<Self, InvalidDocument> {
        let mut elements = Self {
            document,
            reader: Reader::from_str(document),
            depth: 0,
            leaf: None,
        };
        match elements.outside()? {
            Event::Start(tag) if tag.name().into_inner() == root => {}
            Event::Empty(tag) if tag.name().into_inner() == root => elements.leaf = Some(""),
            _ => return Err(InvalidDocument::Xml("unknown root")),
        }
        Ok(elements)
    }

    /// Opens the next element inside of the open one and returns its name; `None` closes the open one at its end.
    pub(super) fn child(&mut self) -> Result<Option<Cow<'a, str>>, InvalidDocument> {
        if self.leaf.take().is_some() {
            return Ok(None);
        }
        if let Some(name) = self.plain_leaf() {
            return Ok(Some(Cow::Borrowed(name)));
        }
        loop {
            let tag = match self.next()? {
                Event::Start(tag) => tag,
                Event::Empty(tag) => {
                    self.leaf = Some("");
                    tag
                }
                Event::End(_) => return Ok(None),
                _ => continue,
            };
            return Ok(Some(Cow::Owned(tag.name().into_inner().to_owned())));
        }
    }

    /// Opens the next element if it is `<name>text</name>`, with nothing in it that has a meaning in XML.
    ///
    /// The reader must be behind a tag: after a text it expects a tag at once. Its count of bytes, which is for its errors only, leaves
    /// these elements out.
    fn plain_leaf(&mut self) -> Option<&'a str> {
        let read = self.document.len() - self.reader.get_ref().len();
        let rest = self.document.get(read..)?.trim_ascii_start();
        let (name, inside) = rest.strip_prefix('<')?.split_once('>')?;
        let (text, end) = inside.split_once('<')?;
        let behind = end.strip_prefix('/')?.strip_prefix(name)?;
        let behind = behind.strip_prefix('>')?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_leaf = name.bytes().all(is_plain) && !text.contains('&');
        if !is_leaf || name.is_empty() || text.len() > MAX_TEXT || self.depth == MAX_DEPTH {
            return None;
        }
        *self.reader.get_mut() = behind.as_bytes();
        self.leaf = Some(text);
        Some(name)
    }

    /// The text of the open element, up to its end, which closes it. It holds no elements. Line ends stay as they are.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, InvalidDocument> {
        if let Some(text) = self.leaf.take() {
            return Ok(Cow::Borrowed(text));
        }
        let mut text = Cow::Borrowed("");
        loop {
            match self.next()? {
                Event::Text(piece) => text += piece.into_inner(),
                Event::CData(piece) => text += piece.into_inner(),
                Event::GeneralRef(reference) => text.to_mut().push(character(&reference)?),
                Event::End(_) => return Ok(text),
                _ => return Err(InvalidDocument::Xml("an element inside of a value")),
            }
            if text.len() > MAX_TEXT {
                return Err(InvalidDocument::Limit("length of a text"));
            }
        }
    }

    /// Closes the open element without looking at its content.
    pub(super) fn skip(&mut self) -> Result<(), InvalidDocument> {
        let mut open = 1_usize;
        while open > 0 {
            match self.child()? {
                Some(_) => open += 1,
                None => open -= 1,
            }
        }
        Ok(())
    }

    /// Checks that nothing follows the root, which is closed.
    pub(super) fn finish(mut self) -> Result<(), InvalidDocument> {
        match self.outside()? {
            Event::Eof => Ok(()),
            _ => Err(InvalidDocument::Xml("content behind the root")),
        }
    }

    /// The next event outside of the root that is no white space.
    fn outside(&mut self) -> Result<Event<'a>, InvalidDocument> {
        loop {
            match self.next()? {
                Event::Text(text) if text.bytes().all(|byte| byte.is_ascii_whitespace()) => {}
                event => return Ok(event),
            }
        }
    }

    /// The next event that is no comment and no processing instruction. Inside of the root it is a start, an end, an empty element,
    /// text, CDATA or a reference.
    fn next(&mut self) -> Result<Event<'a>, InvalidDocument> {
        loop {
            let event = self.reader.read_event();
            let event = event.map_err(|_| InvalidDocument::Xml("syntax"))?;
            match event {
                Event::Comment(_) | Event::PI(_) => continue,
                Event::DocType(_) => return Err(InvalidDocument::Xml("a document type")),
                Event::Decl(_) => return Err(InvalidDocument::Xml("a late declaration")),
                Event::Eof if self.depth > 0 => return Err(InvalidDocument::Xml("it ends early")),
                Event::Start(_) | Event::Empty(_) if self.depth == MAX_DEPTH => {
                    return Err(InvalidDocument::Limit("depth of elements"));
                }
                Event::Start(_) => self.depth += 1,
                // The reader has checked that the element was open.
                Event::End(_) => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            return Ok(event);
        }
    }
}

/// The character of a reference. XML forbids some characters; they are accepted, because Passenger writes each byte of a name as a
/// reference.
fn character(reference: &BytesRef<'_>) -> Result<char, InvalidDocument> {
    let number = reference.resolve_char_ref();
    let number = number.map_err(|_| InvalidDocument::Xml("a reference to no character"))?;
    let predefined = || resolve_xml_entity(reference).and_then(|text| text.chars().next());
    let character = number.or_else(predefined);
    character.ok_or(InvalidDocument::Xml("an unknown entity"))
}

/// The value of a field that may occur once.
pub(super) struct Once<T> {
    /// The name of its element.
    name: &'static str,
    value: Option<T>,
}

impl<T> Once<T> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, value: None }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Takes the value from the text of the open element. `parse` gives `None` for a text that is no such value.
    pub(super) fn read(
        &mut self,
        elements: &mut Elements<'_>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<(), InvalidDocument> {
        let value = parse(&elements.text()?).ok_or(InvalidDocument::Value(self.name))?;
        self.set(value)
    }

    pub(super) fn set(&mut self, value: T) -> Result<(), InvalidDocument> {
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(InvalidDocument::Twice(self.name)),
        }
    }

    pub(super) fn required(self) -> Result<T, InvalidDocument> {
        self.value.ok_or(InvalidDocument::Missing(self.name))
    }

    pub(super) fn optional(self) -> Option<T> {
        self.value
    }
}
