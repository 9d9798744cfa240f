//! The dashboard of one node: its groups, and its agent.

use super::model::{
    Choice, Dashboard, Link, Panel, Row, Variable, lines, number, parts, row, unit, word,
};
use super::requests;

/// Label selectors of every query.
pub(super) const NODE: &str = r#"job=~"$job", instance="$instance""#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "headcount-node",
        title: "Headcount / Node",
        description: "The process groups of one node, and its agent.",
        variables: vec![
            Variable {
                name: "job",
                label: "Job",
                query: "label_values(headcount_build_info, job)",
                choice: Choice::Several,
            },
            Variable {
                name: "instance",
                label: "Node",
                query: r#"label_values(headcount_build_info{job=~"$job"}, instance)"#,
                choice: Choice::One,
            },
        ],
        rows: vec![
            now(),
            use_of_groups(),
            network(),
            requests::of_node(),
            life(),
            applications(),
            agent(),
            accounting(),
        ],
    }
}

fn now() -> Row {
    row(
        "Now",
        vec![
            number("Processes", "Live processes of all groups, zombies included.", unit::COUNT)
                .query(format!("sum(namedprocess_namegroup_num_procs{{{NODE}}})"), ""),
            number("Threads", "Threads of all groups.", unit::COUNT)
                .query(format!("sum(namedprocess_namegroup_num_threads{{{NODE}}})"), ""),
            number("Groups", "Groups, empty ones included.", unit::COUNT)
                .query(format!("headcount_groups{{{NODE}}}"), ""),
            number("CPU", "CPUs that all groups together use.", unit::CPUS).query(
                format!("sum(rate(namedprocess_namegroup_cpu_seconds_total{{{NODE}}}[$__rate_interval]))"),
                "",
            ),
            word("Accounting", "How processes are accounted for: iterator is best, procfs samples.")
                .query(format!("headcount_accounting_info{{{NODE}}}"), "{{tier}} {{exit_hook}}"),
            word("Version", "What runs there.")
                .query(format!("headcount_build_info{{{NODE}}}"), "{{version}}"),
        ],
    )
}

/// The fifteen groups with the highest values of an expression, in which `FAMILY{…}` stands for a family's selector.
pub(super) fn top(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    family: &str,
    more: &str,
) -> Panel {
    let selector = format!("namedprocess_namegroup_{family}{{{NODE}{more}}}");
    let value = if family.ends_with("_total") {
        format!("rate({selector}[$__rate_interval])")
    } else {
        selector
    };
    lines(title, description, unit)
        .query(
            format!("topk(15, sum by (groupname) ({value}))"),
            "{{groupname}}",
        )
        .to(Link::Group)
}

fn use_of_groups() -> Row {
    row(
        "What groups use",
        vec![
            top("CPU", "CPUs by group.", unit::CPUS, "cpu_seconds_total", ""),
            top(
                "Waiting for a CPU",
                "Time per second that runnable threads waited for a CPU: more than 0 where the node or a cgroup's limit is full.",
                unit::CPUS,
                "run_queue_wait_seconds_total",
                "",
            ),
            top(
                "Resident memory",
                "By group; shared pages count once for each process.",
                unit::BYTES,
                "memory_bytes",
                r#", memtype="resident""#,
            ),
            top(
                "Proportional memory",
                "By group; shared pages are divided among those that share them. Not with -gather-smaps=false.",
                unit::BYTES,
                "memory_bytes",
                r#", memtype="proportionalResident""#,
            ),
            top(
                "Swapped memory",
                "By group.",
                unit::BYTES,
                "memory_bytes",
                r#", memtype="swapped""#,
            ),
            top(
                "Major page faults",
                "Faults per second that needed I/O.",
                unit::PER_SECOND,
                "major_page_faults_total",
                "",
            ),
            top(
                "Read from storage",
                "Bytes that groups fetched from storage.",
                unit::BYTES_PER_SECOND,
                "read_bytes_total",
                "",
            ),
            top(
                "Sent to storage",
                "Bytes that groups sent to storage.",
                unit::BYTES_PER_SECOND,
                "write_bytes_total",
                "",
            ),
            top(
                "Open file descriptors",
                "By group.",
                unit::COUNT,
                "open_filedesc",
                "",
            ),
            lines(
                "Nearest to the limit of file descriptors",
                "Share of its limit that the worst process of each group uses.",
                unit::RATIO,
            )
            .query(
                format!(
                    "topk(15, max by (groupname) (namedprocess_namegroup_worst_fd_ratio{{{NODE}}}))"
                ),
                "{{groupname}}",
            )
            .to(Link::Group)
            .red_from(0.8),
            top(
                "Context switches",
                "Of all threads, voluntary or not.",
                unit::PER_SECOND,
                "context_switches_total",
                "",
            ),
            parts("Threads by state", "Of all groups.", unit::COUNT).query(
                format!("sum by (state) (namedprocess_namegroup_states{{{NODE}}})"),
                "{{state}}",
            ),
        ],
    )
}

