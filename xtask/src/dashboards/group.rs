//! The dashboard of one group on some or all of its nodes.

use super::model::{
    Choice, Dashboard, Link, Panel, Row, Variable, lines, number, parts, row, unit,
};
use super::requests;

/// Label selectors of every query.
const GROUP: &str = r#"job=~"$job", instance=~"$instance", groupname="$groupname""#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "headcount-group",
        title: "Headcount / Group",
        description: "One process group, on one node or on many.",
        variables: vec![
            Variable {
                name: "job",
                label: "Job",
                query: "label_values(headcount_build_info, job)",
                choice: Choice::Several,
            },
            Variable {
                name: "groupname",
                label: "Group",
                query: r#"label_values(namedprocess_namegroup_num_procs{job=~"$job"}, groupname)"#,
                choice: Choice::One,
            },
            Variable {
                name: "instance",
                label: "Nodes",
                query: r#"label_values(namedprocess_namegroup_num_procs{job=~"$job", groupname="$groupname"}, instance)"#,
                choice: Choice::Many,
            },
        ],
        rows: vec![
            now(),
            by_node(),
            kinds(),
            network(),
            requests::of_group(),
            threads(),
        ],
    }
}

pub(super) fn family(name: &str) -> String {
    format!("namedprocess_namegroup_{name}{{{GROUP}}}")
}

pub(super) fn rate(name: &str) -> String {
    format!("rate({}[$__rate_interval])", family(name))
}

pub(super) fn total(name: &str) -> String {
    format!("sum({})", rate(name))
}

fn now() -> Row {
    row(
        "Now",
        vec![
            number("Nodes", "Nodes that have a process of it.", unit::COUNT)
                .query(format!("count({} > 0) or vector(0)", family("num_procs")), ""),
            number("Processes", "On all chosen nodes, zombies included.", unit::COUNT)
                .query(format!("sum({})", family("num_procs")), ""),
            number("CPU", "CPUs on all chosen nodes.", unit::CPUS)
                .query(format!("sum({})", rate("cpu_seconds_total")), ""),
            number("Oldest process", "How long it has run.", unit::SECONDS).query(
                format!("time() - min({})", family("oldest_start_time_seconds")),
                "",
            ),
            number("Ends by failure or signal", "In an hour.", unit::COUNT).query(
                format!(
                    r#"sum(increase(namedprocess_namegroup_exits_total{{{GROUP}, status!="success"}}[1h]))"#
                ),
                "",
            ),
            number("OOM kills", "Processes that the kernel killed for memory in an hour.", unit::COUNT)
                .query(format!("sum(increase({}[1h]))", family("oom_kills_total")), "")
                .red_from(1.0),
        ],
    )
}

/// The fifteen nodes with the highest values.
fn top(title: &'static str, description: &'static str, unit: &'static str, value: &str) -> Panel {
    lines(title, description, unit)
        .query(
            format!("topk(15, sum by (instance) ({value}))"),
            "{{instance}}",
        )
        .to(Link::Node)
}

