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

#[test]
fn bundled_configuration_groups_the_processes_of_passenger_by_application() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/headcount.yml");
    let checked = Launch::bare().arg("check").arg(path).run();
    assert_eq!(checked.code, Some(0), "{checked:#?}");

    let titles: [(&str, &[u8], &str); 12] = [
        ("PassengerAgent", b"Passenger watchdog", "PassengerAgent"),
        ("PassengerAgent", b"Passenger core", "PassengerAgent"),
        (
            "ruby",
            b"Passenger RubyApp: /srv/apps/blog",
            "passenger:/srv/apps/blog",
        ),
        (
            "ruby",
            b"Passenger RubyApp: /srv/apps/blog (production)",
            "passenger:/srv/apps/blog",
        ),
        (
            "ruby",
            b"Passenger AppPreloader: /srv/apps/blog (forking...)",
            "passenger:/srv/apps/blog",
        ),
        (
            "node",
            b"Passenger NodeApp: /srv/my apps/chat (x)",
            "passenger:/srv/my",
        ),
        (
            "node",
            b"Passenger NodeApp: /srv/(a)/chat",
            "passenger:/srv/(a)/chat",
        ),
        ("ruby", b"Passenger RubyApp: /", "passenger:/"),
        // Not titles of Passenger.
        ("ruby", b"Passenger RubyApp: blog", "ruby"),
        ("grep", b"grep Passenger RubyApp: /srv/apps/blog", "grep"),
        ("ruby", b"Passenger Ruby: /srv/apps/blog", "ruby"),
        ("vim", b"vim wsgi-loader.py", "vim"),
    ];
    let processes = titles.map(|(comm, title, _)| (comm, vec![title]));
    let mut processes: Vec<(&str, &[&[u8]])> = processes
        .iter()
        .map(|(comm, argv)| (*comm, argv.as_slice()))
        .collect();
    let python: &[&[u8]] = &[
        b"python3",
        b"/usr/share/passenger/helper-scripts/wsgi-loader.py",
    ];
    processes.push(("python3", python));
    let mut expected = BTreeMap::from([("passenger:wsgi".to_owned(), 1)]);
    for (.., group) in titles {
        *expected.entry(group.to_owned()).or_default() += 1;
    }
    // A group whose name is plain text is there from the start.
    expected.insert("postgres".to_owned(), 0);
    let yaml = std::fs::read_to_string(path).unwrap();
    assert_eq!(grouped(&yaml, &processes), expected);
}
