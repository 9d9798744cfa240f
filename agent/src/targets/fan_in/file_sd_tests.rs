use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::targets::fan_in::table::{InstanceTable, WantedInstances};

/// Parses a JSON text, also as YAML, and checks that both results are equal. Returns the instances as `route address path
/// labels`.
fn both(json: &str) -> (Vec<String>, u64) {
    let [as_json, as_yaml] = [
        parse_json(json.as_bytes()).unwrap(),
        parse_yaml(json.as_bytes()).unwrap(),
    ];
    assert_eq!(as_json, as_yaml, "{json}");
    (shown(&as_json), as_json.unusable)
}

fn shown(found: &FoundInstances) -> Vec<String> {
    let instances = found.instances.iter().map(|routed| {
        let one = &routed.instance;
        let labels = one
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let (scheme, path) = (
            if one.is_tls { "https" } else { "http" },
            one.metric_path.as_deref(),
        );
        let labels = labels.collect::<Vec<_>>().join(",");
        format!(
            "{} {scheme}://{}{} {labels}",
            routed.route,
            one.address,
            path.unwrap_or_default()
        )
    });
    instances.collect()
}

#[test]
fn meta_labels_set_the_scheme_and_path_of_an_instance() {
    let (instances, unusable) = both(
        r#"[{"targets": ["10.0.0.1:80", "[::1]:81", "Db.example:82"], "labels": {"app": "Shop", "job": "j", "zone": "a", "__meta_x": "y", "empty": ""}},
            {"targets": ["10.0.0.2:80"], "labels": {"job": "j", "instance": "own", "__scheme__": "https", "__metrics_path__": "m/x", "a": "1"}},
            {"targets": []}, {"labels": {"app": "none"}}]"#,
    );
    assert_eq!(unusable, 0);
    assert_eq!(
        instances,
        [
            "Shop http://10.0.0.1:80 app=Shop,job=j,zone=a,instance=10.0.0.1:80",
            "Shop http://[::1]:81 app=Shop,job=j,zone=a,instance=[::1]:81",
            "Shop http://Db.example:82 app=Shop,job=j,zone=a,instance=Db.example:82",
            "j https://10.0.0.2:80/m/x a=1,job=j,instance=own",
        ]
    );
}

#[test]
fn application_is_found_by_its_name_and_with_the_labels_of_the_platform_by_names_and_id() {
    let found = parse_yaml(
        b"- targets: ['10.0.0.1:80']\n  labels:\n    app: Shop\n    organization_name: o\n    space_name: s\n    app_name: n\n    \
          app_id: 11111111-AAAA-1111-1111-111111111101\n",
    );
    let table = InstanceTable::of(found.unwrap().instances);
    let count = |what: &str| {
        let wanted = WantedInstances::named(what).unwrap();
        table.look_up(&wanted, Instant::now()).len()
    };
    for what in [
        "shop",
        "Shop",
        "o/s/n",
        "11111111-aaaa-1111-1111-111111111101",
    ] {
        assert_eq!(count(what), 1, "{what}");
    }
    assert_eq!(count("o/s/Shop"), 0);
}

