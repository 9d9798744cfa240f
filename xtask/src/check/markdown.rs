//! Markdown, as far as links need it: the anchors of a document and the links in it.
//!
//! In: the text of a document. Out: anchors by GitHub's rule, and links as they are written, with their lines. The scanner knows
//! inline links, images, reference links and headings that begin with `#`. It skips fenced code blocks and code spans.

use std::collections::{HashMap, HashSet};

/// The parts of a document that links need.
#[derive(Debug)]
pub(super) struct Markdown {
    /// Of its headings.
    pub(super) anchors: HashSet<String>,
    /// Sorted by line.
    pub(super) links: Vec<Link>,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) line: usize,
    /// As it is written. A reference without a definition is a link to its label in brackets.
    pub(super) target: String,
}

impl Markdown {
    pub(super) fn parse(text: &str) -> Self {
        let blocks = blocks(text);
        Self {
            anchors: anchors(&blocks),
            links: links(&blocks),
        }
    }
}

/// Lines that belong together: a paragraph, an item of a list, a heading, or a row of a table.
#[derive(Debug)]
struct Block {
    /// Number of its first line, from 1.
    line: usize,
    text: String,
}

/// The blocks of a document, without fenced code.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fence: Option<&str> = None;
    let mut may_continue = false;
    for (n, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(opening) = fence {
            let is_of_fence = trimmed.chars().all(|sign| opening.starts_with(sign));
            if is_of_fence && trimmed.len() >= opening.len() {
                fence = None;
            }
            continue;
        }
        fence = opening_fence(trimmed);
        if fence.is_some() || trimmed.is_empty() {
            may_continue = false;
            continue;
        }
        let is_alone = trimmed.starts_with(['#', '|']);
        let is_item = ["* ", "- ", "+ "]
            .iter()
            .any(|mark| trimmed.starts_with(mark));
        match blocks.last_mut() {
            Some(block) if may_continue && !is_alone && !is_item => {
                block.text.push('\n');
                block.text.push_str(line);
            }
            _ => blocks.push(Block {
                line: n + 1,
                text: line.to_owned(),
            }),
        }
        may_continue = !is_alone;
    }
    blocks
}

/// The signs that open a fenced code block, if the line opens one.
fn opening_fence(line: &str) -> Option<&str> {
    ['`', '~'].into_iter().find_map(|sign| {
        let info = line.trim_start_matches(sign);
        let signs = &line[..line.len() - info.len()];
        (signs.len() >= 3 && !info.contains('`')).then_some(signs)
    })
}

/// The anchors that GitHub gives to the headings; a repeated one gets a number.
fn anchors(blocks: &[Block]) -> HashSet<String> {
    let mut anchors = HashSet::new();
    let mut occurrences: HashMap<String, usize> = HashMap::new();
    for text in blocks.iter().filter_map(|block| heading(&block.text)) {
        let anchor = anchor(&text);
        let earlier = occurrences.entry(anchor.clone()).or_default();
        anchors.insert(match *earlier {
            0 => anchor,
            number => format!("{anchor}-{number}"),
        });
        *earlier += 1;
    }
    anchors
}

/// The text of a heading, without the targets of links.
fn heading(block: &str) -> Option<String> {
    let block = block.trim();
    let mut rest = block.trim_start_matches('#');
    let level = block.len() - rest.len();
    if !(1..=6).contains(&level) || !rest.starts_with(' ') {
        return None;
    }
    rest = rest.trim_end_matches('#').trim();
    let mut text = String::new();
    while let Some((before, behind)) = rest.split_once("](") {
        text.push_str(before);
        rest = behind.split_once(')').map_or("", |(_, behind)| behind);
    }
    text.push_str(rest);
    Some(text)
}

/// Lower case, a hyphen for each space, and no other punctuation than hyphens and underscores.
fn anchor(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter_map(|sign| match sign {
        ' ' => Some('-'),
        '-' | '_' => Some(sign),
        _ => sign.is_alphanumeric().then_some(sign),
    });
    kept.collect()
}

/// All links, sorted by line.
fn links(blocks: &[Block]) -> Vec<Link> {
    let prose = blocks.iter().map(|block| Block {
        line: block.line,
        text: without_code(&block.text),
    });
    let blocks: Vec<Block> = prose.collect();
    let mut links = Vec::new();
    let mut labels = HashSet::new();
    for block in &blocks {
        for (n, line) in block.text.lines().enumerate() {
            if let Some((label, target)) = definition(line) {
                labels.insert(normalized(label));
                links.push(Link {
                    line: block.line + n,
                    target: target.to_owned(),
                });
            }
        }
    }
    for Block { line, text } in &blocks {
        for at in closing_brackets(text) {
            let (before, behind) = text.split_at(at);
            let undefined = |label: &&str| !labels.contains(&normalized(label));
            let target = match inline_target(behind) {
                Some(target) => Some(target.to_owned()),
                None => reference(before, behind)
                    .filter(undefined)
                    .map(|label| format!("[{label}]")),
            };
            links.extend(target.map(|target| Link {
                line: line + before.matches('\n').count(),
                target,
            }));
        }
    }
    links.sort_by_key(|link| link.line);
    links
}