fn network() -> Row {
    row(
        "Network (with kernel programs)",
        vec![
            top(
                "Sent",
                "TCP payload that groups sent, to other machines and to this one.",
                unit::BYTES_PER_SECOND,
                "tcp_sent_bytes_total",
                "",
            ),
            top(
                "Received",
                "TCP payload that groups received, from other machines and from this one.",
                unit::BYTES_PER_SECOND,
                "tcp_received_bytes_total",
                "",
            ),
            top(
                "Connections",
                "Established connections by group.",
                unit::COUNT,
                "tcp_sockets",
                r#", state="established""#,
            ),
            top(
                "Connections opened",
                "Per second, by group, as client and as server.",
                unit::PER_SECOND,
                "tcp_connections_opened_total",
                "",
            ),
            top(
                "Failed connections",
                "Connections per second that could not be established or that an error ended.",
                unit::PER_SECOND,
                "tcp_connection_failures_total",
                "",
            ),
            top(
                "Retransmitted segments",
                "Segments per second that were sent again.",
                unit::PER_SECOND,
                "tcp_retransmitted_segments_total",
                "",
            ),
            top(
                "UDP sent",
                "Payload. Only with --collector.network.udp.",
                unit::BYTES_PER_SECOND,
                "udp_sent_bytes_total",
                "",
            ),
            top(
                "UDP received",
                "Payload. Only with --collector.network.udp.",
                unit::BYTES_PER_SECOND,
                "udp_received_bytes_total",
                "",
            ),
        ],
    )
}

fn life() -> Row {
    row(
        "Births and ends",
        vec![
            top(
                "Programs started",
                "Execs per second by the new program's group.",
                unit::PER_SECOND,
                "execs_total",
                "",
            ),
            top(
                "Forks",
                "Processes forked per second, by group.",
                unit::PER_SECOND,
                "forks_total",
                "",
            ),
            top(
                "Ends by failure or signal",
                "Per second, by group.",
                unit::PER_SECOND,
                "exits_total",
                r#", status!="success""#,
            ),
            top(
                "Processes",
                "Live processes by group.",
                unit::COUNT,
                "num_procs",
                "",
            ),
        ],
    )
}

/// The fifteen applications with the highest values of an expression.
fn top_applications(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    by_application: &str,
) -> Panel {
    lines(title, description, unit).query(format!("topk(15, {by_application})"), "{{name}}")
}

