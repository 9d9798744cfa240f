//! METRICS.md: every family that can be shown, from the descriptors themselves.

use std::fmt::Write as _;

use super::{COLLECTORS, Runs};

const HEAD: &str = "# Metrics

Every family that Headcount can show, by collector. Made from the code: change the descriptors and run the tests with
`HEADCOUNT_ACCEPT=1`.

The source is where the kernel programs take a value, the fallback what is shown where they cannot. What comes from
nowhere is left out, never shown as 0; `headcount_source_info` tells which fact comes from where on a node. The labels that an
item of the configuration gives its groups stand beside those of every family with `groupname`.

Where the processes could not be looked at in the time that Prometheus gives (`X-Prometheus-Scrape-Timeout-Seconds`, at most 10 s), the
answer has the families of `build` and `http` alone, and `headcount_collector_success` is 0 for the other collectors.
";

/// The text of METRICS.md. Fails only where a descriptor is not valid.
pub fn reference() -> Result<String, prometheus::Error> {
    let runs = Runs::new()?;
    let mut text = HEAD.to_owned();
    for start in COLLECTORS {
        let collector = start(&runs);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {}\n\n| family | type | labels | unit | meaning | source | fallback |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
            collector.name()
        );
        for metric in collector.descriptors() {
            let labels = if metric.labels.is_empty() {
                "-"
            } else {
                &metric.labels.join(", ")
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {labels} | {} | {} | {} | {} |",
                metric.name,
                metric.kind.word(),
                metric.unit,
                metric.help,
                metric.source,
                metric.fallback
            );
        }
    }
    Ok(text
        .replace("<pid>", "&lt;pid&gt;")
        .replace("<tid>", "&lt;tid&gt;"))
}