/// The text with a space in the place of each code span; line breaks stay.
fn without_code(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('`') {
        let (before, ticks) = rest.split_at(at);
        let behind = ticks.trim_start_matches('`');
        let (run, _) = ticks.split_at(ticks.len() - behind.len());
        kept.push_str(before);
        let end = match before.ends_with('\\') {
            true => None,
            false => span_end(behind, run.len()),
        };
        match end {
            Some(end) => {
                let (span, behind) = behind.split_at(end);
                kept.push(' ');
                kept.extend(span.chars().filter(|sign| *sign == '\n'));
                rest = behind;
            }
            None => {
                kept.push_str(run);
                rest = behind;
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// Where the code span ends that `length` backticks have opened: behind the next run of as many.
fn span_end(text: &str, length: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let start = at + found;
        let ticks = text[start..].len() - text[start..].trim_start_matches('`').len();
        at = start + ticks;
        if ticks == length {
            return Some(at);
        }
    }
    None
}

/// Where brackets close that were opened before. Escaped ones do not count.
fn closing_brackets(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut open = 0_usize;
    let mut is_escaped = false;
    for (at, sign) in text.char_indices() {
        match sign {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => open += 1,
            ']' if open > 0 => {
                open -= 1;
                found.push(at);
            }
            _ => {}
        }
    }
    found
}

/// Label and target of a line `[label]: target`. Footnotes (`[^label]:`) are none.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (label, rest) = line.trim_start().strip_prefix('[')?.split_once("]:")?;
    let target = rest.split_whitespace().next()?;
    let target = target.trim_start_matches('<').trim_end_matches('>');
    (!label.starts_with('^') && !label.contains(['[', ']'])).then_some((label, target))
}

/// The target in `](target)` or `](target "title")`.
fn inline_target(text: &str) -> Option<&str> {
    let text = text.strip_prefix("](")?.trim_start();
    if let Some(text) = text.strip_prefix('<') {
        return text.split_once('>').map(|(target, _)| target);
    }
    let mut depth = 0_usize;
    let end = text.find(|sign: char| match sign {
        '(' => {
            depth += 1;
            false
        }
        ')' if depth == 0 => true,
        ')' => {
            depth -= 1;
            false
        }
        _ => sign.is_whitespace(),
    })?;
    let (target, rest) = text.split_at(end);
    let is_link = rest.trim_start().starts_with([')', '"', '\'', '(']);
    is_link.then_some(target)
}

/// The label in `][label]`; in `][]` it is the text of the link, at the end of `before`.
fn reference<'a>(before: &'a str, text: &'a str) -> Option<&'a str> {
    let (label, _) = text.strip_prefix("][")?.split_once(']')?;
    match label.is_empty() {
        true => before.rsplit_once('[').map(|(_, label)| label),
        false => Some(label),
    }
}

/// Labels are the same whatever their case and spaces.
fn normalized(label: &str) -> String {
    let words: Vec<&str> = label.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links_of(text: &str) -> Vec<(usize, String)> {
        let links = Markdown::parse(text).links.into_iter();
        links.map(|link| (link.line, link.target)).collect()
    }

    fn link(line: usize, target: &str) -> (usize, String) {
        (line, target.to_owned())
    }

    #[test]
    fn inline_links_and_images_are_found_with_their_lines() {
        let text = "[a](a.md), ![b](b.png \"B\") and\n\
                    [c\nd](<c d.md>) [e](f(1).md) ([g](g.md#h))\n\n\
                    * [![i](i.png)](j.md)\n| [k](k.md) | [l]( m.md ) |\n";
        assert_eq!(
            links_of(text),
            [
                link(1, "a.md"),
                link(1, "b.png"),
                link(3, "c d.md"),
                link(3, "f(1).md"),
                link(3, "g.md#h"),
                link(5, "i.png"),
                link(5, "j.md"),
                link(6, "k.md"),
                link(6, "m.md"),
            ]
        );
    }

    #[test]
    fn code_and_text_that_only_resembles_a_link_are_skipped() {
        let text = "`[a](b)` ``[c](`d)`` [e]`f`(g) [FEATURE] x (y)\n\n```\n[h](i)\n~~~\n```\n\n\
                    ~~~~ text\n[j](k)\n~~~\n[l](m)\n~~~~\n\n\
                    \\`[n](o)\\` \\[p\\](q) r](s) [t](u v)\n";
        assert_eq!(links_of(text), [link(14, "o")]);
        let unclosed = "a ` b\n\n[c](d) ` e\n| ` | \n| [f](g) ` |\n";
        assert_eq!(links_of(unclosed), [link(3, "d"), link(5, "g")]);
    }

    #[test]
    fn reference_without_definition_is_a_link_to_its_label() {
        let text = "[a][One  two] [three][] [b][four]\n\n\
                    [one two]: a.md\n[Three]: <b.md> \"B\"\n[^1]: note\n";
        assert_eq!(
            links_of(text),
            [link(1, "[four]"), link(3, "a.md"), link(4, "b.md")]
        );
    }

    #[test]
    fn anchors_follow_the_rule_of_github() {
        let text = "# Files in `/proc` that do not answer\n## A_b, C-d & [E f](x.md)! ##\n\
                    ### Twice\ntext\n# Twice\n#none\n####### none\n\n```\n# code\n```\n";
        let mut found: Vec<String> = Markdown::parse(text).anchors.into_iter().collect();
        found.sort();
        assert_eq!(
            found,
            [
                "a_b-c-d--e-f",
                "files-in-proc-that-do-not-answer",
                "twice",
                "twice-1"
            ]
        );
    }
}
