//! Answers in which every instance is up.

use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::instance::{Instance, OPEN_METRICS, answer, packed};
use crate::support::agent::until;
use crate::{ID, PATH, Site, labels, merged, total, up};

/// The lines of a body without those of the agent about the instances.
fn of_instances(body: &str) -> Vec<&str> {
    let lines = body.lines();
    let is_own = |line: &&str| line.contains("headcount_target_");
    lines.filter(|line| !is_own(line)).collect()
}

#[test]
fn two_instances_have_one_answer_by_names_id_and_route() {
    let first = Instance::text(
        "# HELP app_req Requests.\n# TYPE app_req counter\napp_req{code=\"200\"} 10\n",
    );
    let second = Instance::text(
        "# TYPE temp gauge\ntemp 21\n# TYPE app_req counter\napp_req{code=\"200\",instance=\"own\"} 11 1700000000000\n",
    );
    let mut all = [(&first, 0), (&second, 1)];
    let site = Site::of(&[first.address, second.address]);
    all.sort_by_key(|(instance, _)| instance.address);
    let request = |(instance, index): &(&Instance, usize)| {
        format!(
            "app_req{{code=\"200\",{}}} {}\n",
            labels(instance.address, *index),
            10 + index
        )
    };
    let expected = format!(
        "# HELP app_req Requests.\n# TYPE app_req counter\n{}{}# TYPE temp gauge\ntemp{{{}}} 21\n",
        request(&all[0]),
        request(&all[1]),
        labels(second.address, 1),
    );
    let expected: Vec<&str> = expected.lines().collect();

    let agent = site.launch("").start();
    let paths = [
        PATH,
        "/v1/apps/myorg%2Fdev%2Fapp/metrics",
        "/v1/apps/myorg/dev/app/only-app-metrics",
        &format!("/v2/apps/{ID}/metrics"),
        "/v1/apps/metrics?app=myorg/dev/app&only_from_app=1",
        "/v1/apps/metrics?route_url=App.Example.com&metric_path=other",
    ];
    for path in paths {
        let scrape = merged(&agent, path);
        let found: Vec<&str> = of_instances(&scrape.body)
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(found, expected, "{path}");
        assert_eq!(
            (up(&scrape, first.address), up(&scrape, second.address)),
            (Some(1.0), Some(1.0))
        );
        let series = [("kind", "fan_in"), ("target", &second.address.to_string())];
        assert_eq!(scrape.value("headcount_target_series", &series), Some(2.0));
        let omitted = |what| {
            scrape.value(
                "headcount_target_omitted",
                &[("kind", "fan_in"), ("what", what)],
            )
        };
        assert_eq!(
            (omitted("timestamps"), omitted("cut")),
            (Some(1.0), Some(0.0)),
            "{}",
            scrape.body
        );
    }
    let heads = first.heads();
    let paths: Vec<&str> = heads
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/metrics", "/metrics", "/metrics", "/metrics", "/metrics", "/other"
        ]
    );
    assert!(
        heads[0].contains("\r\naccept: application/openmetrics-text;version=1.0.0,"),
        "{heads:?}"
    );
    assert!(
        heads[3].contains("\r\naccept: text/plain;version=0.0.4;q=1,*/*;q=0.1\r\n"),
        "{heads:?}"
    );

    assert_eq!(
        total(
            &agent,
            "headcount_fan_in_answers_total",
            &[("outcome", "merged")]
        ),
        6.0
    );
    assert_eq!(total(&agent, "headcount_fan_in_series_total", &[]), 18.0);
    let application = [
        ("organization_id", "org-guid"),
        ("space_id", "space-guid"),
        ("app_id", ID),
        ("organization_name", "myorg"),
        ("space_name", "dev"),
        ("app_name", "app"),
    ];
    let fetched = total(&agent, "promfetch_metric_fetch_success_total", &application);
    assert_eq!(fetched, 12.0);
    let body = agent.scrape().body;
    let address = first.address.to_string();
    assert!(!body.contains(&address), "an instance in /metrics: {body}");
}

