//! The dashboard of all nodes of a job. Sums of groups over nodes come from the series that `deploy/prometheus/rules.yml`
//! records: ten thousand nodes have too many series to add up at each look.

use super::model::{
    Choice, Dashboard, Link, Panel, Row, Variable, lines, number, parts, row, unit,
};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "headcount-fleet",
        title: "Headcount / Fleet",
        description: "Process groups of all nodes. Needs the recording rules of deploy/prometheus/rules.yml.",
        variables: vec![Variable {
            name: "job",
            label: "Job",
            query: "label_values(headcount_build_info, job)",
            choice: Choice::Several,
        }],
        rows: vec![state(), groups(), nodes(), agents()],
    }
}

fn state() -> Row {
    row(
        "State",
        vec![
            number("Nodes up", "Agents that were scraped last time.", unit::COUNT)
                .query(r#"sum(up{job=~"$job"})"#, ""),
            number("Nodes down", "Agents that could not be scraped last time.", unit::COUNT)
                .query(r#"count(up{job=~"$job"} == 0) or vector(0)"#, "")
                .red_from(1.0),
            number(
                "Without kernel programs",
                "Agents that know processes by /proc only and miss those that live between two scrapes.",
                unit::COUNT,
            )
            .query(
                r#"sum(job_tier:headcount_accounting_info:count{job=~"$job", tier="procfs"}) or vector(0)"#,
                "",
            )
            .red_from(1.0),
            number("Records lost", "Records of processes lost beyond recovery in an hour.", unit::COUNT)
                .query(r#"sum(increase(headcount_events_lost_total{job=~"$job"}[1h])) or vector(0)"#, "")
                .red_from(1.0),
            number("OOM kills", "Processes that the kernel killed for memory in an hour.", unit::COUNT)
                .query(
                    r#"sum(job_groupname:namedprocess_namegroup_oom_kills:increase1h{job=~"$job"}) or vector(0)"#,
                    "",
                )
                .red_from(1.0),
            number("Alerts", "Alerts of deploy/prometheus/rules.yml that fire.", unit::COUNT)
                .query(
                    r#"count(ALERTS{job=~"$job", alertstate="firing", alertname=~"(Headcount|ProcessGroup|Target|Passenger|Gunicorn).+"}) or vector(0)"#,
                    "",
                )
                .red_from(1.0),
        ],
    )
}

/// The ten groups with the highest values of a recorded series.
fn top_groups(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    series: &str,
) -> Panel {
    lines(title, description, unit)
        .query(
            format!(r#"topk(10, sum by (groupname) (job_groupname:namedprocess_namegroup_{series}{{job=~"$job"}}))"#),
            "{{groupname}}",
        )
        .to(Link::Group)
}

fn groups() -> Row {
    row(
        "Groups, on all nodes together",
        vec![
            top_groups("CPU", "CPUs that the ten busiest groups use.", unit::CPUS, "cpu_seconds:rate5m"),
            top_groups(
                "Resident memory",
                "Resident memory of the ten largest groups; shared pages count once for each process.",
                unit::BYTES,
                "resident_bytes:sum",
            ),
            top_groups("Processes", "Live processes of the ten largest groups.", unit::COUNT, "num_procs:sum"),
            top_groups(
                "Programs started",
                "Execs per second of the ten groups with most, those between two scrapes included.",
                unit::PER_SECOND,
                "execs:rate5m",
            ),
            top_groups(
                "Read from storage",
                "Bytes that the ten groups with most fetched from storage.",
                unit::BYTES_PER_SECOND,
                "read_bytes:rate5m",
            ),
            top_groups(
                "Sent to storage",
                "Bytes that the ten groups with most sent to storage.",
                unit::BYTES_PER_SECOND,
                "write_bytes:rate5m",
            ),
            lines(
                "Failing programs",
                "Ends by failure or signal per second, of the ten groups with most.",
                unit::PER_SECOND,
            )
            .query(
                r#"topk(10, sum by (groupname) (job_groupname_status:namedprocess_namegroup_exits:rate5m{job=~"$job", status!="success"}))"#,
                "{{groupname}}",
            )
            .to(Link::Group),
            top_groups(
                "OOM kills",
                "Processes killed for memory in the hour before, of the ten groups with most.",
                unit::COUNT,
                "oom_kills:increase1h",
            ),
        ],
    )
}

/// The ten nodes with the highest values of a recorded series.
fn top_nodes(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    series: &str,
) -> Panel {
    lines(title, description, unit)
        .query(
            format!(r#"topk(10, instance:{series}{{job=~"$job"}})"#),
            "{{instance}}",
        )
        .to(Link::Node)
}

fn nodes() -> Row {
    row(
        "Nodes",
        vec![
            top_nodes(
                "CPU",
                "CPUs that the groups of the ten busiest nodes use.",
                unit::CPUS,
                "namedprocess_namegroup_cpu_seconds:rate5m",
            ),
            top_nodes(
                "Resident memory",
                "Resident memory of the groups of the ten fullest nodes.",
                unit::BYTES,
                "namedprocess_namegroup_resident_bytes:sum",
            ),
            top_nodes(
                "Processes",
                "Live processes of the ten nodes with most.",
                unit::COUNT,
                "namedprocess_namegroup_num_procs:sum",
            ),
            top_nodes(
                "CPU of the agent",
                "CPUs that the agent itself uses, on the ten nodes where it uses most.",
                unit::CPUS,
                "headcount_process_cpu_seconds:rate5m",
            ),
        ],
    )
}

fn agents() -> Row {
    row(
        "Agents",
        vec![
            parts("Tiers", "Nodes by how their processes are accounted for.", unit::COUNT).query(
                r#"sum by (tier) (job_tier:headcount_accounting_info:count{job=~"$job"})"#,
                "{{tier}}",
            ),
            parts("Versions", "Nodes by the version of the agent.", unit::COUNT).query(
                r#"count by (version, revision) (headcount_build_info{job=~"$job"})"#,
                "{{version}} {{revision}}",
            ),
            lines("Resident memory of agents", "Of the median and of the largest agent.", unit::BYTES)
                .query(r#"quantile(0.5, headcount_process_resident_memory_bytes{job=~"$job"})"#, "median")
                .query(r#"max(headcount_process_resident_memory_bytes{job=~"$job"})"#, "largest"),
            lines(
                "Duration of scrapes",
                "As Prometheus sees it: network and waiting included.",
                unit::SECONDS,
            )
            .query(r#"quantile(0.5, scrape_duration_seconds{job=~"$job"})"#, "median")
            .query(r#"max(scrape_duration_seconds{job=~"$job"})"#, "longest"),
            lines(
                "Series by family",
                "Series that all agents expose, of the ten families with most: what to drop first.",
                unit::COUNT,
            )
            .query(
                r#"topk(10, sum by (family) (job_family:headcount_exposed_series:sum{job=~"$job"}))"#,
                "{{family}}",
            ),
            lines(
                "Series kept",
                "Samples per scrape of all agents together, before and after metric_relabel_configs.",
                unit::COUNT,
            )
            .query(r#"sum(scrape_samples_scraped{job=~"$job"})"#, "exposed")
            .query(r#"sum(scrape_samples_post_metric_relabeling{job=~"$job"})"#, "kept"),
        ],
    )
}
