//! The command line and files: exit codes, and messages that name the mistake and the remedy.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod commands;
mod config;
mod grouping;
mod page;
#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::agent::{Agent, Ended, Launch, obstacle};
use support::fake_proc::FakeProc;
use support::log::message;
use support::scrape::{Scrape, groups};

/// How long an end takes at most: less than a service manager waits.
const QUICKLY: Duration = Duration::from_secs(8);

/// A tree with one process.
fn tree() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    tree.process(5).write();
    tree
}

fn run(words: &[&str]) -> Ended {
    Launch::bare().args(words).run()
}

#[test]
fn help_and_version_are_printed_and_are_no_errors() {
    for words in [["-help"], ["--help"], ["-h"]] {
        let ended = run(&words);
        assert_eq!((ended.code, ended.stderr.len()), (Some(0), 0), "{ended:#?}");
        for flag in ["--config.path <FILE>", "--procfs <DIR>", "[default: :9256]"] {
            assert!(ended.stdout.contains(flag), "{flag}: {ended:#?}");
        }
    }
    for words in [["-version"], ["--version"], ["-version=T"]] {
        let ended = run(&words);
        let expected = concat!("headcount ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected));
        assert_eq!(ended.stderr, Vec::<String>::new());
    }
}

#[test]
fn help_into_a_closed_pipe_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_headcount"));
    let command = command.arg("-help").stdout(writer);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"");
}

#[test]
fn mistakes_on_the_command_line_end_with_2() {
    let cases: [(&[&str], &str); 15] = [
        (&["-nonsense"], "unexpected argument '--nonsense' found"),
        (
            &["-config.pth=x"],
            "tip: a similar argument exists: '--config.path'",
        ),
        (&["-web.listen-adress", ":1"], "'--web.listen-address'"),
        (&["serve"], "found the word \"serve\", expected a flag"),
        (
            &["-version", "false"],
            "the word \"false\" after -version, which takes its value behind an equals sign: -version=false",
        ),
        (
            &["-procfs=/x", "y"],
            "found the word \"y\", expected a flag",
        ),
        (
            &["-procnames", "a,", "b"],
            "found the word \"b\" after -procnames=a,; a list is one argument, without spaces: -procnames=a,b",
        ),
        (
            &["-procfs", "/x", "y"],
            "found the word \"y\", expected a flag",
        ),
        (
            &["-accounting=bpf"],
            "[possible values: auto, iterator, switch, procfs]",
        ),
        (&["-max-groups=0"], "0 is not in 1..="),
        (
            &["-web.listen-address=9256"],
            "no port, expected host:port or :port",
        ),
        (
            &["-web.telemetry-path=/"],
            "is the page for people, expected a path like /metrics",
        ),
        (
            &["-web.telemetry-path=/-/reload"],
            "is the path of reload requests",
        ),
        (
            &["-web.telemetry-path=metrics"],
            "does not start with a slash",
        ),
        (
            &["-web.telemetry-path="],
            "is empty, expected a path like /metrics",
        ),
    ];
    for (words, expected) in cases {
        let ended = run(words);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{ended:#?}"
        );
        let text = ended.stderr.join("\n");
        assert!(
            text.starts_with("error: ") && text.contains(expected),
            "{words:?}: {text}"
        );
        assert!(
            text.ends_with("For more information, try '--help'."),
            "{text}"
        );
    }
}

#[test]
fn a_word_that_is_no_text_is_refused() {
    let word = OsString::from_vec(b"-procfs=/\xff".to_vec());
    let ended = Launch::bare().arg(word).run();
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    let first = r#"error: flag "-procfs=/\xFF" is not utf-8"#;
    assert_eq!(ended.stderr[0], first, "{ended:#?}");
}

#[test]
fn flags_have_one_dash_or_two_and_a_value_behind_a_blank_or_an_equals_sign() {
    let tree = tree();
    let procfs = tree.procfs();
    let agent = Launch::bare()
        .args(&["-web.listen-address", "127.0.0.1:0", "--accounting=procfs"])
        .args(&["-procfs=/nonexistent", "--procfs"])
        .arg(procfs)
        .args(&["-config.path", "", "-max-groups=7"])
        .start();
    assert_eq!(agent.scrape().groups(), groups(&[("fake", 1)]));
}

#[test]
fn address_that_cannot_be_bound_is_reported_with_a_remedy() {
    let tree = tree();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    let cases = [
        (
            busy.as_str(),
            "another program listens there; stop it or choose another port",
        ),
        (
            // Reserved for documentation: no host has it.
            "192.0.2.1:9256",
            "this machine has no such address; choose one that it has, or leave the host out",
        ),
    ];
    for (address, expected) in cases {
        let flag = format!("-web.listen-address={address}");
        let ended = Launch::on(&tree).arg(flag).run();
        assert_eq!(ended.stderr.len(), 1, "{ended:#?}");
        assert_eq!(
            ended.one_error(),
            format!("--web.listen-address {address}: {expected}")
        );
    }
}

