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

/// After the families.
const TAIL: &str = "
## Tolerance of the books

`headcount_balance_accounted_total` and `headcount_balance_node_total` differ by no more than this, since the agent's start:

| fact | tier | tolerance |
| --- | --- | --- |
| `cpu_seconds` | iterator | 1 % of the node's time, and 50 ms a CPU |
| `cpu_seconds` | switch | 2 % of the node's time, 50 ms a CPU, and 20 ms for each process older than the agent |
| `cpu_seconds` | switch on tracepoints | 4 % of the node's time, the rest as above |
| `cpu_seconds` | procfs | accounted may be less by any amount: sampling misses what ends between two scrapes |
| `creations` | iterator, switch | accounted may be less by `headcount_events_lost_total` and `headcount_switch_map_full_total`, never more |

Four causes add to the tolerance of `cpu_seconds`:

* `headcount_lost_cpu_seconds_total` is an upper bound, so accounted may be more by as much. For all records lost between two scrapes, the bound is what their
  processes used in their whole lives, and no more than the time of all online CPUs since the earlier scrape began.
* `headcount_processes_unconfirmed_total`: accounted may be less by 11 ms for each of these processes.
* `headcount_switch_unseen_seconds_total`: accounted may be less by as much.
* `headcount_balance_taken_total`: accounted may be more by as much. A kernel without `CONFIG_IRQ_TIME_ACCOUNTING` adds the time of interrupts to the
  tasks that they interrupt. Time that a hypervisor takes from an idle CPU that is to wake is in the `steal` and in the `idle` column of `/proc/stat`, so the node's
  side is without it twice. On tracepoints, time that a hypervisor takes from a task counts as the task's.

The alert `HeadcountBooksDoNotBalance` (`deploy/prometheus/rules.yml`) fires at a difference of 5 % and 60 s or 60 tasks in an hour.
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
    text.push_str(TAIL);
    Ok(text
        .replace("<pid>", "&lt;pid&gt;")
        .replace("<tid>", "&lt;tid&gt;"))
}
