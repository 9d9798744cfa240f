//! The dashboard of Gunicorn: applications, their workers, and the groups of processes in front of which connections wait.

use super::group::by;
use super::model::{Choice, Dashboard, Link, Panel, Row, Variable, lines, number, row, unit};

/// Label selectors of the families of applications and workers, and of those of groups.
const APP: &str = r#"job=~"$job", instance=~"$instance", app=~"$app""#;
const GROUP: &str = r#"job=~"$job", instance=~"$instance", groupname=~"$groupname""#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "headcount-gunicorn",
        title: "Headcount / Gunicorn",
        description: "Applications of Gunicorn and their workers. Needs http: true in the items that match Gunicorn.",
        variables: vec![
            Variable {
                name: "job",
                label: "Job",
                query: "label_values(headcount_build_info, job)",
                choice: Choice::Several,
            },
            Variable {
                name: "instance",
                label: "Nodes",
                query: r#"label_values(gunicorn_workers{job=~"$job"}, instance)"#,
                choice: Choice::Many,
            },
            Variable {
                name: "app",
                label: "Applications",
                query: r#"label_values(gunicorn_workers{job=~"$job", instance=~"$instance"}, app)"#,
                choice: Choice::Several,
            },
            Variable {
                name: "groupname",
                label: "Groups",
                query: r#"label_values(namedprocess_namegroup_http_requests_in_flight{job=~"$job", instance=~"$instance"}, groupname)"#,
                choice: Choice::Several,
            },
        ],
        rows: vec![now(), requests(), workers(), groups()],
    }
}

fn of_app(family: &str) -> String {
    format!("gunicorn_{family}{{{APP}}}")
}

fn rate(family: &str) -> String {
    format!("rate({}[$__rate_interval])", of_app(family))
}

fn rate_of_group(family: &str) -> String {
    format!("rate(namedprocess_namegroup_{family}{{{GROUP}}}[$__rate_interval])")
}

