//! Keys beyond process-exporter's configuration: selectors, variables and exclusion.

use std::path::Path;

use crate::config::Config;
use crate::group::{BootTime, Classifier, Verdict};
use crate::process::{Container, Facts};

const BOOT: BootTime = BootTime {
    unix_seconds: 1_700_000_000,
};
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn verdict(items: &str, facts: &Facts) -> Verdict {
    let yaml = format!("process_names: [{items}]");
    let config = Config::parse(Path::new("c.yml"), &yaml).unwrap();
    Classifier::new(&config).unwrap().classify(facts, BOOT)
}

/// The name that `items` give; `-` for none and `!` for an excluded process.
fn name(items: &str, facts: &Facts) -> String {
    match verdict(items, facts) {
        Verdict::Member(placement) => placement.name,
        Verdict::Unmatched => "-".to_owned(),
        Verdict::Excluded { .. } => "!".to_owned(),
    }
}

fn nginx() -> Facts {
    Facts {
        tgid: 42,
        parent: 7,
        comm: b"nginx".to_vec(),
        argv: [&b"/usr/sbin/nginx"[..], b"-g", b"caf\xe9"]
            .iter()
            .collect(),
        uid: Some(33),
        username: "www-data".to_owned(),
        cgroups: vec!["/".to_owned(), format!("/system.slice/docker-{ID}.scope/x")],
        cwd: b"/srv/\xff".to_vec(),
        ..Facts::default()
    }
}

#[test]
fn users_by_name_or_number() {
    for (user, expected) in [
        ("www-data", "nginx"),
        ("33", "nginx"),
        ("root, 33", "nginx"),
        ("root, 0", "-"),
        ("''", "-"),
        ("", "-"),
    ] {
        assert_eq!(
            name(&format!("{{user: [{user}]}}"), &nginx()),
            expected,
            "{user}"
        );
    }
    let sum = Facts::default();
    assert_eq!(name("{user: [root, '0']}", &sum), "-", "a sum has no user");
    let unnamed = Facts {
        uid: Some(5),
        username: "5".to_owned(),
        ..nginx()
    };
    assert_eq!(name("{user: [5]}", &unnamed), "nginx");
}

#[test]
fn every_expression_is_found_in_some_cgroup_path() {
    for (cgroup, expected) in [
        ("docker", "nginx"),
        ("'^/$', 'system\\.slice'", "nginx"),
        ("'^/$', user", "-"),
        ("'^docker'", "-"),
        ("", "nginx"),
    ] {
        assert_eq!(
            name(&format!("{{cgroup: [{cgroup}]}}"), &nginx()),
            expected,
            "{cgroup}"
        );
    }
    let nowhere = Facts {
        cgroups: Vec::new(),
        ..nginx()
    };
    assert_eq!(
        name("{cgroup: ['.*']}", &nowhere),
        "-",
        "no path, nothing to find it in"
    );
}

#[test]
fn groups_of_both_kinds_of_expressions_are_matches_and_those_of_cmdline_come_last() {
    let item = "{cgroup: ['/(?P<A>[a-z]+)\\.slice', '(?P<B>x)'], cmdline: ['-(?P<B>.)'], \
                name: '{{.Matches.A}} {{.Matches.B}} {{.Matches}}'}";
    assert_eq!(name(item, &nginx()), "system g map[:-g A:system B:g]");
}

#[test]
fn an_exclusion_ends_the_search() {
    let items = "{comm: [nginx], user: [root], exclude: true}, {comm: [nginx], user: [www-data], exclude: true}, \
                 {cmdline: ['.+']}";
    assert_eq!(name(items, &nginx()), "!");
    let other = Facts {
        username: "bob".to_owned(),
        ..nginx()
    };
    assert_eq!(name(items, &other), "nginx");
    assert_eq!(name("{comm: [nginx], exclude: false}", &nginx()), "nginx");
}