#[test]
fn formats_compression_and_redirects_of_instances_leave_the_answer_the_same() {
    let open = Instance::answering(
        "200 OK",
        &format!("Content-Type: {OPEN_METRICS}\r\n"),
        b"# TYPE hits counter\nhits_total 3 # {trace=\"x\"} 1\n# EOF\n",
    );
    let gzip = Instance::answering(
        "200 OK",
        "Content-Encoding: gzip\r\nContent-Type: text/plain\r\n",
        &packed(b"# TYPE hits_total counter\nhits_total 4\n"),
    );
    let moved = Instance::start(|head, stream| {
        let answer = match head.starts_with("get /metrics ") {
            true => answer("302 Found", "Location: /moved\r\n", b""),
            false => answer("200 OK", "", b"hits_total 5\n"),
        };
        drop(std::io::Write::write_all(stream, &answer));
    });
    let site = Site::of(&[open.address, gzip.address, moved.address]);
    let agent = site.launch("").start();
    let scrape = merged(&agent, PATH);
    for (index, (instance, value)) in [(&open, 3), (&gzip, 4), (&moved, 5)]
        .into_iter()
        .enumerate()
    {
        let series = format!("hits_total{{{}}} {value}", labels(instance.address, index));
        assert!(
            scrape.body.lines().any(|line| line == series),
            "{}",
            scrape.body
        );
    }
    assert_eq!(
        scrape.body.matches("# TYPE hits_total ").count(),
        1,
        "{}",
        scrape.body
    );
}

#[test]
fn answer_is_compressed_for_a_caller_that_accepts_gzip() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let agent = site.launch("").start();
    let plain = merged(&agent, PATH).body;
    let mut stream = std::net::TcpStream::connect(agent.address).unwrap();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    let end = heard
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
    assert!(head.contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
    let mut body = String::new();
    GzDecoder::new(&heard[end..])
        .read_to_string(&mut body)
        .unwrap();
    let duration = |line: &&str| !line.contains("_duration_seconds");
    assert!(
        body.lines()
            .filter(duration)
            .eq(plain.lines().filter(duration)),
        "{body}"
    );
}

#[test]
fn label_of_an_instance_is_kept_as_exported_if_that_is_configured() {
    let instance = Instance::text("a{instance=\"own\",index=\"x\"} 1\n");
    let site = Site::of(&[instance.address]);
    let agent = site.launch("  label_conflict: exported\n").start();
    let scrape = merged(&agent, PATH);
    let series = format!(
        "a{{exported_instance=\"own\",exported_index=\"x\",{}}} 1",
        labels(instance.address, 0)
    );
    assert!(
        scrape.body.lines().any(|line| line == series),
        "{}",
        scrape.body
    );
}

#[test]
fn conflict_of_types_loses_no_series_and_is_counted() {
    let counter = Instance::text("# TYPE a counter\na 1\n");
    let gauge = Instance::text("# TYPE a gauge\na 2\n");
    let site = Site::of(&[counter.address, gauge.address]);
    let agent = site.launch("").start();
    let scrape = merged(&agent, PATH);
    assert!(
        scrape.body.contains("# TYPE a untyped\n"),
        "{}",
        scrape.body
    );
    assert_eq!(
        scrape
            .body
            .lines()
            .filter(|line| line.starts_with("a{"))
            .count(),
        2,
        "{}",
        scrape.body
    );
    assert_eq!(
        total(
            &agent,
            "headcount_fan_in_omitted_total",
            &[("what", "types")]
        ),
        1.0
    );
}

#[test]
fn changed_file_of_routes_changes_the_asked_instances() {
    let (first, second) = (Instance::text("a 1\n"), Instance::text("a 2\n"));
    let site = Site::of(&[first.address]);
    let agent = site.launch("").start();
    assert_eq!(up(&merged(&agent, PATH), first.address), Some(1.0));
    site.write(&[second.address]);
    until("the new instance", || {
        up(&merged(&agent, PATH), second.address).is_some()
    });
    assert_eq!(up(&merged(&agent, PATH), first.address), None);
}