/// Busy workers as a share of all, added up by these labels.
fn busy_share(by: &str) -> String {
    let busy = format!(r#"gunicorn_workers{{{APP}, state="busy"}}"#);
    format!("sum {by}({busy}) / sum {by}({})", of_app("workers"))
}

fn failed_share(by: &str) -> String {
    let failed = rate("worker_failed_requests_total");
    format!(
        "sum {by}({failed}) / sum {by}({})",
        rate("worker_requests_total")
    )
}

/// Ends of workers in an hour, without those that a reload or a stop brings.
fn bad_ends() -> String {
    let ends = format!(r#"gunicorn_worker_ends_total{{{APP}, reason!="exit"}}"#);
    format!("sum(increase({ends}[1h]))")
}

fn quantile(share: &str, by: &str, buckets: &str) -> String {
    format!("histogram_quantile({share}, sum by ({by}) ({buckets}))")
}

fn now() -> Row {
    let buckets = rate("worker_request_duration_seconds_bucket");
    row(
        "Now",
        vec![
            number("Workers", "Living workers.", unit::COUNT)
                .query(format!("sum({})", of_app("workers")), ""),
            number(
                "Busy workers",
                "Share of workers with at least one request in flight.",
                unit::RATIO,
            )
            .query(busy_share(""), "")
            .red_from(0.9),
            number("Requests", "Answered or aborted, per second.", unit::PER_SECOND).query(
                format!("sum({})", rate("worker_requests_total")),
                "",
            ),
            number(
                "Failed requests",
                "Share of requests that were answered with a status from 500 on, or not at all.",
                unit::RATIO,
            )
            .query(failed_share(""), "")
            .red_from(0.05),
            number(
                "Duration, 95 %",
                "From the first byte of a request to the head of its response: 95 % take at most so long.",
                unit::SECONDS,
            )
            .query(quantile("0.95", "le", &buckets), ""),
            number(
                "Bad ends of workers",
                "In an hour, otherwise than by exit code 0.",
                unit::COUNT,
            )
            .query(bad_ends(), "")
            .red_from(1.0),
        ],
    )
}

/// A value of each application.
fn by_app(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    value: &str,
) -> Panel {
    lines(title, description, unit).query(format!("sum by (app) ({value})"), "{{app}}")
}

fn requests() -> Row {
    let buckets = rate("worker_request_duration_seconds_bucket");
    row(
        "Requests of living workers",
        vec![
            by_app(
                "Requests",
                "Answered or aborted, per second.",
                unit::PER_SECOND,
                &rate("worker_requests_total"),
            ),
            lines(
                "Failed requests",
                "Share of requests that were answered with a status from 500 on, or not at all.",
                unit::RATIO,
            )
            .query(failed_share("by (app) "), "{{app}}"),
            lines(
                "Duration",
                "Of all chosen applications: so many requests take at most so long.",
                unit::SECONDS,
            )
            .query(quantile("0.5", "le", &buckets), "50 %")
            .query(quantile("0.95", "le", &buckets), "95 %")
            .query(quantile("0.99", "le", &buckets), "99 %"),
            lines(
                "Duration by application, 95 %",
                "95 % of the requests take at most so long.",
                unit::SECONDS,
            )
            .query(quantile("0.95", "app, le", &buckets), "{{app}}"),
        ],
    )
}

/// The fifteen workers with the highest values.
fn top_workers(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    value: &str,
) -> Panel {
    lines(title, description, unit).query(format!("topk(15, {value})"), "{{app}} {{worker_id}}")
}

fn workers() -> Row {
    row(
        "Workers",
        vec![
            by(
                "Workers by state",
                "`busy`: with at least one request in flight.",
                unit::COUNT,
                "state",
                &of_app("workers"),
            ),
            lines(
                "Busy workers",
                "Share of workers with a request in flight. With threads or an event loop, a busy worker can take more requests.",
                unit::RATIO,
            )
            .query(busy_share("by (app) "), "{{app}}")
            .red_from(0.9),
            by_app(
                "Starts",
                "Workers started per second, those that end between two scrapes included.",
                unit::PER_SECOND,
                &rate("worker_starts_total"),
            ),
            by(
                "Ends by reason",
                "Per second. `timeout`: the arbiter killed the worker. `exit`: exit code 0, as after a reload.",
                unit::PER_SECOND,
                "reason",
                &rate("worker_ends_total"),
            ),
            top_workers(
                "Memory",
                "Resident memory of the fifteen largest workers.",
                unit::BYTES,
                &of_app("worker_memory_bytes"),
            ),
            top_workers(
                "CPU",
                "CPUs that the fifteen busiest workers use.",
                unit::CPUS,
                &rate("worker_cpu_seconds_total"),
            ),
            top_workers(
                "Requests by worker",
                "Per second, the fifteen with most.",
                unit::PER_SECOND,
                &rate("worker_requests_total"),
            ),
            by_app(
                "Age of the arbiter",
                "Time since the start of the oldest living arbiter.",
                unit::SECONDS,
                &format!("time() - {}", of_app("app_start_time_seconds")),
            ),
        ],
    )
}

fn groups() -> Row {
    let queue =
        |family: &str| format!("sum by (groupname) (namedprocess_namegroup_{family}{{{GROUP}}})");
    let waits = rate_of_group("http_queue_duration_seconds_bucket");
    row(
        "Groups: the queue, and all requests, those of workers that have ended included",
        vec![
            lines(
                "Accept queue",
                "TCP connections that wait until a worker accepts them, and how many may wait; `backlog` of Gunicorn and \
                 net.core.somaxconn limit it.",
                unit::COUNT,
            )
            .query(queue("tcp_listen_queue"), "{{groupname}}")
            .query(queue("tcp_listen_queue_limit"), "{{groupname}}, limit")
            .to(Link::Group),
            lines(
                "Waiting for a worker",
                "From the connection's arrival to its first read, over TCP: so many wait at most so long.",
                unit::SECONDS,
            )
            .query(quantile("0.5", "le", &waits), "50 %")
            .query(quantile("0.95", "le", &waits), "95 %")
            .query(quantile("0.99", "le", &waits), "99 %"),
            by(
                "Requests by status",
                "Per second. `aborted`: the connection ended without an answer.",
                unit::PER_SECOND,
                "status",
                &rate_of_group("http_requests_total"),
            ),
            lines(
                "Dropped connections",
                "Segments and connections per second that listening sockets dropped, mostly because their queue was full.",
                unit::PER_SECOND,
            )
            .query(
                format!("sum by (groupname) ({})", rate_of_group("tcp_listen_drops_total")),
                "{{groupname}}",
            )
            .to(Link::Group),
        ],
    )
}
