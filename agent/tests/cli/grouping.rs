//! Flags of process-exporter that are neither about the configuration file nor about serving.

use super::*;

/// How a run with these words on a tree ends, which is with one error.
fn refused(words: &[&str]) -> String {
    let tree = tree();
    let ended = Launch::on(&tree).args(words).run();
    assert_eq!(ended.stderr.len(), 1, "{ended:#?}");
    ended.one_error()
}

#[test]
fn a_file_and_names_exclude_each_other() {
    for names in ["-procnames=a", "-namemapping=a,b"] {
        assert_eq!(
            refused(&["-config.path", "/nonexistent", names]),
            "--config.path cannot be used with --procnames or --namemapping: leave out the one or the others"
        );
    }
}

#[test]
fn broken_namemapping_is_refused_with_its_position() {
    let turn = "expected pairs of task name and regular expression, separated by commas";
    let cases = [
        (
            "a,(b",
            "bad regular expression \"(b\" of \"a\": error parsing regexp: missing closing ): `(b`"
                .to_owned(),
        ),
        (
            "a,x{1,2}",
            format!("found 3 parts, {turn}; an expression cannot hold a comma"),
        ),
        ("a,b,,c", format!("part 3 is empty, {turn}")),
    ];
    for (text, expected) in cases {
        let error = refused(&["-namemapping", text]);
        assert_eq!(error, format!("--namemapping: {expected}"));
    }
}

#[test]
fn booleans_are_as_in_go() {
    let tree = tree();
    for word in ["1", "t", "T", "true", "TRUE", "True"] {
        let version = Launch::bare().arg(format!("-version={word}")).run();
        assert_eq!(version.code, Some(0), "{version:#?}");
        let flags = ["0", "f", "F", "false", "FALSE", "False"].map(|no| format!("-debug={no}"));
        let words = flags.each_ref().map(String::as_str);
        let recheck = format!("--recheck={word}");
        let once = Launch::on(&tree)
            .args(&words)
            .args(&["-once-to-stdout-delay=1ns", &recheck])
            .run();
        assert_eq!(once.code, Some(0), "{once:#?}");
    }
    for flag in [
        "-children",
        "--recheck",
        "-remove-empty-groups",
        "-debug",
        "-man",
    ] {
        let ended = run(&[flag, "false", "-procfs=/nonexistent"]);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        let hint = format!("{flag}=false");
        assert!(ended.stderr[0].ends_with(&hint), "{ended:#?}");
    }
}

#[test]
fn the_manual_is_printed() {
    let ended = run(&["-man"]);
    assert_eq!((ended.code, ended.stderr.len()), (Some(0), 0), "{ended:#?}");
    for part in [
        "-procnames",
        "-namemapping",
        "process_names:",
        "-children=false",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {ended:#?}");
    }
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn once_prints_the_second_look_and_does_not_listen() {
    let tree = tree();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let began = Instant::now();
    let ended = Launch::on(&tree)
        .args(&["-web.listen-address", &address])
        .args(&["--once-to-stdout-delay", "0.3s"])
        .run();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(began.elapsed() >= Duration::from_millis(300));
    let scrape = Scrape::parse(ended.stdout);
    assert_eq!(scrape.groups(), groups(&[("fake", 1)]));
    assert_eq!(scrape.value("headcount_scrapes_total", &[]), Some(2.0));
    assert!(
        !ended.stderr.iter().any(|line| line.contains("serving")),
        "{:#?}",
        ended.stderr
    );
}

#[test]
fn once_that_fails_names_its_reason() {
    let tree = tree();
    let ended = Launch::on(&tree)
        .args(&["-once-to-stdout-delay=1h", "-accounting=iterator"])
        .run();
    assert!(ended.one_error().starts_with("--accounting=iterator: "));
    assert_eq!(ended.stdout, "");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_headcount"))
        .args(["-once-to-stdout-delay=1ns", "-procfs"])
        .arg(tree.procfs())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let last = message(log.lines().last().unwrap());
    assert!(
        last.starts_with("standard output cannot be written: "),
        "{last}"
    );
}

#[test]
fn debug_logs_the_group_of_each_process_and_why() {
    let tree = tree();
    let named = |pid, parent, name: &str| {
        let process = tree.process(pid).comm(name).argv(&[name, "-x"]);
        process.parent(parent).write();
    };
    named(5, 1, "a");
    named(6, 5, "b");
    named(7, 1, "c\n\u{1b}");
    let told = |flags: &[&str]| {
        let agent = Launch::on(&tree)
            .args(&["-accounting=procfs", "-procnames=a"])
            .args(flags)
            .start();
        let messages = agent.messages("debug").into_iter();
        let decisions: Vec<_> = messages
            .filter(|line| line.starts_with("process "))
            .collect();
        decisions
    };
    assert_eq!(
        told(&["-debug"]),
        [
            r#"process 5, comm a, arguments "a -x": in group "a" by its own facts"#,
            r#"process 6, comm b, arguments "b -x": in group "a" as its ancestor"#,
            r#"process 7, comm c\n\x1b, arguments "c\n\u{1b} -x": in no group"#,
        ]
    );
    assert_eq!(told(&["-debug=false"]), [""; 0]);
}
