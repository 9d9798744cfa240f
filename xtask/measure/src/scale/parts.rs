//! Divides an exposition into parts by the subject of its series.

use std::fmt::Write as _;

/// The parts, by prefixes of family names; the first row with a matching prefix takes a family.
const PARTS: &[(&str, &[&str])] = &[
    ("threads by name", &["namedprocess_namegroup_thread_"]),
    ("wait channels", &["namedprocess_namegroup_threads_wchan"]),
    ("states of threads", &["namedprocess_namegroup_states"]),
    (
        "births, ends, waiting for a CPU",
        &[
            "namedprocess_namegroup_forks",
            "namedprocess_namegroup_execs",
            "namedprocess_namegroup_exits",
            "namedprocess_namegroup_oom",
            "namedprocess_namegroup_run_queue",
        ],
    ),
    (
        "network",
        &["namedprocess_namegroup_tcp_", "namedprocess_namegroup_udp_"],
    ),
    (
        "CPU, memory, I/O, the rest of groups",
        &["namedprocess_namegroup_"],
    ),
    ("the agent itself", &[""]),
];

/// One part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    name: &'static str,
    pub(super) series: u64,
    /// Bytes of its lines, comments included.
    bytes: u64,
}

pub(super) fn of(exposition: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = PARTS
        .iter()
        .map(|(name, _)| Part {
            name,
            ..Part::default()
        })
        .collect();
    for line in exposition.split_inclusive('\n') {
        let comment = line
            .strip_prefix("# HELP ")
            .or(line.strip_prefix("# TYPE "));
        let family = comment.unwrap_or(line);
        let is_of = |starts: &&[&str]| starts.iter().any(|start| family.starts_with(start));
        let row = PARTS.iter().position(|(_, starts)| is_of(starts));
        if let Some(part) = row.and_then(|row| parts.get_mut(row)) {
            part.bytes += line.len() as u64;
            part.series += u64::from(comment.is_none());
        }
    }
    parts
}

pub(super) fn markdown(parts: &[Part], bytes: u64, gzip_bytes: u64) -> String {
    let mut text = "| part | series | bytes |\n| --- | --- | --- |\n".to_owned();
    for part in parts {
        let Part {
            name,
            series,
            bytes,
        } = part;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {series} | {bytes} |");
    }
    let series: u64 = parts.iter().map(|part| part.series).sum();
    let _ = writeln!(
        text,
        "| all | {series} | {bytes}, by gzip {gzip_bytes} (1/{:.0}) |",
        bytes as f64 / gzip_bytes.max(1) as f64
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_in_one_part() {
        let text = "# HELP namedprocess_namegroup_thread_count T.\n# TYPE namedprocess_namegroup_thread_count gauge\n\
                    namedprocess_namegroup_thread_count{a=\"b\"} 1\nnamedprocess_namegroup_threads_wchan 1\n\
                    namedprocess_namegroup_num_procs 2\nnamedprocess_namegroup_num_procs 3\nheadcount_x 4\n";
        let parts = of(text);
        let series: Vec<u64> = parts.iter().map(|part| part.series).collect();
        assert_eq!(series, [1, 1, 0, 0, 0, 2, 1]);
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        assert_eq!(bytes, text.len() as u64);
        let table = markdown(&parts, bytes, 50);
        assert!(table.contains("| threads by name | 1 |") && table.contains("| all | 5 |"));
    }
}
