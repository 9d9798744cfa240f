//! Upstream's unit cases that are about whole scrapes: section 6.1 of docs/dev/compatibility.md, whose numbers the names begin with.

use super::*;

/// Every value of process-exporter's own fixture process.
#[test]
fn u5_fixture_process_has_the_values_of_its_files() {
    let tree = tree();
    let write = |ticks: u64| {
        let mut process = named(&tree, 26231, "vim")
            .argv(&["vim", "test.go", "+10"])
            .start_ticks(later())
            .user_ticks(ticks)
            .system_ticks(4)
            .major_faults(767)
            .minor_faults(1603)
            .rss_pages(1969)
            .virtual_bytes(17_174_528)
            .swap_kib(10)
            .io(1_814_455, 0)
            .switches(72, 6)
            .open_files(5)
            .uids((1000, 1000))
            .cgroup("8:cpu:/user.slice/x:y\n");
        for tid in 26232..=26237 {
            process = process.thread(FakeThread::new(tid, "vim"));
        }
        process.write();
    };
    let yaml = "process_names: [{comm: [vim], name: '{{.ExeBase}} {{.Username}} {{.Cgroups}}'}]";
    let agent = Launch::on(&tree).config(yaml).start();
    write(10);
    let scrape = agent.scrape();
    let group = "vim 1000 [/user.slice/x:y]";
    assert_eq!(scrape.groups(), groups(&[(group, 1)]));
    let of = |family| scrape.of(group, family).unwrap();
    let memory = |kind| scrape.labelled(group, "memory_bytes", ("memtype", kind));
    assert_eq!(scrape.cpu(group), (0.1, 0.04));
    assert_eq!(
        (of("major_page_faults_total"), of("minor_page_faults_total")),
        (767.0, 1603.0)
    );
    assert_eq!(
        (of("read_bytes_total"), of("write_bytes_total")),
        (1_814_455.0, 0.0)
    );
    assert_eq!(scrape.switches(group), (72.0, 6.0));
    assert_eq!(
        memory("resident"),
        Some((1969 * procfs::page_size()) as f64)
    );
    assert_eq!(memory("virtual"), Some(17_174_528.0));
    assert_eq!(memory("swapped"), Some(10_240.0));
    assert_eq!(of("open_filedesc"), 5.0);
    assert_eq!(of("worst_fd_ratio"), 5.0 / 1024.0);
    assert_eq!(of("num_threads"), 7.0);
    // process-exporter: 8, the main thread twice.
    assert_eq!(scrape.states(group), [0.0, 7.0, 0.0, 0.0, 0.0]);
    write(11);
    assert_eq!(agent.scrape().cpu(group), (0.11, 0.04));
}

#[test]
fn u5_start_of_the_fixture_process_is_its_boot_time_and_ticks() {
    let tree = tree();
    named(&tree, 26231, "vim").start_ticks(324_219).write();
    let yaml = "process_names: [{comm: [vim], name: '{{.StartTime}}'}]";
    let scrape = Launch::on(&tree).config(yaml).start().scrape();
    let group = "2017-10-19 22:52:51.19 +0000 UTC";
    assert_eq!(scrape.groups(), groups(&[(group, 1)]));
    // Whole seconds.
    assert_eq!(
        scrape.of(group, "oldest_start_time_seconds"),
        Some(1_508_453_571.0)
    );
}

#[test]
fn u6_a_reused_number_is_another_process() {
    let tree = tree();
    named(&tree, 5, "g1").write();
    named(&tree, 6, "unmatched").write();
    let agent = tracking(&tree, &["g1", "g2", "g4"]);
    assert_eq!(agent.scrape().groups(), groups(&[("g1", 1)]));
    tree.remove(6);
    named(&tree, 7, "g2").write();
    assert_eq!(agent.scrape().groups(), groups(&[("g1", 1), ("g2", 1)]));
    named(&tree, 5, "g4")
        .start_ticks(later())
        .user_ticks(100)
        .write();
    let scrape = agent.scrape();
    // An empty group stays.
    assert_eq!(scrape.groups(), groups(&[("g1", 0), ("g2", 1), ("g4", 1)]));
    assert_eq!(
        (scrape.cpu("g1"), scrape.cpu("g4")),
        ((0.0, 0.0), (1.0, 0.0))
    );
}