#[test]
fn variables() {
    for (template, expected) in [
        ("{{.Argv}}", "[/usr/sbin/nginx -g caf\u{fffd}]"),
        ("{{index .Argv 1}} {{len .Argv}}", "-g 3"),
        ("{{.PPID}}|{{.Cwd}}", "7|/srv/\u{fffd}"),
        (
            "{{.PPID | print}}|{{with .Cwd}}{{.}}{{end}}",
            "7|/srv/\u{fffd}",
        ),
    ] {
        assert_eq!(
            name(&format!("{{comm: [nginx], name: '{template}'}}"), &nginx()),
            expected
        );
    }
    let many = Facts {
        argv: std::iter::repeat_n("x", 1000).collect(),
        ..nginx()
    };
    assert_eq!(name("{comm: [nginx], name: '{{len .Argv}}'}", &many), "256");
    let unit = format!("docker-{ID}.scope system.slice {ID}");
    // Once as parts, once as a program: a template has these two forms.
    for template in [
        "{{.Unit}} {{.Slice}} {{.ContainerID}}",
        "{{with .Unit}}{{.}}{{end}} {{with .Slice}}{{.}}{{end}} {{with .ContainerID}}{{.}}{{end}}",
    ] {
        let item = format!("{{comm: [nginx], name: '{template}'}}");
        assert_eq!(name(&item, &nginx()), unit);
        let bare = Facts {
            cgroups: Vec::new(),
            ..nginx()
        };
        assert_eq!(name(&item, &bare), "  ");
    }
}

#[test]
fn names_of_pods() {
    let container = Container {
        namespace: "shop".to_owned(),
        pod: "cart-7d4b9c8f6d-x2k9p".to_owned(),
        name: "nginx".to_owned(),
    };
    let contained = Facts {
        container: Some(container.into()),
        ..nginx()
    };
    // Once as parts, once as a program: a template has these two forms.
    for template in [
        "{{.Namespace}} {{.Pod}} {{.Workload}} {{.Container}}",
        "{{with .Namespace}}{{.}}{{end}} {{.Pod | print}} {{with .Workload}}{{.}}{{end}} {{with .Container}}{{.}}{{end}}",
    ] {
        let item = format!("{{comm: [nginx], name: '{template}'}}");
        assert_eq!(
            name(&item, &contained),
            "shop cart-7d4b9c8f6d-x2k9p cart nginx"
        );
        assert_eq!(name(&item, &nginx()), "   ");
    }
}

#[test]
fn names_of_pods_are_asked_for_only_where_a_template_does() {
    for (template, expected) in [
        ("{{.Comm}}", false),
        ("{{.ContainerID}}", false),
        ("{{.Container}}", true),
        ("{{.ContainerID}} {{.Container}}", true),
        ("{{if .Namespace}}x{{end}}", true),
        ("{{with $x := .}}{{$x.Pod}}{{end}}", true),
        ("{{.Workload}}", true),
    ] {
        let item = format!("{{comm: [b], labels: {{x: '{template}'}}}}");
        let yaml = format!("process_names: [{{comm: [a]}}, {item}]");
        let config = Config::parse(Path::new("c.yml"), &yaml).unwrap();
        let classifier = Classifier::new(&config).unwrap();
        assert_eq!(classifier.uses_pods(), expected, "{template}");
    }
}

#[test]
fn the_working_directory_is_asked_for_only_where_a_template_does() {
    for (template, expected) in [
        ("{{.Comm}}", false),
        ("{{.Cwd}}", true),
        ("{{if .Cwd}}x{{end}}", true),
        ("{{with $x := .}}{{$x.Cwd}}{{end}}", true),
    ] {
        let yaml = format!("process_names: [{{comm: [a]}}, {{comm: [b], name: '{template}'}}]");
        let config = Config::parse(Path::new("c.yml"), &yaml).unwrap();
        let classifier = Classifier::new(&config).unwrap();
        assert_eq!(classifier.uses_cwd(), expected, "{template}");
    }
}

#[test]
fn a_bad_expression_names_its_line() {
    let yaml = "process_names:\n- cmdline: [a]\n  cgroup:\n  - b\n  - c(\n";
    let config = Config::parse(Path::new("c.yml"), yaml).unwrap();
    assert_eq!(
        Classifier::new(&config).unwrap_err().to_string(),
        "c.yml:5: item 1 of process_names: cgroup: bad cgroup regex \"c(\": error parsing regexp: missing closing ): `c(`"
    );
}
