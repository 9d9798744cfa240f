//! Answers that callers do not read.

use std::fmt::Write as _;

use crate::instance::Instance;
use crate::support::agent::until;
use crate::{PATH, Site, total};

/// Large answers in memory at the same time.
const LARGE: usize = 4;

#[test]
fn large_answers_that_are_not_read_hold_up_only_further_large_ones() {
    // With its labels, more than the buffers of a connection take.
    let mut large = String::new();
    for series in 0..100_000 {
        writeln!(large, "a{{series=\"{series}\"}} 1").unwrap();
    }
    let instance = Instance::start(move |head, stream| {
        let body = if head.starts_with("get /small ") {
            "a 1\n"
        } else {
            &large
        };
        let answer = crate::instance::answer("200 OK", "", body.as_bytes());
        drop(std::io::Write::write_all(stream, &answer));
    });
    let site = Site::of(&[instance.address]);
    let agent = site.launch("").start();
    // Requests of their own, because equal ones share an answer.
    let path = |name: &str| format!("{PATH}?metric_path={name}");
    let unread: Vec<_> = (0..LARGE)
        .map(|number| agent.begin(&path(&number.to_string()), ""))
        .collect();
    let merged = || {
        total(
            &agent,
            "headcount_fan_in_answers_total",
            &[("outcome", "merged")],
        )
    };
    until("the large answers", || merged() == 4.0);
    let hasty = "X-Prometheus-Scrape-Timeout-Seconds: 1\r\n";
    assert_eq!(agent.begin(&path("further"), hasty).answer().code, 503);
    drop(unread);
    until("room", || {
        agent.begin(&path("further"), hasty).answer().code == 200
    });
    assert_eq!(agent.begin(&path("small"), hasty).answer().code, 200);
}
