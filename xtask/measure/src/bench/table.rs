//! Tables of figures as Markdown, aligned so that they are readable on a terminal, and the measured values behind them.

use std::fmt::Write as _;

const HEADS: [&str; 10] = [
    "figure",
    "headcount",
    "process-exporter",
    "ratio",
    "node_exporter",
    "ratio",
    "promfetcher",
    "ratio",
    "target",
    "",
];

/// One row of a table.
#[derive(Debug, Default)]
pub(super) struct Row {
    cells: [String; HEADS.len()],
    /// Name of the program, and its values in nanoseconds.
    raw: Vec<(&'static str, Vec<f64>)>,
}

impl Row {
    pub(super) fn new(figure: impl Into<String>, ours: String) -> Self {
        let mut row = Self::default();
        row.cells[0] = figure.into();
        row.cells[1] = ours;
        row
    }

    /// Adds the peer's figure, and the agent's as a share of it.
    pub(super) fn beside(mut self, theirs: String, share: f64) -> Self {
        self.cells[2] = theirs;
        self.cells[3] = ratio(share);
        self
    }

    /// Adds the figure of node_exporter, which counts no groups.
    pub(super) fn beside_node(mut self, theirs: String, share: f64) -> Self {
        self.cells[4] = theirs;
        self.cells[5] = ratio(share);
        self
    }

    /// Adds the figure of promfetcher; a count has no share.
    pub(super) fn beside_promfetcher(mut self, theirs: String, share: Option<f64>) -> Self {
        self.cells[6] = theirs;
        self.cells[7] = share.map(ratio).unwrap_or_default();
        self
    }

    pub(super) fn target(mut self, target: &str, is_met: bool) -> Self {
        self.cells[8] = target.to_owned();
        self.cells[9] = if is_met { "met" } else { "MISSED" }.to_owned();
        self
    }

    /// Adds all times behind the figure of `whom`.
    pub(super) fn of(mut self, whom: &'static str, times_ns: &[f64]) -> Self {
        self.raw.push((whom, times_ns.to_vec()));
        self
    }
}

pub(super) fn milliseconds(ns: f64) -> String {
    let ms = ns / 1e6;
    let digits = if ms < 100.0 { 2 } else { 0 };
    format!("{ms:.digits$} ms")
}

pub(super) fn nanoseconds(ns: f64) -> String {
    format!("{ns:.0} ns")
}

/// Text of a size in megabytes of 10^6 bytes.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:+.2} %", share * 100.0)
}

/// Text of a ratio; a small share is shown as a fraction of one.
fn ratio(share: f64) -> String {
    if share < 0.5 {
        format!("1/{:.0}", 1.0 / share)
    } else {
        format!("{share:.2}")
    }
}

/// The table; columns that are empty in all rows are left out.
pub(super) fn markdown(rows: &[Row]) -> String {
    let heads = HEADS.map(str::to_owned);
    let lines = || std::iter::once(&heads).chain(rows.iter().map(|row| &row.cells));
    let is_used = |column: &usize| rows.iter().any(|row| !row.cells[*column].is_empty());
    let widest = |column: usize| lines().map(|cells| cells[column].chars().count()).max();
    let columns: Vec<(usize, usize)> = (0..HEADS.len())
        .filter(is_used)
        .map(|column| (column, widest(column).unwrap_or(0)))
        .collect();
    let mut text = String::new();
    for (n, cells) in lines().enumerate() {
        for (column, width) in &columns {
            let _ = write!(text, "| {:width$} ", cells[*column]);
        }
        text.push_str("|\n");
        if n == 0 {
            for (_, width) in &columns {
                let _ = write!(text, "|{:-<1$}", "", width + 2);
            }
            text.push_str("|\n");
        }
    }
    text
}

/// The values behind the rows, in microseconds, in a folded section; empty if no row has any.
pub(super) fn raw(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        for (whom, times_ns) in &row.raw {
            let _ = write!(text, "{}, {whom}:", row.cells[0]);
            for ns in times_ns {
                let _ = write!(text, " {:.1}", ns / 1e3);
            }
            text.push('\n');
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("\n<details><summary>raw data, us</summary>\n\n```text\n{text}```\n\n</details>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_empty_ones_are_left_out() {
        let rows = [
            Row::new("CPU", milliseconds(4_321_000.0)).beside(milliseconds(9.8e8), 0.0044),
            Row::new("RSS after start", megabytes(12_000_001)).target("≤ 12 MB", false),
        ];
        assert_eq!(
            markdown(&rows),
            "| figure          | headcount | process-exporter | ratio | target  |        |\n\
             |-----------------|-----------|------------------|-------|---------|--------|\n\
             | CPU             | 4.32 ms   | 980 ms           | 1/227 |         |        |\n\
             | RSS after start | 12.0 MB   |                  |       | ≤ 12 MB | MISSED |\n"
        );
    }

    #[test]
    fn shares_are_fractions_while_they_are_small() {
        assert_eq!(ratio(0.005), "1/200");
        assert_eq!(ratio(0.9), "0.90");
        assert_eq!(percent(0.0123), "+1.23 %");
        assert_eq!(percent(-0.001), "-0.10 %");
    }

    #[test]
    fn raw_data_are_of_the_rows_that_have_some() {
        let rows = [
            Row::new("CPU", String::new()).of("headcount", &[1500.0, 25.0]),
            Row::new("RSS", String::new()),
        ];
        assert!(
            raw(&rows).contains("\nCPU, headcount: 1.5 0.0\n```"),
            "{}",
            raw(&rows)
        );
        assert_eq!(raw(&rows[1..]), "");
    }
}
