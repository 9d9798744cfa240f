//! Rows of cells as aligned lines, whatever the cells contain.

use super::screen::{columns_of, shown};

/// Between two columns.
const GAP: &str = "  ";
/// Width of the last column, however narrow the terminal is.
const LEAST: usize = 16;

/// The rows in lines of `width` columns. Each cell but the last is at most as wide as `widest` says; the last one takes the rest.
pub(super) fn lines(rows: &[Vec<String>], widest: &[usize], width: usize) -> String {
    let mut widths = vec![0; widest.len()];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(widest);
            let cells = cells.map(|(cell, widest)| shown(cell, *widest));
            cells.chain(row.get(widest.len()).cloned()).collect()
        })
        .collect();
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = columns_of(cell).max(*widest);
        }
    }
    let before: usize = widths.iter().map(|width| width + GAP.len()).sum();
    let left = width.saturating_sub(before).max(LEAST);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            let padding = width - columns_of(cell) + GAP.len();
            text.extend(std::iter::repeat_n(' ', padding));
        }
        if let Some(last) = row.last() {
            text.push_str(&shown(last, left));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}
