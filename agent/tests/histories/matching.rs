//! Rows of the matching table (section 6.2 of docs/dev/compatibility.md) that prove the wiring: file to selector to facts to label. The table as a
//! whole is tested beside the classifier.

use std::collections::BTreeMap;

use super::*;

/// Groups that `yaml` makes of processes given as task name and arguments.
fn grouped(yaml: &str, processes: &[(&str, &[&[u8]])]) -> BTreeMap<String, u64> {
    let tree = tree();
    for (pid, (comm, argv)) in (10..).zip(processes) {
        tree.process(pid).comm(comm).argv(argv).write();
    }
    let agent = Launch::on(&tree).config(yaml).start();
    assert_eq!(agent.messages("warn").len(), 1, "{:?}", agent.log());
    agent.scrape().groups()
}

#[test]
fn m01_the_name_is_the_program_by_default() {
    let argv: &[&[u8]] = &[b"/usr/lib/x/chromium-browser", b"--x"];
    let found = grouped(
        "process_names:\n  - comm:\n    - chromium-browse\n",
        &[("chromium-browse", argv)],
    );
    assert_eq!(found, groups(&[("chromium-browser", 1)]));
}

#[test]
fn m14_rewritten_titles_are_taken_as_they_stand() {
    let found = grouped(
        "process_names: [{comm: [nginx]}]",
        &[
            ("nginx", &[b"nginx: worker process"]),
            (
                "nginx",
                &[b"nginx: master process /usr/sbin/nginx -g daemon on;"],
            ),
        ],
    );
    assert_eq!(
        found,
        groups(&[("nginx: worker process", 1), ("nginx -g daemon on;", 1)])
    );
}

#[test]
fn m33_a_map_prints_as_in_go() {
    let found = grouped(
        "process_names:\n  - name: '{{.Matches}}'\n    cmdline:\n    - celeryd\n",
        &[("python", &[b"python", b"-m", b"celeryd", b"x"])],
    );
    assert_eq!(found, groups(&[("map[:celeryd]", 1)]));
}

#[test]
fn m42_the_effective_user_names_the_process() {
    let tree = tree();
    for (pid, uids) in (10..).zip([(0, 0), (0, 54321), (54321, 0), (0, 65534)]) {
        named(&tree, pid, "c").uids(uids).write();
    }
    let yaml = "process_names: [{comm: [c], name: '{{.Username}}:{{.Comm}}'}]";
    let agent = Launch::on(&tree).config(yaml).start();
    assert_eq!(
        agent.scrape().groups(),
        groups(&[("root:c", 2), ("54321:c", 1), ("nobody:c", 1)])
    );
}

#[test]
fn m51_task_names_may_hold_blanks_and_parentheses() {
    let found = grouped(
        "process_names: [{comm: ['rtorrent main', 'a) b (c'], name: '{{.Comm}}'}]",
        &[("rtorrent main", &[b"x"]), ("a) b (c", &[b"y"])],
    );
    assert_eq!(found, groups(&[("rtorrent main", 1), ("a) b (c", 1)]));
}

#[test]
fn m53_labels_are_escaped() {
    let tree = tree();
    tree.process(5).argv(&["a\"b\\c\nd"]).write();
    let yaml = "process_names: [{cmdline: ['.'], name: '{{.ExeFull}}'}]";
    let scrape = Launch::on(&tree).config(yaml).start().scrape();
    assert_eq!(scrape.groups(), groups(&[("a\"b\\c\nd", 1)]));
    let line = r#"namedprocess_namegroup_num_procs{groupname="a\"b\\c\nd"} 1"#;
    assert!(
        scrape.body.lines().any(|found| found == line),
        "{}",
        scrape.body
    );
}

#[test]
fn m59_only_the_first_document_counts() {
    let found = grouped(
        "process_names: [{comm: [a], name: first}]\n---\nprocess_names: [{comm: [a], name: second}]\n",
        &[("a", &[b"a"])],
    );
    assert_eq!(found, groups(&[("first", 1)]));
}