#[test]
fn u7_a_child_joins_the_group_of_its_parent() {
    let tree = tree();
    named(&tree, 5, "p").write();
    named(&tree, 6, "g2").parent(5).write();
    let agent = tracking(&tree, &["g2"]);
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 1)]));
    named(&tree, 7, "x").parent(6).start_ticks(later()).write();
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 2)]));
    // The parent ends; the child and its own children stay.
    tree.remove(6);
    named(&tree, 7, "x").parent(1).start_ticks(later()).write();
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 1)]));
    named(&tree, 8, "y").parent(7).start_ticks(later()).write();
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 2)]));
}

/// A process that has used `n` times 1, 2, 3, … of everything that counts.
fn used(tree: &FakeProc, pid: u32, n: u64) -> FakeProcess {
    named(tree, pid, "g")
        .user_ticks(100 * n)
        .system_ticks(200 * n)
        .io(3 * n, 4 * n)
        .major_faults(5 * n)
        .minor_faults(6 * n)
        .switches(7 * n, 8 * n)
        .open_files(3)
}

/// All counters of the group, in that order.
fn counters(scrape: &Scrape) -> [f64; 8] {
    let (user, system) = scrape.cpu("g");
    let (voluntary, nonvoluntary) = scrape.switches("g");
    let [read, write, major, minor] = [
        "read_bytes_total",
        "write_bytes_total",
        "major_page_faults_total",
        "minor_page_faults_total",
    ]
    .map(|family| scrape.of("g", family).unwrap());
    [
        user,
        system,
        read,
        write,
        major,
        minor,
        voluntary,
        nonvoluntary,
    ]
}

const ONCE: [f64; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];

#[test]
fn u8_counters_show_growth_and_gauges_current_values() {
    let tree = tree();
    used(&tree, 5, 1).write();
    let agent = tracking(&tree, &["g"]);
    assert_eq!(counters(&agent.scrape()), [0.0; 8]);
    let bigger = used(&tree, 5, 2).virtual_bytes(9 << 20).swap_kib(3);
    bigger
        .rss_pages(11)
        .open_files(7)
        .fd_limit("unlimited")
        .write();
    let scrape = agent.scrape();
    assert_eq!(counters(&scrape), ONCE);
    let memory = |kind| scrape.labelled("g", "memory_bytes", ("memtype", kind));
    assert_eq!(memory("resident"), Some((11 * procfs::page_size()) as f64));
    assert_eq!(memory("virtual"), Some(f64::from(9 << 20)));
    assert_eq!(memory("swapped"), Some(3072.0));
    assert_eq!(scrape.of("g", "open_filedesc"), Some(7.0));
    // Unlimited is 2^64 - 1.
    assert_eq!(
        scrape.of("g", "worst_fd_ratio"),
        Some(7.0 / 18_446_744_073_709_551_615.0)
    );
}

#[test]
fn u10_counters_stay_when_members_end() {
    let tree = tree();
    used(&tree, 5, 1).write();
    used(&tree, 6, 1).write();
    let agent = tracking(&tree, &["g"]);
    used(&tree, 5, 2).write();
    assert_eq!(counters(&agent.scrape()), ONCE);
    tree.remove(5);
    let scrape = agent.scrape();
    assert_eq!(
        (scrape.groups(), counters(&scrape)),
        (groups(&[("g", 1)]), ONCE)
    );
    tree.remove(6);
    let scrape = agent.scrape();
    assert_eq!(
        (scrape.groups(), counters(&scrape)),
        (groups(&[("g", 0)]), ONCE)
    );
    assert_nothing_is_held(&scrape, "g");
}

#[test]
fn u13_older_process_that_joins_late_counts_from_the_second_pass_that_sees_it() {
    let tree = tree();
    used(&tree, 5, 1).write();
    let agent = tracking(&tree, &["g"]);
    assert_eq!(agent.scrape().of("g", "open_filedesc"), Some(3.0));
    used(&tree, 6, 9).write();
    let scrape = agent.scrape();
    assert_eq!(
        (scrape.groups(), counters(&scrape)),
        (groups(&[("g", 2)]), [0.0; 8])
    );
    assert_eq!(scrape.of("g", "open_filedesc"), Some(6.0));
    assert_eq!(scrape.of("g", "num_threads"), Some(2.0));
    assert_eq!(
        scrape.labelled("g", "memory_bytes", ("memtype", "virtual")),
        Some(f64::from(8 << 20))
    );
    used(&tree, 6, 10).write();
    assert_eq!(counters(&agent.scrape()), ONCE);
}