#[test]
fn entry_that_cannot_be_asked_is_counted_and_the_others_are_taken() {
    let long = format!(r#""job": "a", "app": "{}""#, "a".repeat(2_049));
    for (labels, reason) in [
        (r#""app": "a""#, "expected host:port"),
        (r#""zone": "a""#, "neither the label app nor job"),
        (&long, "longer than 2,048 bytes"),
        (
            r#""app": "a", "__scheme__": "ftp""#,
            "__scheme__ is neither",
        ),
        (
            r#""app": "a", "__metrics_path__": "/m?x=1""#,
            "__metrics_path__ has",
        ),
        (
            r#""app": "a", "__metrics_path__": "/m m""#,
            "__metrics_path__ has",
        ),
        (
            r#""app": "a", "__param_target": "x""#,
            "parameters of a URL",
        ),
    ] {
        let json = format!(
            r#"[{{"targets": ["db"], "labels": {{{labels}}}}}, {{"targets": ["10.0.0.1:80"], "labels": {{"app": "b"}}}}]"#
        );
        let (instances, unusable) = both(&json);
        assert_eq!((instances.len(), unusable), (1, 1), "{labels}");
        let example = parse_json(json.as_bytes()).unwrap().example.unwrap();
        assert!(
            example.starts_with("\"db\": ") && example.contains(reason),
            "{example}"
        );
    }
}

#[test]
fn target_with_a_password_is_not_quoted() {
    let json = r#"[{"targets": ["http://u:S3cret@db:80"], "labels": {"app": "a"}}]"#;
    let example = parse_json(json.as_bytes()).unwrap().example.unwrap();
    assert!(
        example.starts_with("\"(not shown: it may have a password)\": expected host:port"),
        "{example}"
    );
}

#[test]
fn yaml_scalars_keep_their_text() {
    let found = parse_yaml(
        b"- targets: [10.0.0.1:80]\n  labels: {app: 010, version: 1.10, on: yes, none: ~}\n",
    );
    assert_eq!(
        shown(&found.unwrap()),
        ["010 http://10.0.0.1:80 app=010,on=yes,version=1.10,instance=10.0.0.1:80"]
    );
    for nothing in ["", "# nothing\n", "[]", "~"] {
        assert_eq!(
            parse_yaml(nothing.as_bytes()),
            Ok(FoundInstances::default()),
            "{nothing:?}"
        );
    }
}

#[test]
fn labels_are_bounded_in_a_group_and_in_a_file() {
    let group = |length: usize, targets: usize| {
        let targets = vec!["\"10.0.0.1:80\""; targets].join(",");
        let label = "l".repeat(length);
        let text =
            format!(r#"[{{"targets": [{targets}], "labels": {{"app": "a", "x": "{label}"}}}}]"#);
        let found = parse_json(text.as_bytes()).unwrap();
        (found.instances.len(), found.unusable, found.omitted)
    };
    assert_eq!(group(16_379, 3), (3, 0, 0));
    assert_eq!(group(16_380, 3), (0, 3, 0));
    let (taken, unusable, omitted) = group(16_000, 5_000);
    assert_eq!((taken as u64 + omitted, unusable), (5_000, 0));
    assert!((4_000..4_200).contains(&taken), "{taken}");
}

#[test]
fn text_that_prometheus_refuses_is_refused_with_the_line() {
    for (yaml, line, cause) in [
        ("a: b\n", 1, "a list of groups"),
        ("- a\n", 1, "a map with targets and labels"),
        ("- targets: []\n- targets: x\n", 2, "a list of host:port"),
        ("- targets: [{}]\n", 1, "a string"),
        ("- targets: []\n  labels: [a]\n", 2, "a map of label names"),
        (
            "- targets: []\n  label: {}\n",
            2,
            "the key targets or labels",
        ),
        (
            "- targets: []\n- labels: {a-b: c}\n",
            2,
            "\"a-b\" is no label name",
        ),
        ("- targets: [\n", 1, ""),
    ] {
        let (found, error) = parse_yaml(yaml.as_bytes()).unwrap_err();
        assert!(
            found == line && error.contains(cause),
            "{yaml:?}: {found}: {error}"
        );
    }
    for (json, line) in [
        ("", 1),
        ("{}", 1),
        ("[\n{\"target\": []}]", 2),
        ("[\n\n{\"targets\": [1]}]", 3),
        ("[{\"labels\": {\"a-b\": \"c\"}}]", 1),
    ] {
        assert_eq!(parse_json(json.as_bytes()).unwrap_err().0, line, "{json:?}");
    }
    let large = vec![b'#'; MOST_YAML + 1];
    assert!(parse_yaml(&large).unwrap_err().1.contains("write JSON"));
}

proptest! {
    #[test]
    fn json_and_yaml_of_the_same_groups_are_the_same(
        groups in prop::collection::vec(
            (
                prop::collection::vec("(10\\.0\\.0\\.[0-9]:[0-9]{1,3}|[a-z:]{0,4})", 0..4),
                prop::collection::btree_map("(app|job|instance|__scheme__|__metrics_path__|[a-z_]{1,3})", "[ -~]{0,5}", 0..5),
            ),
            0..5,
        ),
    ) {
        let targets: usize = groups.iter().map(|(targets, _)| targets.len()).sum();
        let groups = groups.into_iter().map(|(targets, labels)| serde_json::json!({"targets": targets, "labels": labels}));
        let json = serde_json::Value::Array(groups.collect()).to_string();
        let (instances, unusable) = both(&json);
        prop_assert_eq!(instances.len() as u64 + unusable, targets as u64);
    }
}
