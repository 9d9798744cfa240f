//! Another configuration while the agent runs: by SIGHUP, and by a request where that is enabled.

use support::agent::until;

use super::*;

const FAMILY: &str = "headcount_config_last_reload_successful";
const FAILURES: &str = "headcount_config_reload_failures_total";
const TIME: &str = "headcount_config_last_reload_success_timestamp_seconds";

/// One item that puts processes of this task name into the group `name`.
fn item(name: &str, comms: &[&str]) -> String {
    let list = comms.join(", ");
    format!("process_names:\n  - name: \"{name}\"\n    comm: [{list}]\n")
}

fn start(tree: &FakeProc, yaml: &str, flags: &[&str]) -> Agent {
    let launch = Launch::on(tree).arg("-web.enable-lifecycle").config(yaml);
    launch.args(flags).start()
}

/// Has the agent take this configuration.
fn reload(agent: &Agent, yaml: &str) {
    agent.write_config(yaml);
    let answer = agent.request("POST", "/-/reload");
    assert_eq!((answer.code, &*answer.body), (200, "reloaded\n"));
}

fn of(scrape: &Scrape, family: &str) -> f64 {
    scrape.value(family, &[]).unwrap()
}

#[test]
fn use_before_a_reload_stays_in_its_former_group() {
    let tree = tree();
    let run = |ticks| {
        for (pid, name) in [(5, "a"), (6, "b")] {
            named(&tree, pid, name).user_ticks(ticks).write();
        }
    };
    run(100);
    let agent = start(&tree, &item("{{.Comm}}", &["a", "b"]), &[]);
    run(200);
    // This is used before the reload, and no scrape has come since.
    reload(&agent, &item("{{.Comm}}", &["a"]));
    run(250);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("a", 1), ("b", 0)]));
    assert_eq!((scrape.cpu("a"), scrape.cpu("b")), ((1.5, 0.0), (1.0, 0.0)));
    reload(&agent, &item("both", &["a", "b"]));
    run(350);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("a", 0), ("b", 0), ("both", 2)]));
    let cpu = ["a", "b", "both"].map(|group| scrape.cpu(group).0);
    assert_eq!(cpu, [1.5, 1.0, 2.0]);
    reload(&agent, &item("{{.Comm}}", &["a", "b"]));
    run(360);
    let scrape = agent.scrape();
    let cpu = ["a", "b", "both"].map(|group| scrape.cpu(group).0);
    assert_eq!(cpu, [1.6, 1.1, 2.0]);
}

/// The command line of a process is gone once it has ended: its task name decides, else its parent does, as after a
/// restart of the agent.
#[test]
fn reload_moves_a_zombie_out_of_a_group_that_is_gone() {
    let by_cmdline = |name: &str, pattern: &str| {
        format!("process_names:\n  - {{name: {name}, cmdline: [{pattern}]}}\n")
    };
    let tree = tree();
    named(&tree, 5, "holder").write();
    let zombie = || named(&tree, 6, "a").parent(5);
    zombie().write();
    let agent = start(&tree, &by_cmdline("first", "^a"), &[]);
    let members = || {
        let all = agent.scrape().groups().into_iter();
        all.filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    };
    let first = [("first".to_owned(), 1)];
    assert_eq!(members(), first);
    zombie().argv::<&str>(&[]).state('Z').write();
    assert_eq!(members(), first);
    // The same items decide the same, and so do further ones behind them.
    let same = format!("# moved by a line\n{}", by_cmdline("first", "^a"));
    reload(&agent, &same);
    assert_eq!(members(), first);
    reload(&agent, &format!("{same}  - {{name: more, comm: [a]}}\n"));
    assert_eq!(members(), first);
    for (yaml, expected) in [
        (by_cmdline("second", "^a"), None),
        (item("third", &["a"]), Some(("third".to_owned(), 1))),
        (
            by_cmdline("fourth", "^holder"),
            Some(("fourth".to_owned(), 2)),
        ),
    ] {
        reload(&agent, &yaml);
        assert_eq!(members(), Vec::from_iter(expected), "{yaml}");
    }
}

#[test]
fn sighup_reloads() {
    let tree = tree();
    named(&tree, 5, "a").write();
    let agent = launch(&tree, &["a"]).start();
    agent.write_config(&item("new", &["a"]));
    agent.signal(libc::SIGHUP);
    until("the reload", || {
        agent.scrape().groups() == groups(&[("a", 0), ("new", 1)])
    });
    let reloaded = |line: &String| line.ends_with("/config.yml: reloaded");
    assert!(
        agent.messages("info").iter().any(reloaded),
        "{:#?}",
        agent.log()
    );
}

