//! The table of processes: one line each, in the order of the groups, processes in no group last.

use super::screen::{columns_of, shown};
use super::{Home, ListedProcess, Machine, labels};
use crate::group::Placement;

const HEAD: [&str; 6] = ["GROUP", "ITEM", "PID", "USER", "COMM", "COMMAND"];
/// Largest width of each column except the last, which takes the rest.
const WIDEST: [usize; 5] = [40, 16, 10, 16, 24];
/// Between two columns.
const GAP: &str = "  ";
/// Width of the command line, however narrow the terminal is.
const LEAST: usize = 16;

/// All processes, in lines of `width` columns.
pub fn table(machine: &Machine, width: usize) -> String {
    let mut rows: Vec<_> = machine
        .processes
        .iter()
        .map(|(tgid, process)| {
            let (group, item) = place(*tgid, &machine.home(*tgid));
            (group, *tgid, cells(process, item))
        })
        .collect();
    rows.sort_by(|a, b| (a.0.is_none(), &a.0, a.1).cmp(&(b.0.is_none(), &b.0, b.1)));
    let rows = rows
        .into_iter()
        .map(|(group, tgid, [item, user, comm, command])| {
            let group = group.unwrap_or_else(|| "-".to_owned());
            [group, item, tgid.to_string(), user, comm, command]
        });
    let head = HEAD.map(str::to_owned);
    lines(
        &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
        width,
    )
}

/// Group and item of a process.
fn place(tgid: u32, home: &Home<'_>) -> (Option<String>, String) {
    match home {
        Home::Own(placement) => (group(placement), (placement.item + 1).to_string()),
        Home::Of(ancestor, placement) => (group(placement), format!("of {ancestor}")),
        Home::Excluded(at, item) if *at == tgid => (None, format!("{} excludes", item + 1)),
        Home::Excluded(ancestor, _) => (None, format!("of {ancestor}")),
        Home::Nowhere => (None, "-".to_owned()),
    }
}

fn group(placement: &Placement) -> Option<String> {
    Some(format!("{}{}", placement.name, labels(placement)))
}

/// All cells except group and number.
fn cells(process: &ListedProcess, item: String) -> [String; 4] {
    let facts = &process.facts;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    [
        item,
        facts.username.clone(),
        text(&facts.comm),
        text(&facts.argv.joined()),
    ]
}

fn lines(rows: &[[String; 6]], width: usize) -> String {
    let mut widths = [0; WIDEST.len()];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cells = row
                .iter()
                .zip(WIDEST)
                .map(|(cell, widest)| shown(cell, widest));
            cells.chain([row[WIDEST.len()].clone()]).collect()
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
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(cell);
            let padding = width - columns_of(cell) + GAP.len();
            text.extend(std::iter::repeat_n(' ', padding));
        }
        if let Some(command) = row.last() {
            text.push_str(&shown(command, left));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}
