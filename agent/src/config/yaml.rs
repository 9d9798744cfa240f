//! Parses YAML text to a tree of nodes with their lines.
//!
//! In: text. Out: the first document. Scalars stay text, like the string fields of process-exporter's yaml.v2. That
//! is why this module reads the parser's events instead of using serde, which would turn `0x1F` into 31. Nodes with
//! an anchor are shared, not copied; but readers of the tree copy them, so all aliases together may stand for at most
//! [`MAX_ALIASED`] bytes.
//!
//! Left to others: the meaning of the keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// Deepest nesting of lists and maps; a configuration needs four.
const MAX_DEPTH: usize = 64;
/// Most keys that all merges of a document together may add.
const MAX_MERGED: usize = 10_000;
/// Most repeated keys that are reported.
const MAX_REPEATED: usize = 200;

/// The first document of a text.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// `None` if the text has no document.
    pub(crate) root: Option<Rc<YamlNode>>,
    /// Keys repeated in a map, the first 200. Keys that override merged ones do not count as repeated: that is what merges are
    /// for.
    pub(crate) repeated: Vec<Repeated>,
}

/// A key that occurs in its map again; the last one counts.
#[derive(Debug)]
pub(crate) struct Repeated {
    pub(crate) line: usize,
    pub(crate) key: String,
    /// The line of its first occurrence.
    pub(crate) first_line: usize,
}
/// Most bytes that all aliases of a document may stand for: as many as a file may have.
const MAX_ALIASED: usize = 1 << 20;
/// Bytes counted for a value in addition to its text.
const VALUE_BYTES: usize = 16;

/// A value and the line on which it starts, from 1.
#[derive(Debug)]
pub(crate) struct YamlNode {
    pub(crate) line: usize,
    pub(crate) value: YamlValue,
    /// The tag as written, `!text`; `None` without a tag and for YAML's own tags (`!!str`).
    pub(crate) tag: Option<String>,
    /// Size of the value with everything in it, in bytes; a node that occurs in it twice counts twice.
    bytes: usize,
}

impl YamlNode {
    /// Whether the value is true; no value is false. `None`: it is neither true nor false.
    pub(crate) fn truth(&self) -> Option<bool> {
        match &self.value {
            YamlValue::Null => Some(false),
            YamlValue::Scalar(text) if text.eq_ignore_ascii_case("true") => Some(true),
            YamlValue::Scalar(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// A key and its value.
pub(crate) type Pair = (Rc<YamlNode>, Rc<YamlNode>);

/// The kind and content of a node.
#[derive(Debug)]
pub(crate) enum YamlValue {
    /// No value: empty, `~` or `null`, without quotes.
    Null,
    /// Any other scalar, as its text.
    Scalar(String),
    List(Vec<Rc<YamlNode>>),
    /// Keys and values in file order, with merges already resolved.
    Map(Vec<Pair>),
}

/// Why a text is not YAML.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) line: usize,
    pub(crate) cause: String,
}

/// Parses the first document.
pub(crate) fn parse(text: &str) -> Result<Document, SyntaxError> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| SyntaxError {
            line: error.marker().line(),
            cause: error.info(),
        })?;
        // Further documents are ignored, as in process-exporter.
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        tree.add(event, span)?;
    }
    Ok(tree.document)
}

/// The anchor (0 for none) and the tag of a node.
type ItemProperties = (usize, Option<String>);

/// The tag as written; `None` for YAML's own tags.
fn local(tag: &Tag) -> Option<String> {
    (!tag.is_yaml_core_schema()).then(|| tag.original())
}

/// A list or map that is not complete yet. The children of a map alternate between keys and values.
struct OpenNode {
    line: usize,
    properties: ItemProperties,
    is_map: bool,
    children: Vec<Rc<YamlNode>>,
}

#[derive(Default)]
struct Tree {
    open: Vec<OpenNode>,
    anchors: HashMap<usize, Rc<YamlNode>>,
    document: Document,
    /// Keys added by merges so far.
    merged: usize,
    /// Bytes that aliases have stood for so far.
    aliased: usize,
}