/// Empty where no Passenger runs.
fn applications() -> Row {
    let sum = |family: &str| format!("sum by (name) (passenger_app_{family}{{{NODE}}})");
    let memory = |memtype: &str| {
        format!(r#"sum by (name) (passenger_app_memory_bytes{{{NODE}, memtype="{memtype}"}})"#)
    };
    row(
        "Applications of Passenger",
        vec![
            top_applications(
                "Requests",
                "Requests finished per second, by application.",
                unit::PER_SECOND,
                &format!(
                    "sum by (name) (rate(passenger_app_requests_total{{{NODE}}}[$__rate_interval]))"
                ),
            ),
            top_applications(
                "Requests in progress",
                "By application.",
                unit::COUNT,
                &sum("busy_sessions"),
            ),
            top_applications(
                "Requests that wait",
                "By application; those of an application without a process wait for a place in the pool of their instance.",
                unit::COUNT,
                &sum("wait_list_size"),
            )
            .query(
                format!("passenger_wait_list_size{{{NODE}}}"),
                "pool of {{passenger_instance}}",
            ),
            top_applications(
                "Oldest use of a busy process",
                "Time since Passenger last used a process that has requests in progress: a process that is stuck stays here.",
                unit::SECONDS,
                &format!(
                    "max by (name) (time() - passenger_app_oldest_busy_last_used_timestamp_seconds{{{NODE}}})"
                ),
            ),
            parts(
                "Processes by state",
                "Of all applications.",
                unit::COUNT,
            )
            .query(
                format!("sum by (state) (passenger_app_processes{{{NODE}}})"),
                "{{state}}",
            ),
            lines(
                "Capacity used",
                "Share of the most processes that each instance runs: from 1 on, further applications wait for a place.",
                unit::RATIO,
            )
            .query(
                format!("passenger_capacity_used{{{NODE}}} / passenger_max_processes{{{NODE}}}"),
                "{{passenger_instance}}",
            )
            .red_from(1.0),
            top_applications(
                "Memory of applications",
                "Proportional memory as Passenger measures it; where it does not know that, private and swapped memory.",
                unit::BYTES,
                &format!("({} or {})", memory("proportional"), memory("real")),
            ),
            lines(
                "CPU of applications",
                "CPUs that the process groups of each application use; a group that several applications share counts for each of them.",
                unit::CPUS,
            )
            .query(
                format!(
                    "topk(15, sum by (groupname) (rate(namedprocess_namegroup_cpu_seconds_total{{{NODE}}}[$__rate_interval])) \
                     * on (groupname) group_right () max by (name, groupname) (passenger_app_group_info{{{NODE}}}))"
                ),
                "{{name}} ({{groupname}})",
            )
            .to(Link::Group),
        ],
    )
}

fn agent() -> Row {
    row(
        "The agent",
        vec![
            lines("CPU", "CPUs that the agent uses.", unit::CPUS).query(
                format!("rate(headcount_process_cpu_seconds_total{{{NODE}}}[$__rate_interval])"),
                "agent",
            ),
            lines("Memory", "Of the agent.", unit::BYTES)
                .query(format!("headcount_process_resident_memory_bytes{{{NODE}}}"), "resident")
                .query(format!("headcount_process_virtual_memory_bytes{{{NODE}}}"), "virtual"),
            lines("Duration of collectors", "Mean duration of a run.", unit::SECONDS).query(
                format!(
                    "sum by (collector) (rate(headcount_collector_duration_seconds_sum{{{NODE}}}[$__rate_interval])) \
                     / sum by (collector) (rate(headcount_collector_duration_seconds_count{{{NODE}}}[$__rate_interval]))"
                ),
                "{{collector}}",
            ),
            lines("Requests", "Answers per second by status code.", unit::PER_SECOND).query(
                format!("sum by (code) (rate(headcount_http_requests_total{{{NODE}}}[$__rate_interval]))"),
                "{{code}}",
            ),
            lines("Series exposed", "Of the ten families with most.", unit::COUNT).query(
                format!("topk(10, headcount_exposed_series{{{NODE}}})"),
                "{{family}}",
            ),
            lines(
                "Errors",
                "Things per second that could not be read, run or let in; see METRICS.md for each.",
                unit::PER_SECOND,
            )
            .query(
                format!(r#"sum by (collector) (rate(headcount_collector_runs_total{{{NODE}, outcome!="success"}}[$__rate_interval]))"#),
                "collector {{collector}}",
            )
            .query(format!("rate(namedprocess_scrape_errors{{{NODE}}}[$__rate_interval])"), "passes")
            .query(
                format!("rate(namedprocess_scrape_procread_errors{{{NODE}}}[$__rate_interval])"),
                "processes unread",
            )
            .query(
                format!("rate(namedprocess_scrape_partial_errors{{{NODE}}}[$__rate_interval])"),
                "processes read in part",
            )
            .query(
                format!("rate(headcount_http_connections_rejected_total{{{NODE}}}[$__rate_interval])"),
                "connections rejected",
            ),
        ],
    )
}

fn accounting() -> Row {
    let rate = |family: &str| format!("rate(headcount_{family}_total{{{NODE}}}[$__rate_interval])");
    row(
        "Kernel programs",
        vec![
            lines(
                "Records",
                "Per second, by what became of them.",
                unit::PER_SECOND,
            )
            .query(rate("events_received"), "by the ring")
            .query(rate("events_overflowed"), "by the overflow hash")
            .query(rate("events_coarse"), "as sums by name")
            .query(rate("events_lost"), "lost"),
            lines(
                "Fullest maps",
                "Largest share of each map that was ever in use: at 1, raise its size.",
                unit::RATIO,
            )
            .query(
                format!("headcount_map_peak_fill_ratio{{{NODE}}}"),
                "{{map}}, ever",
            )
            .query(format!("headcount_map_fill_ratio{{{NODE}}}"), "{{map}}")
            .red_from(0.9),
            lines(
                "Births and ends on the node",
                "Processes per second as the kernel programs count them, grouped or not.",
                unit::PER_SECOND,
            )
            .query(rate("kernel_forks"), "forks")
            .query(rate("kernel_execs"), "execs")
            .query(rate("kernel_exits"), "exits"),
            lines(
                "CPU of the kernel programs",
                "Only where kernel.bpf_stats_enabled is 1.",
                unit::CPUS,
            )
            .query(rate("program_run_seconds"), "{{program}}"),
        ],
    )
}
