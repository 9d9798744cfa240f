//! `-procnames` and `-namemapping` (sections 1 and 7.3). A group of plain `-procnames` is there from the start, as one that
//! a configuration file names is (9.23); process-exporter shows it from its first process on.

use super::*;

/// Groups that `flags` make of processes given as task name and arguments, each the child of the one before.
fn grouped(
    flags: &[&str],
    processes: &[(&str, &[&str])],
) -> std::collections::BTreeMap<String, u64> {
    let tree = tree();
    for (pid, (comm, argv)) in (10..).zip(processes) {
        tree.process(pid)
            .parent(pid - 1)
            .comm(comm)
            .argv(argv)
            .write();
    }
    let agent = Launch::on(&tree).args(flags).start();
    agent.scrape().groups()
}

const PYTHON: (&str, &[&str]) = ("python2", &["python2", "/x/foo.py"]);
const KAFKA: (&str, &[&str]) = ("java", &["java", "-jar", "kafka.jar"]);
const JAVA: (&str, &[&str]) = ("java", &["java", "-cp", "z"]);
const BASH: (&str, &[&str]) = ("bash", &["-bash"]);
const ALONE: &str = "-children=false";

#[test]
fn n01_names_are_groups() {
    let found = grouped(
        &["-procnames", "bash,prometheus", ALONE],
        &[BASH, ("prometheus", &["/x/prometheus"]), ("zsh", &["zsh"])],
    );
    assert_eq!(found, groups(&[("bash", 1), ("prometheus", 1)]));
}

#[test]
fn n02_expressions_name_groups_by_what_they_find() {
    let found = grouped(
        &[
            r"-namemapping=python2,([^/ ]+)\.py,java,-jar ([^/ ]+)\.jar",
            ALONE,
        ],
        &[PYTHON, KAFKA, JAVA, BASH],
    );
    assert_eq!(found, groups(&[("python2:foo", 1), ("java:kafka", 1)]));
}

#[test]
fn n04_an_expression_stands_before_the_name() {
    let found = grouped(
        &["-procnames=java", "-namemapping", "java,-jar (x)", ALONE],
        &[JAVA, ("java", &["java", "-jar", "x"])],
    );
    assert_eq!(found, groups(&[("java:x", 1)]));
}

#[test]
fn n05_an_expression_without_a_group_tracks_nothing() {
    let found = grouped(
        &["-namemapping=java,-jar"],
        &[("java", &["java", "-jar", "z"])],
    );
    assert_eq!(found, groups(&[]));
}

#[test]
fn n07_the_last_expression_of_a_name_counts() {
    let found = grouped(
        &["-namemapping", "java,(java),java,-jar ([a-z]+)"],
        &[KAFKA],
    );
    assert_eq!(found, groups(&[("java:kafka", 1)]));
}

#[test]
fn n08_blanks_belong_to_the_name() {
    let found = grouped(&["-procnames=bash, zsh", ALONE], &[BASH, ("zsh", &["zsh"])]);
    assert_eq!(found, groups(&[("bash", 1), (" zsh", 0)]));
}

#[test]
fn n09_children_join_the_group_of_a_name() {
    let others: [(&str, &[&str]); 2] = [("zsh", &["zsh"]), ("vim", &["vim"])];
    let tree = tree();
    for (pid, (comm, argv)) in (10..).zip([BASH, others[0], others[1]]) {
        tree.process(pid)
            .parent(pid - 1)
            .comm(comm)
            .argv(argv)
            .write();
    }
    named(&tree, 20, "other").parent(1).write();
    let agent = Launch::on(&tree).args(&["-procnames", "bash"]).start();
    assert_eq!(agent.scrape().groups(), groups(&[("bash", 3)]));
}

#[test]
fn procnames_without_a_name_track_no_process() {
    assert_eq!(grouped(&["-procnames=,"], &[BASH]), groups(&[]));
    // Given, but empty: as if they had not been given.
    let found = grouped(&["-procnames=", "-namemapping="], &[BASH]);
    assert_eq!(found, groups(&[("bash", 1)]));
}
