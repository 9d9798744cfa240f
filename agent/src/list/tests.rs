//! Tests of homes, the table and the explanation, with processes that the test makes up.

use std::path::Path;

use super::*;

const YAML: &str = "process_names:\n\
    - {comm: [noise], exclude: true}\n\
    - {comm: [shell], name: 'shells', labels: {user: '{{.Username}}', unit: '{{.Unit}}'}}\n\
    - {comm: [shell], user: [root]}\n\
    - {cgroup: [docker, 'x$'], cmdline: ['-j']}\n";

fn machine(processes: &[(u32, u32, &str)]) -> (Config, Classifier, Machine) {
    let config = Config::parse(Path::new("c.yml"), YAML).unwrap();
    let classifier = Classifier::new(&config).unwrap();
    let boot = BootTime { unix_seconds: 0 };
    let processes = processes.iter().map(|(tgid, parent, comm)| {
        let facts = Facts {
            tgid: *tgid,
            parent: *parent,
            comm: comm.as_bytes().to_vec(),
            argv: [comm, "-i\x1b[2J"].iter().collect(),
            uid: Some(0),
            username: "root".to_owned(),
            cgroups: vec!["/a".to_owned()],
            ..Facts::default()
        };
        let verdict = classifier.classify(&facts, boot);
        (*tgid, ListedProcess { facts, verdict })
    });
    let machine = Machine {
        processes: processes.collect(),
        unread: 0,
    };
    (config, classifier, machine)
}

const FAMILY: &[(u32, u32, &str)] = &[
    (1, 0, "init"),
    (20, 1, "shell"),
    (21, 20, "a"),
    (22, 21, "b"),
    (23, 20, "noise"),
    (24, 23, "c"),
    (30, 31, "ring"),
    (31, 30, "ring"),
];

#[test]
fn process_is_in_the_group_of_its_item_or_ancestor() {
    let (_, _, machine) = machine(FAMILY);
    assert!(matches!(machine.home(20), Home::Own(placement) if placement.name == "shells"));
    assert!(matches!(machine.home(22), Home::Of(20, placement) if placement.name == "shells"));
    assert_eq!(machine.home(23), Home::Excluded(23, 0));
    assert_eq!(machine.home(24), Home::Excluded(23, 0));
    for nowhere in [1, 30, 31, 99] {
        assert_eq!(machine.home(nowhere), Home::Nowhere, "{nowhere}");
    }
}

#[test]
fn table_has_a_line_for_each_process() {
    let (_, _, machine) = machine(FAMILY);
    let expected = "\
GROUP                ITEM        PID  USER  COMM   COMMAND
shells{user=\"root\"}  2           20   root  shell  shell -i\\u{1b}[2J
shells{user=\"root\"}  of 20       21   root  a      a -i\\u{1b}[2J
shells{user=\"root\"}  of 20       22   root  b      b -i\\u{1b}[2J
-                    -           1    root  init   init -i\\u{1b}[2J
-                    1 excludes  23   root  noise  noise -i\\u{1b}[2J
-                    of 23       24   root  c      c -i\\u{1b}[2J
-                    -           30   root  ring   ring -i\\u{1b}[2J
-                    -           31   root  ring   ring -i\\u{1b}[2J
";
    assert_eq!(table(&machine, 99), expected);
    let narrow = table(&machine, 63);
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 68),
        "{narrow}"
    );
    assert!(
        table(&machine, 0).contains("shell -i\\u{1b}["),
        "some of it is always shown"
    );
}

#[test]
fn explanation_names_the_deciding_item() {
    let (config, classifier, machine) = machine(FAMILY);
    let of = |tgid| explain(&machine, &config, &classifier, tgid);
    let expected = "\
process 20, child of 1
comm     shell
exe      shell
cmdline  shell -i\\u{1b}[2J
user     root (0)
cgroup   /a

item 1 (line 2): no: comm: not in the list
item 2 (line 3): yes
item 3 (line 4): yes, but an earlier item matches
item 4 (line 5): no: cgroup: \"docker\" is found in no cgroup path

in the group \"shells\"{user=\"root\"}, by item 2 (line 3)
";
    assert_eq!(of(20).unwrap(), expected);
    for (tgid, expected) in [
        (
            22,
            "in the group \"shells\"{user=\"root\"}, with its ancestor 20, by item 2 (line 3)",
        ),
        (23, "in no group: item 1 (line 2) excludes it"),
        (
            24,
            "in no group: no item matches, and item 1 (line 2) excludes its ancestor 23",
        ),
    ] {
        assert_eq!(of(tgid).unwrap().lines().last(), Some(expected));
    }
    assert_eq!(of(99), None);
}

#[test]
fn processes_of_items_with_scrape_that_are_not_asked_have_a_reason() {
    let yaml = "process_names:\n\
        - {comm: [noise], exclude: true}\n\
        - {comm: [shell], name: \"a\\x1b[2J\", scrape: true}\n\
        - {comm: [init], name: z}\n";
    let config = Config::parse(Path::new("c.yml"), yaml).unwrap();
    let classifier = Classifier::new(&config).unwrap();
    let (.., mut machine) = machine(FAMILY);
    for process in machine.processes.values_mut() {
        process.verdict = classifier.classify(&process.facts, BootTime { unix_seconds: 0 });
    }
    machine.unread = 3;
    // No process with these ids began when the machine booted.
    let host = crate::host::Host::detect(Path::new("/proc"), Path::new("/")).unwrap();
    let fan_in = config.fan_in.as_ref().unwrap();
    let (text, remarks) = targets(&config, fan_in, Some((&machine, &classifier, &host)), 200);
    let expected = "\
ROUTE       ASKED AT                 APPLICATION  FOUND BY  UNTIL    SOURCE
a\\u{1b}[2J  not asked: gone          -            -         it ends  process 20 (shell), item 2 (line 3)
a\\u{1b}[2J  not asked: not_its_item  -            -         it ends  process 21 (a), follows 20 of item 2 (line 3)
a\\u{1b}[2J  not asked: not_its_item  -            -         it ends  process 22 (b), follows 20 of item 2 (line 3)
";
    assert_eq!(text, expected);
    assert_eq!(
        remarks,
        ["processes that could not be read and are left out: 3"]
    );
}
