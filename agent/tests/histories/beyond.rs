//! Keys of a configuration beyond process-exporter's, from the file to the series.

use super::*;

#[test]
fn users_and_cgroups_select() {
    let tree = tree();
    named(&tree, 10, "a").uids((0, 65534)).write();
    named(&tree, 11, "b").uids((0, 54321)).write();
    named(&tree, 12, "c")
        .cgroup("0::/system.slice/x.service\n")
        .write();
    named(&tree, 13, "d").write();
    let yaml = "process_names:\n\
                - {name: named, user: [nobody]}\n\
                - {name: numbered, user: [54321]}\n\
                - {name: unit, cgroup: ['^/system\\.slice/', 'service$']}\n";
    let agent = Launch::on(&tree).config(yaml).start();
    let expected = [("named", 1), ("numbered", 1), ("unit", 1)];
    assert_eq!(agent.scrape().groups(), groups(&expected));
}

#[test]
fn excluded_process_joins_no_group_and_no_process_joins_it() {
    let tree = tree();
    for (pid, parent, name) in [
        (10, 1, "shell"),
        (11, 10, "noise"),
        (12, 11, "child"),
        (13, 11, "shell"),
        (14, 10, "child"),
    ] {
        named(&tree, pid, name).parent(parent).user_ticks(0).write();
    }
    let yaml = "process_names:\n- {comm: [noise], exclude: true}\n- {comm: [shell, noise]}\n";
    let agent = Launch::on(&tree).config(yaml).start();
    assert_eq!(agent.scrape().groups(), groups(&[("shell", 3)]));
    named(&tree, 11, "noise").parent(10).user_ticks(700).write();
    named(&tree, 12, "child").parent(11).user_ticks(50).write();
    assert_eq!(agent.scrape().cpu("shell"), (0.0, 0.0));
}

#[test]
fn variables_name_groups() {
    let tree = tree();
    let container = "0123456789abcdef".repeat(4);
    named(&tree, 10, "a")
        .argv(&["a", "--app=x"])
        .parent(1)
        .cwd("/srv/x")
        .cgroup(&format!("0::/system.slice/docker-{container}.scope\n"))
        .write();
    named(&tree, 11, "b").write();
    let yaml = "process_names:\n\
                - {cmdline: ['.'], name: '{{.PPID}} {{.Cwd}} {{.Unit}} {{.Slice}} {{.ContainerID}} {{len .Argv}}'}\n";
    let agent = Launch::on(&tree).config(yaml).start();
    let contained = format!("1 /srv/x docker-{container}.scope system.slice {container} 2");
    let expected = [(contained.as_str(), 1), ("1     1", 1)];
    assert_eq!(agent.scrape().groups(), groups(&expected));
}

#[test]
fn labels_are_on_every_series_of_their_group_and_on_no_other() {
    let tree = tree();
    for (pid, name, unit) in [
        (10, "a", "x"),
        (11, "a", "y"),
        (12, "a", "x"),
        (13, "b", "x"),
    ] {
        let cgroup = format!("0::/system.slice/{unit}.service\n");
        named(&tree, pid, name).cgroup(&cgroup).write();
    }
    named(&tree, 14, "a").write();
    named(&tree, 15, "child").parent(11).write();
    let yaml = "process_names:\n\
                - {comm: [a], labels: {unit: '{{.Unit}}', tier: web, kind: '{{.Nope}}'}}\n\
                - {comm: [b]}\n";
    let agent = Launch::on(&tree).config(yaml).start();
    let scrape = agent.scrape();
    let count = |labels: &[(&str, &str)]| scrape.value("namedprocess_namegroup_num_procs", labels);
    let of = |unit| count(&[("groupname", "a"), ("tier", "web"), ("unit", unit)]);
    assert_eq!((of("x.service"), of("y.service")), (Some(2.0), Some(2.0)));
    assert_eq!(
        count(&[("groupname", "a"), ("tier", "web")]),
        Some(1.0),
        "no unit, no label"
    );
    assert_eq!(scrape.of("b", "num_procs"), Some(1.0));
    let groups = scrape
        .body
        .lines()
        .filter(|line| line.contains("groupname=\"a\""));
    assert!(
        groups.clone().count() > 50 && groups.clone().all(|line| line.contains("tier=\"web\""))
    );
    let bare = scrape
        .body
        .lines()
        .filter(|line| line.contains("groupname=\"b\""));
    assert!(bare.clone().count() > 15 && bare.clone().all(|line| !line.contains("tier")));
    let warned = agent.messages("warn");
    let is_told = warned
        .iter()
        .any(|line| line.starts_with("a template of item 1 of process_names fails"));
    assert!(is_told, "{warned:?}");
}

#[test]
fn an_item_s_bound_counts_its_groups_and_max_groups_counts_all() {
    let tree = tree();
    for pid in 10..16 {
        named(&tree, pid, "a").write();
    }
    named(&tree, 20, "b").write();
    named(&tree, 21, "c").write();
    let yaml = "process_names:\n\
                - {comm: [a], max_groups: 2, labels: {id: '{{.PID}}'}}\n\
                - {cmdline: ['.']}\n";
    let agent = Launch::on(&tree).config(yaml).arg("-max-groups=4").start();
    let scrape = agent.scrape();
    assert_eq!(scrape.value("headcount_groups", &[]), Some(4.0));
    assert_eq!(scrape.of("other", "num_procs"), Some(5.0));
    assert_eq!(scrape.of("b", "num_procs"), Some(1.0));
    assert_eq!(
        scrape.value("headcount_groups_overflowed_total", &[]),
        Some(5.0)
    );
}

