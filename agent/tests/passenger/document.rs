//! Reads Passenger's XML in the plainest way: elements, their texts, numeric references, ISO-8859-1.
//!
//! It is written for well-formed documents and panics on others. It shares nothing with the agent's parser, which it judges.

/// An element of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    /// The text of an element without children.
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
}

impl Element {
    /// The root element.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let mut open = vec![Self::default()];
        for piece in text.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').unwrap();
            if tag.starts_with('?') {
                continue;
            }
            // `<spawning/>` stands in a group while a process of it starts.
            if let Some(name) = tag.strip_suffix('/') {
                let empty = Self {
                    name: name.to_owned(),
                    ..Self::default()
                };
                open.last_mut().unwrap().children.push(empty);
                continue;
            }
            if let Some(name) = tag.strip_prefix('/') {
                let done = open.pop().unwrap();
                assert_eq!(name, done.name);
                open.last_mut().unwrap().children.push(done);
                continue;
            }
            open.push(Self {
                name: tag.split(' ').next().unwrap().to_owned(),
                text: plain(text),
                children: Vec::new(),
            });
        }
        assert_eq!(open.len(), 1, "not closed: {text}");
        open.pop().unwrap().children.pop().unwrap()
    }

    /// The text of a child.
    pub(crate) fn child(&self, name: &str) -> Option<&str> {
        let child = self.children.iter().find(|child| child.name == name)?;
        Some(&child.text)
    }

    /// The number in a child.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        Some(self.child(name)?.parse().unwrap())
    }

    /// All elements of that name below this one.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(self.children.iter().flat_map(move |child| {
            let own = (child.name == name).then_some(child);
            own.into_iter().chain(child.all(name))
        }))
    }

    /// The application of that root.
    pub(crate) fn app(&self, root: &std::path::Path) -> Option<&Self> {
        self.all("group")
            .find(|group| group.child("app_root") == root.to_str())
    }

    /// How many processes are so.
    pub(crate) fn processes(&self, is_so: impl Fn(&Self) -> bool) -> usize {
        self.all("process").filter(|process| is_so(process)).count()
    }
}

/// Without references: `&#40;` is an opening bracket.
fn plain(text: &str) -> String {
    let mut pieces = text.split("&#");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once(';').unwrap();
        plain.push(char::from_u32(number.parse().unwrap()).unwrap());
        plain.push_str(rest);
    }
    assert!(!plain.contains('&'), "a reference of another kind: {text}");
    plain
}

#[test]
fn elements_texts_and_references_are_read() {
    let text = b"<?xml version=\"1.0\" encoding=\"iso-8859-1\" ?>\n<a v=\"1\"><b>caf\xe9 &#40;x&#41;</b><c><b>2</b><d/></c></a>";
    let root = Element::parse(text);
    assert_eq!(root.child("b"), Some("caf\u{e9} (x)"));
    assert_eq!((root.all("b").count(), root.all("d").count()), (2, 1));
    let inner = root.children.iter().find(|child| child.name == "c");
    assert_eq!(inner.and_then(|inner| inner.number("b")), Some(2.0));
}
