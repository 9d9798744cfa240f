//! `headcount check` and `headcount list`: their output on both streams, and their exit codes.

use super::*;

fn check(yaml: &str) -> Ended {
    let tree = tree();
    let file = tree.rootfs().join("c.yml");
    fs::write(&file, yaml).unwrap();
    let mut ended = Launch::bare().arg("check").arg(file.as_os_str()).run();
    ended.stdout = ended.stdout.replace(file.to_str().unwrap(), "FILE");
    assert_eq!(ended.stderr, Vec::<String>::new(), "{ended:#?}");
    ended
}

#[test]
fn check_of_a_clean_file_prints_one_line_and_exits_with_0() {
    let ended = check("process_names:\n- comm: [a]\n- cmdline: ['.+']\n");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "FILE: items: 2, findings: none\n")
    );
}

#[test]
fn check_prints_findings_with_file_line_and_remedy_and_exits_with_1() {
    let ended = check(
        "process_names:\n- cmdline: ['.+']\n  lables: {}\n- comm: [chromium-browser]\n- name: '{{.Nope'\n  comm: [a]\n",
    );
    let expected = [
        "FILE:3: unknown key \"lables\" is ignored",
        "FILE:4: item 2 of process_names: comm: \"chromium-browser\" has 16 bytes, of which the kernel keeps 15, so it \
         never matches; write \"chromium-browse\"",
        "FILE:4: item 2 of process_names: it is never reached, because item 1 (line 2) matches all that it could; put it \
         before that one, or remove it",
        "FILE:5: item 3 of process_names: it is never reached, because item 1 (line 2) matches all that it could; put it \
         before that one, or remove it",
        "FILE:5: item 3 of process_names: name: bad name template \"{{.Nope\": template: cmdname:1: unclosed action",
    ];
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let mut lines: Vec<&str> = ended.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), expected.len(), "{ended:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    let broken = check("process_names: [\n");
    assert_eq!(broken.code, Some(1));
    assert_eq!(
        broken.stdout,
        "FILE:1: not valid yaml: unclosed bracket '['\n"
    );
}

#[test]
fn result_that_cannot_be_written_is_an_error() {
    let tree = family();
    let procfs = format!("-procfs={}", tree.procfs().display());
    let file = tree.rootfs().join("c.yml");
    std::fs::write(&file, "process_names: [{comm: [a]}]").unwrap();
    let file = file.to_str().unwrap();
    for words in [
        &["list", &procfs][..],
        &["list", &procfs, "--explain=1"],
        &["check", file],
        &["--help"],
        &["-man"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headcount"));
        let output = command.args(words).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = "standard output cannot be written: No space left on device";
        assert!(stderr.starts_with(expected), "{words:?}: {stderr}");
    }
}

#[test]
fn a_command_is_the_first_word_only() {
    for (words, expected) in [
        (
            &["check"][..],
            "check takes one configuration file: headcount check FILE",
        ),
        (
            &["check", "a", "b"],
            "check takes one configuration file: headcount check FILE",
        ),
        (
            &["-max-groups=1", "list"],
            "found the word \"list\", expected a flag",
        ),
        (&["list", "all"], "found the word \"all\", expected a flag"),
        (
            &["list", "--explain=me"],
            "invalid value 'me' for '--explain <PID>'",
        ),
    ] {
        let ended = run(words);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.stderr[0].contains(expected), "{ended:#?}");
    }
    for words in [["check", "--help"], ["list", "-help"]] {
        let ended = run(&words);
        assert!(
            ended.code == Some(0) && ended.stdout.contains("Usage: headcount "),
            "{ended:#?}"
        );
    }
}

/// Of the processes of `tree`, by `yaml`.
fn list(tree: &FakeProc, yaml: &str, more: &[&str]) -> Ended {
    let mut launch = Launch::bare().arg("list").args(more);
    for (flag, path) in [
        ("-procfs=", tree.procfs()),
        ("-path.rootfs=", tree.rootfs()),
    ] {
        launch = launch.arg(format!("{flag}{}", path.display()));
    }
    launch.config(yaml).run()
}

const YAML: &str = "process_names:\n- {comm: [hidden], exclude: true}\n- {name: shells, comm: [shell], user: [nobody]}\n";

fn family() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    tree.process(1).comm("init").parent(0).write();
    tree.process(20)
        .comm("shell")
        .parent(1)
        .uids((0, 65534))
        .write();
    tree.process(21)
        .comm("b\x1b[2J\n")
        .argv(&["\x1b]0;x\x07", "é"])
        .parent(20)
        .write();
    tree.process(22).comm("hidden").parent(20).write();
    tree
}

