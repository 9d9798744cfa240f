//! Processes in no group: the agent reads only their `stat`, and that changes no shown value.

use super::*;

#[test]
fn files_of_a_process_in_no_group_are_not_read_but_stat_is() {
    let tree = tree();
    named(&tree, 5, "g").write();
    named(&tree, 6, "other").write();
    let agent = tracking(&tree, &["g"]);
    // The first pass reads all.
    let before = agent.scrape().errors();
    for file in ["status", "limits", "io", "task", "fd", "wchan", "cmdline"] {
        tree.make_unreadable(6, file);
    }
    assert_eq!(agent.scrape().errors(), before);
    tree.make_unreadable(6, "stat");
    let [lists, reads, parts] = agent.scrape().errors();
    assert_eq!(
        [lists, reads, parts],
        [before[0], before[1] + 1.0, before[2]]
    );
}

#[test]
fn process_with_the_number_of_one_in_no_group_is_read_whole() {
    let tree = tree();
    named(&tree, 6, "other").write();
    let agent = tracking(&tree, &["g"]);
    agent.scrape();
    let process = named(&tree, 6, "g").start_ticks(later());
    process.user_ticks(300).io(7, 0).switches(4, 5).write();
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g", 1)]));
    assert_eq!(scrape.cpu("g").0, 3.0);
    assert_eq!(scrape.of("g", "read_bytes_total"), Some(7.0));
    assert_eq!(scrape.switches("g"), (4.0, 5.0));
}

#[test]
fn process_that_a_reload_puts_into_a_group_counts_from_the_reload() {
    let tree = tree();
    let process = named(&tree, 6, "g").thread(FakeThread::new(7, "worker"));
    let process = process.start_ticks(later());
    process.clone().user_ticks(100).io(100, 0).write();
    let launch = launch(&tree, &["nothing"]).arg("-web.enable-lifecycle");
    let agent = launch.start();
    for n in 2..4 {
        process.clone().user_ticks(100 * n).io(100 * n, 0).write();
        agent.scrape();
    }
    process
        .clone()
        .user_ticks(500)
        .io(500, 0)
        .switches(50, 0)
        .write();
    agent.write_config("process_names: [{comm: [g], name: g}]");
    assert_eq!(agent.request("POST", "/-/reload").code, 200);
    let process = process.fd_limit("100").open_files(25);
    process.user_ticks(600).io(607, 0).switches(53, 0).write();
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g", 1)]));
    assert_eq!(scrape.cpu("g").0, 1.0);
    assert_eq!(scrape.of("g", "read_bytes_total"), Some(107.0));
    assert_eq!(scrape.switches("g"), (3.0, 0.0));
    assert_eq!(scrape.of("g", "num_threads"), Some(2.0));
    assert_eq!(scrape.of("g", "worst_fd_ratio"), Some(0.25));
}