#[test]
fn without_the_flag_a_request_reloads_nothing() {
    let tree = tree();
    named(&tree, 5, "a").write();
    let agent = launch(&tree, &["a"]).start();
    agent.write_config(&item("new", &["a"]));
    for method in ["POST", "PUT"] {
        let answer = agent.request(method, "/-/reload");
        assert_eq!(answer.code, 403);
        let remedy = "start with --web.enable-lifecycle, or send SIGHUP";
        assert!(answer.body.contains(remedy), "{answer:?}");
    }
    assert_eq!(agent.scrape().groups(), groups(&[("a", 1)]));
}

#[test]
fn a_reload_is_asked_for_by_post_or_put() {
    let tree = tree();
    named(&tree, 5, "a").write();
    let agent = start(&tree, &item("one", &["a"]), &[]);
    let answer = agent.ask("/-/reload");
    assert_eq!(answer.code, 405);
    assert!(
        answer.head.contains("\r\nallow: post, put\r\n"),
        "{answer:?}"
    );
    agent.write_config(&item("two", &["a"]));
    assert_eq!(agent.request("PUT", "/-/reload").code, 200);
    // The answer comes when it is done.
    assert_eq!(agent.scrape().groups(), groups(&[("one", 0), ("two", 1)]));
}

#[test]
fn unusable_file_leaves_the_groups_and_is_reported_until_a_usable_one_loads() {
    let tree = tree();
    named(&tree, 5, "a").write();
    let agent = start(&tree, &item("{{.Comm}}", &["a"]), &[]);
    let health = agent.health();
    let scrape = agent.scrape();
    let loaded_at = of(&scrape, TIME);
    assert_eq!((of(&scrape, FAMILY), of(&scrape, FAILURES)), (1.0, 0.0));

    agent.write_config("process_names:\n  - comm: a\n");
    let expected = "/config.yml:2: comm: found a string \"a\", expected a list of strings (in brackets, or each behind a dash)";
    let answer = agent.request("POST", "/-/reload");
    assert_eq!(answer.code, 500);
    assert!(answer.body.trim_end().ends_with(expected), "{answer:?}");
    agent.signal(libc::SIGHUP);
    until("the second failure", || {
        of(&agent.scrape(), FAILURES) == 2.0
    });
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("a", 1)]));
    assert_eq!((of(&scrape, FAMILY), of(&scrape, TIME)), (0.0, loaded_at));
    let (status, reasons) = agent.health();
    assert_eq!(status, "degraded");
    let told = reasons.iter().filter(|reason| reason.ends_with(expected));
    assert_eq!(told.count(), 1, "{reasons:?}");
    let errors = agent.messages("error");
    let is_told = |line: &String| {
        line.starts_with("not reloaded, the former configuration still applies: ")
            && line.ends_with(expected)
    };
    assert!(
        errors.len() == 2 && errors.iter().all(is_told),
        "{errors:?}"
    );

    reload(&agent, &item("{{.Comm}}", &["a"]));
    let scrape = agent.scrape();
    assert_eq!((of(&scrape, FAMILY), of(&scrape, FAILURES)), (1.0, 2.0));
    assert!(of(&scrape, TIME) > loaded_at);
    assert_eq!(agent.health(), health);
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let tree = tree();
    named(&tree, 5, "a").write();
    for flag in ["-procnames=a", "-config.path="] {
        let agent = Launch::on(&tree)
            .args(&["-web.enable-lifecycle", flag])
            .start();
        assert_eq!(agent.request("POST", "/-/reload").code, 200);
        let told = agent.messages("info");
        assert!(
            told.iter()
                .any(|line| line.starts_with("nothing to reload: ")),
            "{told:?}"
        );
        assert_eq!(agent.scrape().groups(), groups(&[("a", 1)]));
    }
}

#[test]
fn groups_that_are_only_announced_come_and_go_with_the_file() {
    let tree = tree();
    let used = |ticks| named(&tree, 5, "a").user_ticks(ticks).write();
    used(0);
    let names = |names: &[&str]| {
        let items = names
            .iter()
            .map(|name| format!("  - {{name: {name}, comm: [{name}]}}\n"));
        format!("process_names:\n{}", items.collect::<String>())
    };
    let agent = start(&tree, &names(&["a", "b"]), &[]);
    assert_eq!(agent.scrape().groups(), groups(&[("a", 1), ("b", 0)]));
    reload(&agent, &names(&["a", "c"]));
    assert_eq!(agent.scrape().groups(), groups(&[("a", 1), ("c", 0)]));
    used(100);
    // It has counted something, so it stays.
    reload(&agent, &names(&["c"]));
    assert_eq!(agent.scrape().groups(), groups(&[("a", 0), ("c", 0)]));
    assert_eq!(agent.scrape().cpu("a"), (1.0, 0.0));
}

#[test]
fn reload_removes_empty_groups_if_a_flag_says_so() {
    let tree = tree();
    named(&tree, 5, "a").user_ticks(1).write();
    let agent = start(&tree, &item("one", &["a"]), &["-remove-empty-groups"]);
    named(&tree, 5, "a").user_ticks(9).write();
    reload(&agent, &item("two", &["a"]));
    assert_eq!(agent.scrape().groups(), groups(&[("two", 1)]));
}