#[test]
fn table_has_one_line_for_each_process_with_any_name() {
    let ended = list(&family(), YAML, &[]);
    let expected = "\
GROUP   ITEM        PID  USER    COMM          COMMAND
shells  2           20   nobody  shell         fake
shells  of 20       21   root    b\\u{1b}[2J\\n  \\u{1b}]0;x\\u{7} é
-       -           1    root    init          fake
-       1 excludes  22   root    hidden        fake
";
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), expected),
        "{ended:#?}"
    );
}

#[test]
fn a_process_is_explained_item_by_item() {
    let tree = family();
    let ended = list(&tree, YAML, &["-explain=20"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for line in [
        "user     nobody (65534)",
        "item 1 (line 2): no: comm: not in the list",
        "item 2 (line 3): yes",
        "in the group \"shells\", by item 2 (line 3)",
    ] {
        assert!(
            ended.stdout.lines().any(|found| found == line),
            "{line}: {ended:#?}"
        );
    }
    let nobody = list(&tree, YAML, &["--explain", "99"]);
    assert_eq!(nobody.code, Some(1), "{nobody:#?}");
    assert!(
        nobody.stderr[0].starts_with("--explain=99: "),
        "{nobody:#?}"
    );
}

#[test]
fn this_machine_is_listed() {
    let own = std::process::id().to_string();
    let ended = run(&["list"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let is_own = |line: &str| line.split_whitespace().any(|word| word == own);
    assert!(ended.stdout.lines().any(is_own), "{ended:#?}");
}

#[test]
fn list_with_a_bad_root_or_configuration_is_an_error() {
    let ended = run(&["list", "-procfs=/nowhere"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr[0].contains("procfs root /nowhere does not exist"),
        "{ended:#?}"
    );
    let ended = list(&tree(), "process_names: 7\n", &[]);
    assert!(
        ended.code == Some(1) && ended.stderr[0].contains(":1: process_names: found"),
        "{ended:#?}"
    );
}

/// A folder with a configuration that names two files of instances.
fn fan_in(routes: &str, group: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let yaml =
        "process_names: [{comm: [a]}]\nfan_in: {routes_file: routes.json, file_sd: ['*.sd.yml']}\n";
    for (name, text) in [
        ("c.yml", yaml),
        ("routes.json", routes),
        ("a.sd.yml", group),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn with_file(folder: &tempfile::TempDir, words: &[&str]) -> Ended {
    let file = folder.path().join("c.yml");
    let command = words
        .iter()
        .fold(Launch::bare(), |launch, word| launch.arg(*word));
    let mut ended = command.arg(file.as_os_str()).run();
    ended.stdout = ended.stdout.replace(folder.path().to_str().unwrap(), "DIR");
    ended
}

#[test]
fn targets_prints_each_instance_with_its_source() {
    let folder = fan_in(
        r#"{"app.example.com": [{"address": "10.0.0.1:80", "tags": {"process_type": "web", "app_id": "i", "app_name": "app",
            "organization_name": "org", "space_name": "dev"}}], "sys.example.com": [{"address": "10.0.0.2:80", "tls": true}]}"#,
        "- targets: ['10.0.0.3:80', 'db', 'localhost:80']\n  labels: {job: shop, __metrics_path__: /m}\n",
    );
    let ended = with_file(&folder, &["targets", "-config.path"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let rows = ended.stdout.lines().map(|line| {
        let cells = line.split("  ").map(str::trim);
        cells
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
            .join("|")
    });
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            "ROUTE|ASKED AT|APPLICATION|FOUND BY|UNTIL|SOURCE",
            "app.example.com|http://10.0.0.1:80/metrics|org/dev/app|names, id, route|always|DIR/routes.json",
            "shop|http://10.0.0.3:80/m|shop|route|always|DIR/a.sd.yml",
            "shop|http://localhost:80/m|shop|route|always|DIR/a.sd.yml",
            "sys.example.com|https://10.0.0.2:80/metrics|-|route|always|DIR/routes.json",
        ]
    );
    assert!(
        ended.stderr[0].contains("a.sd.yml: entries that cannot be asked: 1, the first: \"db\""),
        "{ended:#?}"
    );
}

#[test]
fn targets_prints_the_paths_of_rules_and_of_the_service_broker() {
    let endpoint = |port: u16, id: &str| {
        format!(
            r#"{{"address": "10.0.0.1:{port}", "tags": {{"process_type": "web", "app_id": "{id}"}}}}"#
        )
    };
    let [free, ruled, stored, other] =
        [(1, "i"), (2, "r"), (3, "s"), (4, "o")].map(|(port, id)| endpoint(port, id));
    let routes = format!(r#"{{"a": [{free}, {ruled}, {stored}, {other}], "b": [{free}]}}"#);
    let folder = fan_in(&routes, "[]");
    let yaml = "fan_in: {routes_file: routes.json, allowed_paths: {r: [/first, /second], b: [/metrics], o: [/mine]}, \
                broker: {username: u, password_file: password, file: broker.json}}\n";
    let rows = r#"[{"guid": "1", "app_guid": "S", "endpoint": "/stored"}, {"guid": "2", "app_guid": "i", "endpoint": "/not-allowed"}]"#;
    for (name, text) in [
        ("c.yml", yaml),
        ("broker.json", rows),
        ("password", "secret"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let ended = with_file(&folder, &["targets", "-config.path"]);
    let asked_at = ended.stdout.lines().skip(1).map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap(), words.next().unwrap())
    });
    assert_eq!(
        asked_at.collect::<Vec<_>>(),
        [
            ("a", "http://10.0.0.1:1/metrics"),
            ("a", "http://10.0.0.1:2/first"),
            ("a", "http://10.0.0.1:3/stored"),
            ("a", "http://10.0.0.1:4/mine"),
            ("b", "http://10.0.0.1:1/metrics"),
        ],
        "{ended:#?}"
    );
}

#[test]
fn targets_prints_each_external_exporter_with_its_templates() {
    let folder = fan_in("{}", "[]");
    let file = folder.path().join("c.yml");
    let yaml = "fan_in:\n  routes_file: routes.json\n  external_exporters:\n\
                \x20 - {name: quota, host: '10.0.0.9:9000', metrics_path: /app, params: {id: ['{{.AppID}}'], a: [b]}}\n";
    fs::write(&file, yaml).unwrap();
    let ended = with_file(&folder, &["targets", "-config.path"]);
    let row = ended.stdout.lines().nth(1).unwrap_or_default();
    let cells: Vec<_> = row
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    let url = "http://10.0.0.9:9000/app?a=b&id={{.AppID}}";
    assert_eq!(
        cells,
        ["*", url, "each", "all", "always", "external exporter quota"],
        "{ended:#?}"
    );
}

#[test]
fn targets_prints_where_processes_of_the_node_would_be_asked() {
    let word = format!("headcount-targets-{}", std::process::id());
    let flags = ["-accounting=procfs", "--no-collector.passenger"];
    let names = format!("-procnames={word}");
    let agent = Launch::new().args(&flags).arg(names).start();
    let folder = tempfile::tempdir().unwrap();
    let yaml =
        format!("process_names: [{{name: Shop, cmdline: ['{word}'], scrape: {{path: /m}}}}]\n");
    fs::write(folder.path().join("c.yml"), yaml).unwrap();
    let ended = with_file(&folder, &["targets", "-config.path"]);
    let row = ended.stdout.lines().find(|line| line.starts_with("Shop "));
    let row = row.unwrap_or_else(|| panic!("{ended:#?}"));
    let asked_at = format!("  http://{}/m  ", agent.address);
    assert!(row.contains(&asked_at), "{row}");
    assert!(
        row.contains("  route, node  ") && row.ends_with(" (headcount), item 1 (line 1)"),
        "{row}"
    );
}

#[test]
fn check_reads_the_files_of_fan_in() {
    let folder = fan_in("{}", "[]");
    let clean = with_file(&folder, &["check"]);
    assert_eq!(
        clean.stdout, "DIR/c.yml: items: 1, findings: none\n",
        "{clean:#?}"
    );
    fs::write(folder.path().join("routes.json"), "{\n\"r\": 7}").unwrap();
    let ended = with_file(&folder, &["check"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stdout
            .starts_with("DIR/routes.json:2: invalid type: integer `7`"),
        "{ended:#?}"
    );
    let yaml = "process_names: [{comm: [a]}]\nfan_in: {routes_file: routes.json, file_sd: ['*.sd.yml', '*.sd.json', no/b.json]}\n";
    for (name, text) in [("c.yml", yaml), ("routes.json", "{}")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let missing = |path: &str| format!("DIR/{path}: there is no such file; write one");
    let ended = with_file(&folder, &["check"]);
    assert_eq!(ended.code, Some(1));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with(&missing("*.sd.json"))
            && lines[1].starts_with(&missing("no/b.json")),
        "{ended:#?}"
    );
}

#[test]
fn targets_without_a_source_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.yml"), "fan_in: {}\n").unwrap();
    let ended = with_file(&folder, &["targets", "-config.path"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr[0].contains("fan_in names no source")
            && ended.stderr[0].contains("scrape: in an item"),
        "{ended:#?}"
    );
}
