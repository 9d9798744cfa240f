//! Tests of the findings that a file has, and of files that have none.

use super::*;

fn lines(items: &str) -> Vec<String> {
    let path = Path::new("c.yml");
    let yaml = format!("process_names:\n{items}");
    report(path, &Config::parse(path, &yaml).unwrap()).findings
}

/// Findings about a file with these items, without the file's name.
fn found(items: &str) -> Vec<String> {
    let findings = lines(items);
    let bare = findings
        .iter()
        .map(|line| line.strip_prefix("c.yml:").unwrap().to_owned());
    bare.collect()
}

/// Asserts one finding, at this line, that contains the expected texts.
fn one(items: &str, line: usize, expected: &[&str]) {
    let found = found(items);
    assert_eq!(found.len(), 1, "{items}: {found:#?}");
    assert!(found[0].starts_with(&format!("{line}: ")), "{found:?}");
    for part in expected {
        assert!(found[0].contains(part), "{part}: {found:?}");
    }
}

#[test]
fn good_configurations_are_left_alone() {
    for items in [
        "- {comm: [bash, 'kworker/u8:1-events_unbound', 'rtorrent main'], exe: [/usr/bin/bash, 'nginx: worker process']}\n",
        "- {name: '{{.Matches}}', cmdline: [nginx]}\n- {name: '{{.Comm}}', cmdline: ['.+']}\n",
        "- {cmdline: ['-jar (?P<J>\\S+)', 'a.*', '[a-z]*x', '(ab)*', 'foo\\.py', 'foo.py', '^x*$'], name: '{{.Matches.J}}'}\n",
        "- {comm: [java], cmdline: [kafka]}\n- {comm: [java]}\n- {comm: [java, sh]}\n",
        "- {exe: [/usr/bin/x]}\n- {exe: [x]}\n",
        "- {cmdline: ['.+']}\n- {comm: [kthreadd]}\n- {cmdline: ['.*']}\n",
        "- {user: [root], exclude: true}\n- {cgroup: ['/docker/', 'x$'], name: '{{.ContainerID}}'}\n- {cgroup: [docker]}\n",
        "- {user: [root]}\n- {user: [root, bob]}\n- {user: [0]}\n",
    ] {
        assert_eq!(found(items), [""; 0], "{items}");
    }
    assert_eq!(found("- {comm: [a]}\n# only a comment\n"), [""; 0]);
}

#[test]
fn the_files_that_are_shipped_are_clean() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            assert_eq!(check(&path).findings, [""; 0]);
        }
    }
}

#[test]
fn check_reports_all_that_a_run_refuses_or_warns_of() {
    one(
        "- comm: [a]\n  cmd_line: [b]\n",
        3,
        &["did you mean \"cmdline\"?"],
    );
    one(
        "- comm: [a]\n  colour: red\n",
        3,
        &["unknown key \"colour\" is ignored; remove it"],
    );
    one(
        "- comm: [a]\n  exe: [b]\n  comm: [c]\n",
        4,
        &["key \"comm\" is already in line 2; the last one counts; remove the others"],
    );
    let merge = "- &base {comm: [a], name: b}\n- {<<: *base, name: c}\n";
    assert!(
        !found(merge)
            .iter()
            .any(|finding| finding.contains("already"))
    );
    let bad = found("- cmdline: ['a(']\n- comm: [b]\n  name: '{{lower .Comm}}'\n");
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(bad[0].contains("missing closing )") && bad[1].contains("\"lower\" not defined"));
    let empty = Config::parse(Path::new("c.yml"), "process_name: []\n").unwrap();
    let lines = report(Path::new("c.yml"), &empty).findings;
    assert!(
        lines.len() == 2 && lines[1].contains("no process is in a group"),
        "{lines:?}"
    );
    let none = check(Path::new("/nowhere/c.yml"));
    assert!(none.findings[0].contains("cannot read the configuration file"));
}

#[test]
fn entries_that_never_match() {
    one(
        "- comm: [a, chromium-browser]\n",
        2,
        &["16 bytes", "write \"chromium-browse\""],
    );
    let accents = |count| format!("caf{}", "é".repeat(count));
    let kept = format!("write {:?}", accents(6));
    one(
        &format!("- comm: [{}]\n", accents(8)),
        2,
        &["19 bytes", &kept],
    );
    one("- comm:\n  - a\n  - '.+'\n", 4, &["not as an expression"]);
    one("- comm: [a, '']\n", 2, &["empty entry"]);
    one("- comm: []\n", 2, &["an empty list matches no process"]);
    one("- user: []\n", 2, &["user: an empty list"]);
    one(
        "- user: ['www*']\n",
        2,
        &["user: \"www*\" is compared as it stands"],
    );
    one("- exe: [/usr/bin/]\n", 2, &["is a directory"]);
    one(
        "- exe: [java -jar x]\n",
        2,
        &["write \"java\" here", "\"-jar x\""],
    );
    one("- exe: ['/usr/bin/python*']\n", 2, &["never matches"]);
}