fn by_node() -> Row {
    let resident = format!(r#"namedprocess_namegroup_memory_bytes{{{GROUP}, memtype="resident"}}"#);
    row(
        "By node",
        vec![
            top(
                "CPU",
                "CPUs by node, the fifteen with most.",
                unit::CPUS,
                &rate("cpu_seconds_total"),
            ),
            top(
                "Resident memory",
                "By node, the fifteen with most.",
                unit::BYTES,
                &resident,
            ),
            top(
                "Read from storage",
                "By node, the fifteen with most.",
                unit::BYTES_PER_SECOND,
                &rate("read_bytes_total"),
            ),
            top(
                "Sent to storage",
                "By node, the fifteen with most.",
                unit::BYTES_PER_SECOND,
                &rate("write_bytes_total"),
            ),
            top(
                "Processes",
                "By node, the fifteen with most.",
                unit::COUNT,
                &family("num_procs"),
            ),
            lines(
                "Nearest to the limit of file descriptors",
                "Share of its limit that the worst process uses, the fifteen nodes with most.",
                unit::RATIO,
            )
            .query(
                format!("topk(15, max by (instance) ({}))", family("worst_fd_ratio")),
                "{{instance}}",
            )
            .to(Link::Node)
            .red_from(0.8),
        ],
    )
}

/// A family summed over nodes, by one of its labels.
pub(super) fn by(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    label: &str,
    value: &str,
) -> Panel {
    let panel = parts(title, description, unit);
    let legend = match label {
        "mode" => "{{mode}}",
        "memtype" => "{{memtype}}",
        "state" => "{{state}}",
        "wchan" => "{{wchan}}",
        "status" => "{{status}}",
        "scope" => "{{scope}}",
        "role" => "{{role}}",
        "reason" => "{{reason}}",
        "method" => "{{method}}",
        _ => "{{ctxswitchtype}}",
    };
    panel.query(format!("sum by ({label}) ({value})"), legend)
}

fn kinds() -> Row {
    row(
        "All chosen nodes together",
        vec![
            by(
                "CPU by mode",
                "User and system.",
                unit::CPUS,
                "mode",
                &rate("cpu_seconds_total"),
            ),
            lines(
                "Memory by type",
                "Types overlap; swapped and resident do not.",
                unit::BYTES,
            )
            .query(
                format!("sum by (memtype) ({})", family("memory_bytes")),
                "{{memtype}}",
            ),
            by(
                "Threads by state",
                "Each thread once.",
                unit::COUNT,
                "state",
                &family("states"),
            ),
            by(
                "Threads by wait channel",
                "The kernel function that they wait in.",
                unit::COUNT,
                "wchan",
                &family("threads_wchan"),
            ),
            lines(
                "Births",
                "Per second, those between two scrapes included.",
                unit::PER_SECOND,
            )
            .query(total("forks_total"), "forks")
            .query(total("execs_total"), "programs started"),
            by(
                "Ends",
                "Per second, by how.",
                unit::PER_SECOND,
                "status",
                &rate("exits_total"),
            ),
            lines(
                "Page faults",
                "Per second; major ones needed I/O.",
                unit::PER_SECOND,
            )
            .query(total("major_page_faults_total"), "major")
            .query(total("minor_page_faults_total"), "minor"),
            by(
                "Context switches",
                "Per second; nonvoluntary ones were taken off the CPU.",
                unit::PER_SECOND,
                "ctxswitchtype",
                &rate("context_switches_total"),
            ),
            lines(
                "Waiting for a CPU",
                "Time per second that runnable threads waited, beside what they ran.",
                unit::CPUS,
            )
            .query(total("run_queue_wait_seconds_total"), "waiting")
            .query(total("cpu_seconds_total"), "running"),
            lines("Open file descriptors", "Of all processes.", unit::COUNT)
                .query(format!("sum({})", family("open_filedesc")), "open"),
        ],
    )
}

fn network() -> Row {
    row(
        "Network (with kernel programs)",
        vec![
            lines(
                "Payload",
                "Bytes per second sent and received, to other machines and to the same one.",
                unit::BYTES_PER_SECOND,
            )
            .query(total("tcp_sent_bytes_total"), "sent")
            .query(total("tcp_received_bytes_total"), "received"),
            by(
                "Payload sent by scope",
                "`loopback`: the peer is on the same machine.",
                unit::BYTES_PER_SECOND,
                "scope",
                &rate("tcp_sent_bytes_total"),
            ),
            by(
                "Sockets by state",
                "Living sockets.",
                unit::COUNT,
                "state",
                &family("tcp_sockets"),
            ),
            by(
                "Connections opened",
                "Per second, as client and as server.",
                unit::PER_SECOND,
                "role",
                &rate("tcp_connections_opened_total"),
            ),
            by(
                "Failed connections",
                "Connections per second that could not be established or that an error ended, by reason.",
                unit::PER_SECOND,
                "reason",
                &rate("tcp_connection_failures_total"),
            ),
            lines(
                "Segments",
                "Per second: segments with payload, and those of them that were sent again.",
                unit::PER_SECOND,
            )
            .query(total("tcp_sent_segments_total"), "sent")
            .query(total("tcp_retransmitted_segments_total"), "sent again"),
            lines(
                "UDP payload",
                "Bytes per second. Only with --collector.network.udp.",
                unit::BYTES_PER_SECOND,
            )
            .query(total("udp_sent_bytes_total"), "sent")
            .query(total("udp_received_bytes_total"), "received"),
        ],
    )
}

fn threads() -> Row {
    let top = |value: &str| format!("topk(15, sum by (threadname) ({value}))");
    row(
        "Threads by name (not with -threads=false)",
        vec![
            lines("CPU", "CPUs by thread name, the fifteen with most.", unit::CPUS)
                .query(top(&rate("thread_cpu_seconds_total")), "{{threadname}}"),
            lines("Threads", "By thread name, the fifteen with most.", unit::COUNT)
                .query(top(&family("thread_count")), "{{threadname}}"),
            lines(
                "Storage",
                "Bytes per second that threads of each name fetched and sent, the fifteen with most.",
                unit::BYTES_PER_SECOND,
            )
            .query(top(&rate("thread_io_bytes_total")), "{{threadname}}"),
            lines("Major page faults", "Per second, the fifteen with most.", unit::PER_SECOND).query(
                top(&rate("thread_major_page_faults_total")),
                "{{threadname}}",
            ),
        ],
    )
}