#[test]
fn use_counted_before_a_reload_is_not_counted_again_by_recheck() {
    let tree = tree();
    let agent = start(&tree, &item("one", &["a"]), &["-recheck"]);
    let run = |name, ticks| {
        let process = named(&tree, 5, name).start_ticks(later());
        process.user_ticks(ticks).write();
        agent.scrape()
    };
    assert_eq!(run("a", 100).cpu("one"), (1.0, 0.0));
    reload(&agent, &item("two", &["b"]));
    assert_eq!(run("a", 200).groups(), groups(&[("one", 0), ("two", 0)]));
    let scrape = run("b", 300);
    assert_eq!(scrape.groups(), groups(&[("one", 0), ("two", 1)]));
    // The second between belongs to no group.
    assert_eq!((scrape.cpu("one").0, scrape.cpu("two").0), (1.0, 0.0));
    assert_eq!(run("b", 350).cpu("two"), (0.5, 0.0));
}

#[test]
fn bound_of_groups_hits_the_same_groups_after_a_reload() {
    let tree = tree();
    for (pid, name) in [(5, "a"), (6, "b"), (7, "c")] {
        named(&tree, pid, name).start_ticks(u64::from(pid)).write();
    }
    let bounded = |most| {
        format!("process_names:\n  - {{name: '{{{{.Comm}}}}', cmdline: [.], max_groups: {most}}}\n")
    };
    let agent = start(&tree, &bounded(2), &[]);
    let expected = groups(&[("a", 1), ("b", 1), ("other", 1)]);
    assert_eq!(agent.scrape().groups(), expected);
    // Older than all others, and so the first that is looked at.
    named(&tree, 4, "d").start_ticks(1).write();
    let expected = groups(&[("a", 1), ("b", 1), ("other", 2)]);
    assert_eq!(agent.scrape().groups(), expected);
    reload(&agent, &bounded(2));
    assert_eq!(agent.scrape().groups(), expected);
    reload(&agent, &bounded(4));
    let expected = groups(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("other", 0)]);
    assert_eq!(agent.scrape().groups(), expected);
}

#[test]
fn facts_that_only_new_templates_use_are_read_after_a_reload() {
    let tree = tree();
    named(&tree, 5, "a").cwd("/srv/shop").open_files(3).write();
    let agent = start(&tree, &item("none", &["z"]), &[]);
    assert_eq!(agent.scrape().groups(), groups(&[("none", 0)]));
    reload(&agent, &item("{{.Cwd}}", &["a"]));
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("/srv/shop", 1)]));
    assert_eq!(scrape.of("/srv/shop", "open_filedesc"), Some(3.0));
}

#[test]
fn pipe_in_place_of_the_file_delays_no_request() {
    let tree = tree();
    named(&tree, 5, "a").write();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    std::fs::write(&path, item("one", &["a"])).unwrap();
    let flag = format!("-config.path={}", path.display());
    let launch = Launch::on(&tree).args(&["-web.enable-lifecycle", &flag]);
    let agent = launch.start();
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let answer = agent.request("POST", "/-/reload");
    assert_eq!(answer.code, 500);
    assert!(
        answer.body.contains("expected a regular file"),
        "{answer:?}"
    );
    std::fs::remove_file(&path).unwrap();
    let answer = agent.request("POST", "/-/reload");
    assert!(
        answer.body.contains("No such file or directory"),
        "{answer:?}"
    );
    assert_eq!(agent.scrape().groups(), groups(&[("one", 1)]));
}

#[test]
fn thread_names_move_with_their_process_and_earlier_use_does_not() {
    let tree = tree();
    let run = |ticks| {
        let thread = |tid| FakeThread {
            user_ticks: ticks,
            ..FakeThread::new(tid, "worker")
        };
        let process = named(&tree, 5, "a").user_ticks(2 * ticks);
        process.thread(thread(51)).thread(thread(52)).write();
    };
    let used = |scrape: &Scrape, group| {
        let labels = [("groupname", group), ("threadname", "worker")];
        let count = scrape.value("namedprocess_namegroup_thread_count", &labels);
        let labels = [&labels[..], &[("mode", "user")]].concat();
        let cpu = scrape.value("namedprocess_namegroup_thread_cpu_seconds_total", &labels);
        Some((count?, cpu?))
    };
    run(100);
    let agent = start(&tree, &item("one", &["a"]), &[]);
    run(150);
    assert_eq!(used(&agent.scrape(), "one"), Some((2.0, 1.0)));
    run(160);
    reload(&agent, &item("two", &["a"]));
    run(190);
    let scrape = agent.scrape();
    assert_eq!(used(&scrape, "two"), Some((2.0, 0.6)));
    assert_eq!(used(&scrape, "one"), None, "no thread has the name there");
    reload(&agent, &item("one", &["a"]));
    assert_eq!(used(&agent.scrape(), "one"), Some((2.0, 1.2)));
}
