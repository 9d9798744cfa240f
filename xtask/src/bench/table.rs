//! The table: rows of figures as Markdown, aligned so that it reads well on a terminal, too.

use std::fmt::Write as _;

const HEADS: [&str; 6] = [
    "figure",
    "headcount",
    "process-exporter",
    "ratio",
    "target",
    "",
];

/// One figure.
#[derive(Debug, Default)]
pub(super) struct Row {
    cells: [String; HEADS.len()],
}

impl Row {
    pub(super) fn new(figure: impl Into<String>, ours: String) -> Self {
        let mut row = Self::default();
        row.cells[0] = figure.into();
        row.cells[1] = ours;
        row
    }

    /// The peer's figure, and ours as a share of it.
    pub(super) fn beside(mut self, theirs: String, share: f64) -> Self {
        self.cells[2] = theirs;
        self.cells[3] = ratio(share);
        self
    }

    pub(super) fn target(mut self, target: &str, is_met: bool) -> Self {
        self.cells[4] = target.to_owned();
        self.cells[5] = if is_met { "met" } else { "MISSED" }.to_owned();
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

/// Megabytes of 10^6 bytes.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:+.2} %", share * 100.0)
}

/// A small share reads better as a fraction of one.
fn ratio(share: f64) -> String {
    if share < 0.5 {
        format!("1/{:.0}", 1.0 / share)
    } else {
        format!("{share:.2}")
    }
}

pub(super) fn markdown(rows: &[Row]) -> String {
    let heads = HEADS.map(str::to_owned);
    let lines = || std::iter::once(&heads).chain(rows.iter().map(|row| &row.cells));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            lines()
                .map(|cells| cells[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (n, cells) in lines().enumerate() {
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if n == 0 {
            for width in &widths {
                let _ = write!(text, "|{:-<1$}", "", width + 2);
            }
            text.push_str("|\n");
        }
    }
    text
}

/// What was measured, and where.
pub(super) fn preamble(peer: &str) -> String {
    let first_line = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "`cargo xtask bench` on Linux {}, {cpus} CPUs, load average {} at the start; process-exporter {peer}, smaps off, \
         its threads on unless said otherwise. Both group all processes by comm. CPU is user and system time of all \
         threads by the process's CPU clock, up to 250 ms after each scrape, medians; MB are 10^6 bytes.\n",
        first_line("/proc/sys/kernel/osrelease"),
        first_line("/proc/loadavg"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
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
}
