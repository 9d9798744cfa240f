//! The rows of HTTP requests: of a node, and of a group.

use super::group::{by, family, rate, total};
use super::model::{Link, Panel, Row, lines, row, unit};
use super::node::{NODE, top};

/// The fifteen groups with the highest quantile of a histogram.
fn top_quantile(title: &'static str, description: &'static str, family: &str) -> Panel {
    let buckets = format!("namedprocess_namegroup_{family}_bucket{{{NODE}}}");
    lines(title, description, unit::SECONDS)
        .query(
            format!(
                "topk(15, histogram_quantile(0.95, sum by (groupname, le) (rate({buckets}[$__rate_interval]))))"
            ),
            "{{groupname}}",
        )
        .to(Link::Group)
}

pub(super) fn of_node() -> Row {
    row(
        "HTTP requests served (of groups with http: true)",
        vec![
            top(
                "Requests",
                "Answered or aborted, per second.",
                unit::PER_SECOND,
                "http_requests_total",
                "",
            ),
            top(
                "Failed requests",
                "Per second: answered with a status from 500 on, or not at all.",
                unit::PER_SECOND,
                "http_requests_total",
                r#", status=~"5xx|aborted""#,
            ),
            top_quantile(
                "Duration, 95 %",
                "From the first byte of a request to the head of its response: 95 % take at most so long.",
                "http_request_duration_seconds",
            ),
            top_quantile(
                "Waiting for a worker, 95 %",
                "From the connection's arrival to its first read: 95 % take at most so long.",
                "http_queue_duration_seconds",
            ),
            top(
                "Requests in flight",
                "Begun and not answered.",
                unit::COUNT,
                "http_requests_in_flight",
                "",
            ),
            top(
                "Busy processes",
                "Processes with at least one request in flight, on average.",
                unit::COUNT,
                "http_busy_seconds_total",
                "",
            ),
        ],
    )
}

/// A panel with three quantiles of a histogram.
fn quantiles(title: &'static str, description: &'static str, name: &str) -> Panel {
    let buckets = rate(&format!("{name}_bucket"));
    let quantile = |share: &str| format!("histogram_quantile({share}, sum by (le) ({buckets}))");
    lines(title, description, unit::SECONDS)
        .query(quantile("0.5"), "50 %")
        .query(quantile("0.95"), "95 %")
        .query(quantile("0.99"), "99 %")
}

pub(super) fn of_group() -> Row {
    row(
        "HTTP requests served (with http: true)",
        vec![
            by(
                "Requests by status",
                "Per second. `aborted`: the connection ended without an answer.",
                unit::PER_SECOND,
                "status",
                &rate("http_requests_total"),
            ),
            by(
                "Requests by method",
                "Per second.",
                unit::PER_SECOND,
                "method",
                &rate("http_requests_total"),
            ),
            quantiles(
                "Duration",
                "From the first byte of a request to the head of its response: so many take at most so long.",
                "http_request_duration_seconds",
            ),
            quantiles(
                "Sending the response",
                "From the head to the last byte, over TCP.",
                "http_response_duration_seconds",
            ),
            quantiles(
                "Waiting for a worker",
                "From the connection's arrival to its first read, over TCP.",
                "http_queue_duration_seconds",
            ),
            lines(
                "Busy",
                "Requests in flight, and processes that have at least one, on average.",
                unit::COUNT,
            )
            .query(
                format!("sum({})", family("http_requests_in_flight")),
                "requests in flight",
            )
            .query(total("http_busy_seconds_total"), "busy processes"),
        ],
    )
}
