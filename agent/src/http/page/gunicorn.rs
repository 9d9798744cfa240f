//! The table of Gunicorn's applications. The page's script writes the same cells.

use super::text::{bytes, html};
use crate::state::handle::GunicornRow;

/// The attribute that hides the section of a node without such applications.
pub(super) fn hidden(rows: &[GunicornRow]) -> &'static str {
    match rows {
        [] => " hidden",
        _ => "",
    }
}

pub(super) fn row(row: &GunicornRow) -> String {
    let whole = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
    let cells = [
        row.workers.to_string(),
        whole(row.busy),
        format!("{:.1}", row.cpu_percent),
        bytes(row.resident_bytes as f64),
        whole(row.starts),
        whole(row.bad_ends),
    ];
    let cells: String = cells
        .iter()
        .map(|cell| format!("<td>{cell}</td>"))
        .collect();
    let name = html(&row.name);
    format!("<tr><th scope=\"row\"><bdi class=\"name\">{name}</bdi></th>{cells}</tr>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::handle::Shown;

    #[test]
    fn row_has_the_known_facts_and_hostile_names_are_escaped() {
        let known = GunicornRow {
            name: Shown::of("</th><script>\u{202e}"),
            workers: 5,
            busy: Some(2),
            cpu_percent: 12.34,
            resident_bytes: 2048,
            starts: Some(7),
            bad_ends: None,
        };
        let expected = "<tr><th scope=\"row\"><bdi class=\"name\">&lt;/th>&lt;script>\\u{202e}</bdi></th>\
                        <td>5</td><td>2</td><td>12.3</td><td>2.0 KiB</td><td>7</td><td>–</td></tr>\n";
        assert_eq!(row(&known), expected);
        assert_eq!((hidden(&[known]), hidden(&[])), ("", " hidden"));
    }
}
