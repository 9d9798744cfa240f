use std::path::Path;

use hyper::http::uri::PathAndQuery;
use proptest::prelude::*;

use super::super::table::{NodeListener, unescape};
use super::*;
use crate::config::{Config, HostPort};
use crate::process::ProcessId;

/// Parses a list of exporters.
fn exporters(list: &str) -> Vec<ExporterConfig> {
    let yaml = format!("fan_in: {{external_exporters: [{list}]}}");
    let config = Config::parse(Path::new("c.yml"), &yaml).unwrap();
    config.fan_in.unwrap().external_exporters
}

fn application(id: &str, name: &str) -> FanInApplication {
    FanInApplication {
        id: id.to_owned(),
        name: name.to_owned(),
        ..FanInApplication::default()
    }
}

fn instance(application: FanInApplication) -> FanInInstance {
    FanInInstance {
        address: HostPort::parse("10.0.0.1:80").unwrap(),
        is_tls: false,
        server_name: None,
        host: None,
        metric_path: None,
        labels: Vec::new(),
        application: Arc::new(application),
        is_web: true,
        expires: None,
        listener: None,
        exporter: None,
    }
}

fn questions(list: &str, instances: Vec<FanInInstance>, most: usize) -> ExporterQuestions {
    let instances: Vec<_> = instances.into_iter().map(Arc::new).collect();
    ExporterQuestions::of(&exporters(list), &instances, most)
}

/// The exporter and the path of each question.
fn asked(questions: &ExporterQuestions) -> Vec<(&str, &str)> {
    let texts = questions.to_ask.iter().map(|one| {
        let texts = one.exporter.as_deref().zip(one.metric_path.as_deref());
        texts.unwrap()
    });
    texts.collect()
}

const TWO: &str =
    "{host: 10.0.0.9:1, name: a, params: {id: ['{{.AppID}}']}}, {host: 10.0.0.9:2, name: b}";

#[test]
fn each_exporter_is_asked_once_for_each_application() {
    let first = application("i1", "x");
    let instances = vec![
        instance(first.clone()),
        instance(application("i2", "y")),
        // The same application with a new name.
        instance(application("i1", "z")),
        instance(application("", "y")),
    ];
    let found = questions(TWO, instances, 100);
    let expected = [
        ("a", "/metrics?id=i1"),
        ("b", "/metrics"),
        ("a", "/metrics?id=i2"),
        ("b", "/metrics"),
        ("a", "/metrics?id="),
        ("b", "/metrics"),
    ];
    assert_eq!(asked(&found), expected);
    assert_eq!((found.failed.len(), found.left_out), (0, 0));
    let labels = &found.to_ask[0].labels;
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(labels, application_labels(&first).collect::<Vec<_>>());
}

#[test]
fn process_of_the_node_has_no_exporter() {
    let listener = NodeListener {
        id: ProcessId {
            tgid: 1,
            start_ns: 2,
        },
        inode: 3,
        is_own: true,
        user: 0,
        namespace: (0, 0),
        ipv6: None,
    };
    let process = FanInInstance {
        listener: Some(Arc::new(listener)),
        ..instance(application("", "group"))
    };
    assert_eq!(asked(&questions(TWO, vec![process], 100)), []);
}

#[test]
fn exporters_beyond_the_bound_are_counted() {
    let instances = ["i1", "i2"]
        .map(|id| instance(application(id, "")))
        .to_vec();
    for (most, asks) in [(0, 0), (3, 3), (4, 4), (5, 4)] {
        let found = questions(TWO, instances.clone(), most);
        assert_eq!((found.to_ask.len(), found.left_out), (asks, 4 - asks));
    }
}

#[test]
fn exporter_with_a_failing_template_or_a_too_long_query_is_not_asked() {
    let list = "{host: 10.0.0.9:1, name: bad, params: {x: ['{{slice .AppID 3}}']}}, \
                {host: 10.0.0.9:1, name: long, params: {x: ['{{.AppName}}']}}";
    let long = "x".repeat(MOST_QUERY);
    let found = questions(list, vec![instance(application("", &long))], 100);
    assert_eq!(asked(&found), []);
    let failed = found.failed.iter().map(|one| {
        let reason = one
            .reply
            .as_ref()
            .map(|_| ())
            .map_err(|no_reply| no_reply.reason);
        (one.instance.exporter.as_deref(), reason, one.took)
    });
    let expected = [
        (Some("bad"), Err(Failure::Template), None),
        (Some("long"), Err(Failure::Limit), None),
    ];
    assert_eq!(failed.collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn tag_changes_only_the_value_of_its_parameter(tag in "\\PC{0,40}|[\u{0}-\u{7f}]{0,40}") {
        let list = "{host: 10.0.0.9:1, metrics_path: /probe, params: {a: ['{{.AppName}}', c], 'n&m': ['x {{.AppName}}']}}";
        let found = questions(list, vec![instance(application("", &tag))], 1);
        let path = asked(&found)[0].1;
        let parsed: PathAndQuery = path.parse().unwrap();
        prop_assert_eq!(parsed.path(), "/probe");
        let pairs = parsed.query().unwrap().split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (unescape(name).unwrap(), unescape(value).unwrap())
        });
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("a", &tag), pair("a", "c"), pair("n&m", &format!("x {tag}"))];
        prop_assert_eq!(pairs.collect::<Vec<_>>(), expected);
        prop_assert_eq!(found.to_ask[0].address.to_string(), "10.0.0.9:1");
    }
}