#[test]
fn groups_whose_last_process_has_just_ended_make_room_at_the_same_scrape() {
    let tree = tree();
    let yaml =
        "process_names:\n  - {comm: [a0, a1, a2, b0, b1], max_groups: 3, name: '{{.Comm}}'}\n";
    let agent = Launch::on(&tree).config(yaml).start();
    for (pid, name) in [(10, "a0"), (11, "a1"), (12, "a2")] {
        named(&tree, pid, name).start_ticks(later()).write();
    }
    let expected = groups(&[("a0", 1), ("a1", 1), ("a2", 1)]);
    assert_eq!(agent.scrape().groups(), expected);
    (10..13).for_each(|pid| tree.remove(pid));
    for (pid, name) in [(20, "b0"), (21, "b1")] {
        named(&tree, pid, name).start_ticks(later() + 1).write();
    }
    let expected = groups(&[("a2", 0), ("b0", 1), ("b1", 1), ("other", 0)]);
    assert_eq!(agent.scrape().groups(), expected);
}

/// Two brokers of Kafka: only the arguments behind their classpath differ.
#[test]
fn long_names_that_differ_at_their_end_are_two_groups() {
    let tree = tree();
    let classpath = "/opt/kafka/libs/some-library-1.2.3.jar:".repeat(60);
    let broker = |pid, properties: &str| {
        let argv = ["java", "-cp", &classpath, "kafka.Kafka", properties];
        tree.process(pid).comm("java").argv(&argv).write();
    };
    broker(10, "/etc/kafka/one.properties");
    broker(11, "/etc/kafka/two.properties");
    broker(12, "/etc/kafka/two.properties");
    let yaml = "process_names:\n\
                - {comm: [java], cmdline: ['.*'], name: '{{.Matches}}', labels: {args: '{{.Argv}}'}}\n";
    let counts = || {
        let agent = Launch::on(&tree).config(yaml).start();
        let scrape = agent.scrape();
        assert_eq!(scrape.value("headcount_names_cut_total", &[]), Some(3.0));
        let mut counts: Vec<String> = scrape
            .body
            .lines()
            .filter(|line| line.starts_with("namedprocess_namegroup_num_procs{"))
            .map(str::to_owned)
            .collect();
        counts.sort();
        counts
    };
    let first = counts();
    assert_eq!(first.len(), 2, "{first:#?}");
    assert!(
        first
            .iter()
            .all(|line| line.contains("groupname=\"map[:java -cp /opt/kafka/libs/"))
    );
    assert!(
        first.iter().any(|line| line.ends_with(" 1"))
            && first.iter().any(|line| line.ends_with(" 2"))
    );
    assert_eq!(counts(), first, "a restart gives the same names");
}

#[test]
fn many_names_of_one_user_leave_room_for_others_and_health_reports_it() {
    let tree = tree();
    let yaml = "process_names:\n- {cmdline: ['.'], name: '{{.Comm}}'}\n";
    let agent = Launch::on(&tree)
        .config(yaml)
        .arg("-max-groups=100")
        .start();
    named(&tree, 10, "init").uids((0, 0)).user_ticks(0).write();
    let crowd = |ticks: u64| {
        for pid in 100..210 {
            named(&tree, pid, &format!("m{pid}"))
                .uids((1000, 1000))
                .user_ticks(ticks)
                .write();
        }
    };
    crowd(0);
    let scrape = agent.scrape();
    let made = scrape
        .groups()
        .keys()
        .filter(|name| name.starts_with('m'))
        .count();
    assert!(
        (80..95).contains(&made),
        "{made}: some places stay free for others"
    );
    assert_eq!(scrape.of("other", "num_procs"), Some(110.0 - made as f64));
    crowd(100);
    let all =
        |scrape: &Scrape| -> f64 { scrape.groups().keys().map(|name| scrape.cpu(name).0).sum() };
    assert_eq!(all(&agent.scrape()), 110.0);
    (100..210).for_each(|pid| tree.remove(pid));
    agent.scrape();
    for pid in 300..330 {
        let (tag, uid) = [("r", 0), ("a", 1001), ("n", 1000)][pid as usize % 3];
        named(&tree, pid, &format!("{tag}{pid}"))
            .uids((uid, uid))
            .user_ticks(0)
            .write();
    }
    let scrape = agent.scrape();
    let groups = scrape.groups();
    for tag in ["r", "a", "n"] {
        let own = groups
            .iter()
            .filter(|(name, count)| name.starts_with(tag) && **count == 1);
        assert_eq!(own.count(), 10, "{tag}: {groups:?}");
    }
    assert!(groups.len() <= 101, "{groups:?}");
    assert_eq!(all(&scrape), 110.0, "what folded groups have used is kept");
    let folded = scrape.value("headcount_names_folded_total", &[("kind", "group")]);
    assert!(folded > Some(0.0), "{folded:?}");
    let (status, reasons) = agent.health();
    let is_told = reasons
        .iter()
        .any(|reason| reason.contains("more group names"));
    assert!(status == "degraded" && is_told, "{reasons:?}");
}
