//! The text of METRICS.md: every family that the agent can show, made from the descriptors of all collectors.
//!
//! Nothing comes in but the tables of collectors and of kinds of targets. A test compares the text with the file, and rewrites the file with `HEADCOUNT_ACCEPT=1`.

use std::fmt::Write as _;

use super::Runs;
use crate::exposition::Descriptor;
use crate::targets::fan_in::ANSWER_DESCRIPTORS;

const HEAD: &str = "# Metrics

Every family of `/metrics` by collector, then those that stand in answers of fan-in only. A test makes this file from the code:
change the descriptors, then run the tests with `HEADCOUNT_ACCEPT=1`.

*Source* names where the kernel programs read a value, *fallback* where the agent takes it without them. The agent leaves out a
family whose value has no source; it never shows 0 instead. `headcount_source_info` shows the source of each fact on a node.
Every family with the label `groupname` also has the labels that an item of the configuration gives its groups.

A scrape has a deadline: the time in the header `X-Prometheus-Scrape-Timeout-Seconds`, at most 10 s. The agent reads the processes
and asks the targets at the same time. If one of the two is not done by then, the response has the families of the other, those of
`build` and `web`, and `headcount_collector_success` 0 for each collector whose families are missing.
";

/// The text before the families of [`ANSWER_DESCRIPTORS`].
const ANSWERS: &str = "
## Only in answers of fan-in

[Answers of fan-in](docs/fan-in.md#the-answer) have these families beside the series of the instances, and `headcount_target_up` and
`headcount_target_duration_seconds`. The families `promfetcher_*` also have the labels of the instance; those of an external exporter
are the labels of the application.
";

const COLUMNS: &str = "
| family | type | labels | unit | meaning | source | fallback |
| --- | --- | --- | --- | --- | --- | --- |
";

/// The text after the families.
const TAIL: &str = "
## Tolerance of the books

Since the agent's start, `headcount_balance_accounted_total` and `headcount_balance_node_total` differ at most by:

| fact | tier | tolerance |
| --- | --- | --- |
| `cpu_seconds` | iterator | 1 % of the node's time, plus 50 ms per CPU |
| `cpu_seconds` | switch | 2 % of the node's time, plus 50 ms per CPU, plus 20 ms for each process older than the agent |
| `cpu_seconds` | switch on tracepoints | 4 % of the node's time, the rest as for switch |
| `cpu_seconds` | procfs | accounted may be less by any amount: sampling misses processes that end between two scrapes |
| `creations` | iterator, switch | accounted may be less by `headcount_events_lost_total` and `headcount_switch_map_full_total`, and by the threads of processes for which the kernel runs no programs (`headcount_processes_hidden`); it may be more only on tracepoints, by at most `headcount_events_lost_total` |

Four causes add to the tolerance of `cpu_seconds`:

* `headcount_lost_cpu_seconds_total` is an upper bound: accounted may be more by as much. For all records lost between two scrapes, the bound is the
  lifetime CPU time of their processes, and at most the time of all online CPUs since the earlier scrape began.
* `headcount_processes_unconfirmed_total`: accounted may be less by 11 ms for each of these processes.
* `headcount_switch_unseen_seconds_total`: accounted may be less by as much.
* `headcount_balance_taken_total`: accounted may be more by as much. A kernel without `CONFIG_IRQ_TIME_ACCOUNTING` adds the time of interrupts to the
  tasks that they interrupt. Time that a hypervisor takes from an idle CPU that is about to wake is in the columns `steal` and `idle` of `/proc/stat`, so
  the node's side lacks it twice. On tracepoints, time that a hypervisor takes from a task counts as the task's CPU time.

The alert `HeadcountBooksDoNotBalance` (`deploy/prometheus/rules.yml`) fires at a difference of 5 % and 60 s or 60 tasks in an hour.
";

/// The text of METRICS.md. Fails only if a descriptor is not valid.
pub fn reference() -> Result<String, prometheus::Error> {
    let runs = Runs::new()?;
    let mut text = HEAD.to_owned();
    for collector in super::all(&runs) {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, "\n## {}\n{COLUMNS}", collector.name());
        rows(&mut text, &collector.descriptors());
    }
    text.push_str(ANSWERS);
    text.push_str(COLUMNS);
    rows(&mut text, &ANSWER_DESCRIPTORS);
    text.push_str(TAIL);
    Ok(text
        .replace("<pid>", "&lt;pid&gt;")
        .replace("<tid>", "&lt;tid&gt;"))
}

fn rows(text: &mut String, descriptors: &[&Descriptor]) {
    for metric in descriptors {
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
