//! What a configuration may say beyond process-exporter's, from the file to the series.

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
fn what_is_excluded_joins_nobody_and_nobody_joins_it() {
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
