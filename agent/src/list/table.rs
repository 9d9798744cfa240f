//! The table of processes: one line each, in the order of the groups, processes in no group last.

use super::lines::lines;
use super::{Home, ListedProcess, Machine, labels};
use crate::group::Placement;

const HEAD: [&str; 6] = ["GROUP", "ITEM", "PID", "USER", "COMM", "COMMAND"];
/// Largest width of each column except the last, which takes the rest.
const WIDEST: [usize; 5] = [40, 16, 10, 16, 24];

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
            vec![group, item, tgid.to_string(), user, comm, command]
        });
    let head = HEAD.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    lines(&rows, &WIDEST, width)
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