impl Tree {
    fn add(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let tag = tag.as_deref().and_then(local);
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => YamlValue::Null,
                    _ => YamlValue::Scalar(text.into_owned()),
                };
                self.close(line, value, (anchor, tag));
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(line, (anchor, tag.as_deref().and_then(local)), false)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(line, (anchor, tag.as_deref().and_then(local)), true)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let OpenNode {
                        line,
                        properties,
                        is_map,
                        children,
                    } = open;
                    let value = match is_map {
                        true => {
                            self.note_repeated(&children);
                            YamlValue::Map(merged(&children, &mut self.merged)?)
                        }
                        false => YamlValue::List(children),
                    };
                    self.close(line, value, properties);
                }
            }
            Event::Alias(anchor) => {
                let node = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .ok_or_else(|| SyntaxError {
                        line,
                        cause: "an anchor contains itself".to_owned(),
                    })?;
                self.aliased = self.aliased.saturating_add(node.bytes);
                if self.aliased > MAX_ALIASED {
                    let cause = format!("aliases stand for more than {MAX_ALIASED} bytes");
                    return Err(SyntaxError { line, cause });
                }
                self.attach(node);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        line: usize,
        properties: ItemProperties,
        is_map: bool,
    ) -> Result<(), SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            let cause = format!("lists and maps are nested more than {MAX_DEPTH} deep");
            return Err(SyntaxError { line, cause });
        }
        self.open.push(OpenNode {
            line,
            properties,
            is_map,
            children: Vec::new(),
        });
        Ok(())
    }

    fn close(&mut self, line: usize, value: YamlValue, (anchor, tag): ItemProperties) {
        let bytes = bytes(&value);
        let node = Rc::new(YamlNode {
            line,
            value,
            tag,
            bytes,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node);
    }

    fn attach(&mut self, node: Rc<YamlNode>) {
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.document.root = Some(node),
        }
    }

    fn note_repeated(&mut self, children: &[Rc<YamlNode>]) {
        let mut first_lines = HashMap::new();
        for key in children.iter().step_by(2) {
            let YamlValue::Scalar(text) = &key.value else {
                continue;
            };
            let repeated = &mut self.document.repeated;
            match first_lines.entry(text) {
                Entry::Vacant(place) => {
                    place.insert(key.line);
                }
                Entry::Occupied(first) if repeated.len() < MAX_REPEATED => {
                    repeated.push(Repeated {
                        line: key.line,
                        key: text.clone(),
                        first_line: *first.get(),
                    });
                }
                Entry::Occupied(_) => {}
            }
        }
    }
}

fn bytes(value: &YamlValue) -> usize {
    let of_all = |nodes: &mut dyn Iterator<Item = &Rc<YamlNode>>| {
        nodes.fold(0_usize, |sum, node| sum.saturating_add(node.bytes))
    };
    let inside = match value {
        YamlValue::Null => 0,
        YamlValue::Scalar(text) => text.len(),
        YamlValue::List(elements) => of_all(&mut elements.iter()),
        YamlValue::Map(pairs) => of_all(&mut pairs.iter().flat_map(|(key, value)| [key, value])),
    };
    inside.saturating_add(VALUE_BYTES)
}

/// Pairs keys with values, and replaces each merge key `<<` by the keys of its maps. The last of equal keys wins, so
/// a merge overrides keys before it: yaml.v2 does so (YAML says otherwise), and existing configurations rely on it.
fn merged(children: &[Rc<YamlNode>], so_far: &mut usize) -> Result<Vec<Pair>, SyntaxError> {
    let mut pairs = Vec::new();
    for pair in children.chunks_exact(2) {
        let (key, value) = (&pair[0], &pair[1]);
        if !matches!(&key.value, YamlValue::Scalar(text) if text == "<<") {
            pairs.push((Rc::clone(key), Rc::clone(value)));
            continue;
        }
        let sources: Vec<&Rc<YamlNode>> = match &value.value {
            // The first of several merged maps wins.
            YamlValue::List(sources) => sources.iter().rev().collect(),
            _ => vec![value],
        };
        for source in sources {
            let YamlValue::Map(inherited) = &source.value else {
                let cause = "a merge key (<<) needs a map or a list of maps".to_owned();
                return Err(SyntaxError {
                    line: value.line,
                    cause,
                });
            };
            *so_far += inherited.len();
            if *so_far > MAX_MERGED {
                let cause = format!("merge keys bring in more than {MAX_MERGED} keys");
                return Err(SyntaxError {
                    line: key.line,
                    cause,
                });
            }
            pairs.extend(inherited.iter().cloned());
        }
    }
    Ok(pairs)
}
