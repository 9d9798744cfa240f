//! The two import tables of docs/dev/architecture.md: which modules a module may import, and which modules may name a crate.
//!
//! In: the text of the document. Out: the rows of both tables, or the first mistake in them with its line.

/// The document, from the root of the repository.
pub(super) const DOCUMENT: &str = "docs/dev/architecture.md";

/// A name of the first column, and the names beside it in the second one.
pub(super) type Row = (String, Vec<String>);

/// Two tables: each module, and the modules that it may import, where `a::b` means: of `a`, only what its module `b` defines. And
/// each crate that only some files may name, and these files and folders, from `agent/src` and without `.rs`.
pub(super) fn parse(document: &str) -> Result<(Vec<Row>, Vec<Row>), String> {
    let modules = rows(document, ["module", "may import"])?;
    Ok((modules, rows(document, ["crate", "only in"])?))
}

/// The rows of the table with this heading. A row with several names in its first column counts for each of them.
fn rows(document: &str, heading: [&str; 2]) -> Result<Vec<Row>, String> {
    let fault = |line: usize, what: &str| Err(format!("{DOCUMENT}:{line}: {what}"));
    let numbered = document.lines().zip(1..);
    let mut lines = numbered.skip_while(|(line, _)| cells(line) != heading);
    let Some((_, first)) = lines.next() else {
        let heading = heading.join(" | ");
        return fault(1, &format!("no table with the heading `| {heading} |`"));
    };
    let is_row = |line: &str| line.trim_start().starts_with('|');
    let mut rows: Vec<Row> = Vec::new();
    for (line, number) in lines.take_while(|(line, _)| is_row(line)) {
        let columns = match cells(line).as_slice() {
            ["---", "---"] => continue,
            [left, right] => names(left).zip(names(right)),
            _ => None,
        };
        let Some((left, right)) = columns.filter(|(left, _)| !left.is_empty()) else {
            let expected = "expected two cells, names in backticks; `-` stands for none";
            return fault(number, expected);
        };
        for name in left {
            if rows.iter().any(|(earlier, _)| *earlier == name) {
                return fault(number, &format!("`{name}` has two rows"));
            }
            rows.push((name, right.clone()));
        }
    }
    match rows.as_slice() {
        [] => fault(first, "the table has no rows"),
        _ => Ok(rows),
    }
}

/// The cells of a row of a table; none of any other line.
fn cells(line: &str) -> Vec<&str> {
    let row = line.trim().strip_prefix('|');
    match row.and_then(|row| row.strip_suffix('|')) {
        Some(row) => row.split('|').map(str::trim).collect(),
        None => Vec::new(),
    }
}

/// The names in a cell; `-` stands for none.
fn names(cell: &str) -> Option<Vec<String>> {
    if cell == "-" {
        return Some(Vec::new());
    }
    let name = |part: &str| {
        let name = part.trim().strip_prefix('`')?.strip_suffix('`')?;
        (!name.is_empty() && !name.contains('`')).then(|| name.to_owned())
    };
    cell.split(',').map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &str = "| module | may import |\n| --- | --- |\n| `a` | - |\n";
    const CRATES: &str = "| crate | only in |\n| --- | --- |\n| `x`, `y` | `a/b` |\n";

    #[test]
    fn tables_are_read_between_other_text() {
        let document = format!("\n{MODULES}| `b` | `a`, `c::d` |\n\ntext\n\n{CRATES}");
        let (modules, crates) = parse(&document).expect("two tables");
        let row = |name: &str, names: &[&str]| -> Row {
            let names = names.iter().map(|name| (*name).to_owned());
            (name.to_owned(), names.collect())
        };
        assert_eq!(modules, [row("a", &[]), row("b", &["a", "c::d"])]);
        assert_eq!(crates, [row("x", &["a/b"]), row("y", &["a/b"])]);
    }

    #[test]
    fn unreadable_tables_are_findings_with_their_line() {
        for (document, line) in [
            (MODULES.to_owned(), 1),
            (CRATES.to_owned(), 1),
            (format!("{MODULES}| `b` | a |\n\n{CRATES}"), 4),
            (format!("{MODULES}| `b` | `a` `c` |\n\n{CRATES}"), 4),
            (format!("{MODULES}| `b` | `a`\n\n{CRATES}"), 4),
            (format!("{MODULES}| - | `a` |\n\n{CRATES}"), 4),
            (format!("{MODULES}| `a` | - |\n\n{CRATES}"), 4),
            (format!("{MODULES}| `b` | - | - |\n\n{CRATES}"), 4),
            (format!("{CRATES}\n| module | may import |\n"), 5),
        ] {
            let fault = parse(&document).expect_err(&document);
            let start = format!("{DOCUMENT}:{line}: ");
            assert!(fault.starts_with(&start), "{fault}");
        }
    }
}