#[test]
fn invalid_procfs_root_is_reported_with_a_remedy() {
    let tree = tree();
    let root = tree.rootfs();
    fs::create_dir(root.join("bare")).unwrap();
    fs::create_dir(root.join("odd")).unwrap();
    fs::write(root.join("odd/stat"), "cpu 0\n").unwrap();
    let cases = [
        (
            "nowhere",
            "procfs root DIR does not exist: mount procfs there or name another root with --procfs",
        ),
        (
            "etc/passwd",
            "procfs root DIR is not a directory: name the directory where procfs is mounted with --procfs",
        ),
        (
            "bare",
            "DIR/stat does not exist, so its directory is no procfs: mount procfs there or name another root \
             with --procfs",
        ),
        (
            "odd",
            "DIR/stat has no line `btime <seconds>`: is this the stat file of a procfs?",
        ),
    ];
    for (name, expected) in cases {
        let dir = root.join(name);
        let ended = run(&[&format!("-procfs={}", dir.display())]);
        assert_eq!(ended.stderr.len(), 1, "{ended:#?}");
        assert_eq!(
            ended.one_error().replace(dir.to_str().unwrap(), "DIR"),
            expected
        );
    }
}

#[test]
fn a_kernel_tier_that_was_asked_for_does_not_fall_back() {
    let tree = tree();
    for tier in ["iterator", "switch"] {
        let ended = Launch::on(&tree).arg(format!("-accounting={tier}")).run();
        let reason = obstacle(&format!(
            "{} is not a mounted procfs, and kernel programs see this machine's processes, not those of a copy; \
             name a mounted procfs with --procfs, or ask for --accounting=procfs",
            tree.procfs().display()
        ));
        let expected = format!("--accounting={tier}: {reason}");
        assert_eq!(ended.one_error(), expected);
    }
}

#[test]
fn signals_end_the_agent_with_0() {
    let tree = tree();
    for (signal, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        let agent = Launch::on(&tree).start();
        // A client that says nothing does not hold it up.
        let idle = TcpStream::connect(agent.address).unwrap();
        let began = Instant::now();
        let (status, log) = agent.stop(signal);
        assert_eq!(status.code(), Some(0), "{log:#?}");
        assert!(began.elapsed() < QUICKLY, "{:?}", began.elapsed());
        let last = message(log.last().unwrap());
        assert_eq!(last, format!("{name}: stopping"));
        drop(idle);
    }
}

#[test]
fn each_line_of_the_log_is_a_record() {
    let tree = tree();
    let agent = Launch::on(&tree).start();
    for line in agent.log() {
        assert!(
            line.starts_with("ts=20") && line.contains("Z level="),
            "{line}"
        );
        assert!(
            line.contains(" target=headcount") && !message(&line).is_empty(),
            "{line}"
        );
    }
    let ended = Launch::on(&tree)
        .args(&["-log.format=json", "-accounting=iterator"])
        .run();
    let levels = ["info", "info", "info", "error"];
    assert_eq!(ended.stderr.len(), levels.len(), "{ended:#?}");
    for (line, level) in ended.stderr.iter().zip(levels) {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["level"], level);
        assert!(
            ["ts", "target", "msg"]
                .iter()
                .all(|key| record[key].is_string()),
            "{line}"
        );
    }
}

#[test]
fn log_level_reduces_the_log() {
    let tree = tree();
    let ended = Launch::on(&tree)
        .args(&["-log.level=error", "-accounting=switch"])
        .run();
    assert_eq!(ended.stderr.len(), 1, "{ended:#?}");
}

#[test]
fn pages_are_served_at_the_paths_of_the_flags() {
    let tree = tree();
    let agent = Launch::on(&tree)
        .args(&["-web.telemetry-path=/a/b", "-accounting=procfs"])
        .start();
    let landing = agent.ask("/");
    assert!(
        landing.code == 200 && landing.head.contains("content-type: text/html"),
        "{landing:?}"
    );
    for link in ["href=\"./a/b\"", "href=\"./health\""] {
        assert!(landing.body.contains(link), "{landing:?}");
    }
    let metrics = agent.ask("/a/b");
    assert!(
        metrics
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{metrics:?}"
    );
    assert!(
        metrics
            .body
            .contains("namedprocess_namegroup_num_procs{groupname=\"fake\"} 1\n")
    );
    for nowhere in ["/metrics", "/a/b/", "/debug/pprof/"] {
        assert_eq!(agent.ask(nowhere).code, 404, "{nowhere}");
    }
    assert_eq!(agent.health(), ("ok".to_owned(), vec![]));
    let serving = agent.messages("info")[0].clone();
    let address = agent.address;
    assert_eq!(
        serving,
        format!("serving http://{address}/a/b (listening on {address})")
    );
}