#[test]
fn expressions_that_mean_something_else() {
    one(
        "- cmdline: ['docker*']\n",
        2,
        &["\"docke\" is enough", "write \"docker.*\""],
    );
    one(
        "- cgroup: ['/docker/*']\n",
        2,
        &["cgroup: ", "write \"/docker/.*\""],
    );
    one("- cmdline:\n  - a\n  - ''\n", 4, &["found in everything"]);
    one("- cmdline: []\n", 2, &["matches every process"]);
    assert_eq!(found("- {cmdline: [], comm: [a]}\n"), [""; 0]);
}

#[test]
fn templates_that_cannot_work() {
    one(
        "- comm: [a]\n  name: 'x{{.Nope}}'\n",
        3,
        &["item 1", "name: there is no variable .Nope", ".Comm"],
    );
    one(
        "- {comm: [a], name: '{{.Matches.X}}'}\n",
        2,
        &["(?P<X>...)"],
    );
    one(
        "- comm: [a]\n  exclude: true\n  name: b\n",
        4,
        &["name: excluded processes are in no group"],
    );
}

#[test]
fn labels_and_bounds() {
    let useless = "- comm: [a]\n  exclude: true\n  max_groups: 3\n  labels:\n    x: y\n";
    one(useless, 6, &["remove labels, or exclude"]);
    let unknown = "- comm: [a]\n  labels:\n    x: y\n    z: '{{.Pods}}'\n";
    one(unknown, 5, &["labels: there is no variable .Pods"]);
}

#[test]
fn items_that_are_never_reached() {
    let unreachable = "it is never reached, because item 1 (line 2) matches all that it could";
    for (earlier, later) in [
        ("cmdline: ['.+']", "comm: [bash]"),
        ("cmdline: ['.+']", "exe: [bash], user: [root]"),
        ("cmdline: ['.+']", "cmdline: [x]"),
        ("cmdline: ['.*']", "user: [root]"),
        ("comm: [a, b]", "comm: [b]"),
        ("comm: [a]", "comm: [a], cmdline: [x]"),
        ("exe: [bash]", "exe: [/bin/bash]"),
        ("cmdline: [java]", "cmdline: [java -jar x]"),
        ("cmdline: [nginx]", "exe: [/usr/sbin/nginx]"),
        ("cmdline: [a, b]", "cmdline: ['x(y)?', b, a]"),
        ("cgroup: [docker]", "cgroup: [/docker/]"),
        ("user: [root, bob], exclude: true", "user: [bob]"),
    ] {
        let items = format!("- {{{earlier}}}\n- {{{later}}}\n");
        one(&items, 3, &["item 2 of process_names", unreachable]);
    }
    for (earlier, later) in [
        ("cmdline: ['.+']", "comm: [kthreadd]"),
        ("cmdline: ['.+']", "user: [root]"),
        ("cmdline: ['.+']", "cmdline: ['x*y*z*|a']"),
        ("comm: [a], user: [root]", "comm: [a]"),
        ("exe: [/bin/bash]", "exe: [bash]"),
        ("cmdline: ['^java']", "cmdline: [java -jar x]"),
        ("cmdline: [nginx]", "comm: [nginx]"),
        ("cgroup: ['.*']", "comm: [a]"),
    ] {
        let items = format!("- {{{earlier}}}\n- {{{later}}}\n");
        assert_eq!(found(&items), [""; 0], "{items}");
    }
}

#[test]
fn findings_are_bounded() {
    let items = "- {comm: ['']}\n".repeat(300);
    let found = lines(&items);
    assert_eq!(found.len(), SHOWN + 1);
    assert!(found[SHOWN].ends_with("more; correct these first"));
}

#[test]
fn fan_in_without_a_source_and_keys_of_promfetcher_get_a_remedy() {
    let yaml = "process_names:\n- comm: [a]\ngorouters: [{host: r, port: 8082, user: u, pass: p}, {host: s}]\nport: 8085\n\
                skip_ssl_validation: true\nfan_in:\n  limits: {}\nexternal_exporters: []\nnats: {user: u}\n";
    let path = Path::new("c.yml");
    let findings = report(path, &Config::parse(path, yaml).unwrap()).findings;
    let expected = [
        "c.yml:3: unknown key \"gorouters\" is ignored; write fan_in: {gorouters: [{url: \"http://r:8082/routes\", username: \"u\", \
         password_file: FILE}, {url: \"http://s:8080/routes\"}]}, and put the password",
        "c.yml:4: unknown key \"port\" is ignored; use the flag --web.listen-address=:PORT",
        "c.yml:5: unknown key \"skip_ssl_validation\" is ignored; remove it: certificates are always verified",
        "c.yml:7: fan_in names no source of instances, so nothing is asked; write routes_file, file_sd, gorouters, nats, or scrape in an item",
        "c.yml:8: unknown key \"external_exporters\" is ignored; move it below fan_in, as it is",
        "c.yml:9: unknown key \"nats\" is ignored; write fan_in: {nats: {servers: [\"nats://HOST:PORT\"], username: USER,",
    ];
    assert_eq!(findings.len(), expected.len(), "{findings:#?}");
    for (finding, expected) in findings.iter().zip(expected) {
        assert!(finding.starts_with(expected), "{finding}");
    }
}
