//! Flags that decide which processes count: `-children`, `-recheck` and its limit, `-remove-empty-groups` (sections 3.4 to
//! 3.6 and 7.4), and groups that are known from the configuration (9.23).

use super::*;

/// An agent with these flags that groups the processes of these names.
fn tracking_with(tree: &FakeProc, flags: &[&str], comms: &[&str]) -> Agent {
    launch(tree, comms).args(flags).start()
}

#[test]
fn children_that_match_nothing_are_left_out() {
    let tree = tree();
    for (pid, parent, name) in [
        (1, 0, "init"),
        (2, 1, "g2"),
        (3, 2, "x"),
        (4, 3, "g4"),
        (5, 4, "y"),
    ] {
        named(&tree, pid, name).parent(parent).write();
    }
    let agent = tracking_with(&tree, &["-children=false"], &["g2", "g4"]);
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 1), ("g4", 1)]));
    let newcomer = named(&tree, 6, "x").parent(2).start_ticks(later());
    newcomer.user_ticks(100).write();
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g2", 1), ("g4", 1)]));
    assert_eq!(scrape.cpu("g2"), (0.0, 0.0));
    let agent = tracking_with(&tree, &["-children"], &["g2", "g4"]);
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 3), ("g4", 2)]));
}

#[test]
fn h07_recheck_looks_again_at_unmatched_processes() {
    for flag in ["-recheck", "--recheck-with-time-limit=1000000h"] {
        let tree = tree();
        named(&tree, 5, "bash").user_ticks(700).write();
        named(&tree, 6, "x").parent(5).write();
        let agent = tracking_with(&tree, &[flag], &["g4"]);
        assert_eq!(agent.scrape().groups(), groups(&[]));
        named(&tree, 5, "g4").user_ticks(800).write();
        let scrape = agent.scrape();
        // Its child is looked at again, too.
        assert_eq!(scrape.groups(), groups(&[("g4", 2)]));
        // Older than the agent: its use before it was found is not counted.
        assert_eq!(scrape.cpu("g4"), (0.0, 0.0));
        named(&tree, 5, "g4").user_ticks(850).write();
        assert_eq!(agent.scrape().cpu("g4"), (0.5, 0.0));
    }
}

#[test]
fn process_born_after_the_start_and_matched_by_recheck_counts_from_its_birth() {
    let tree = tree();
    let agent = tracking_with(&tree, &["-recheck"], &["g4"]);
    let born = |name, ticks| {
        let process = named(&tree, 5, name).start_ticks(later());
        process.user_ticks(ticks).write();
    };
    born("bash", 100);
    assert_eq!(agent.scrape().groups(), groups(&[]));
    born("bash", 200);
    assert_eq!(agent.scrape().groups(), groups(&[]));
    born("g4", 300);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g4", 1)]));
    assert_eq!(scrape.cpu("g4"), (3.0, 0.0));
    born("g4", 350);
    assert_eq!(agent.scrape().cpu("g4"), (3.5, 0.0));
}

#[test]
fn a_time_limit_ends_the_second_looks() {
    let tree = tree();
    // It booted years ago.
    named(&tree, 5, "old").write();
    let agent = tracking_with(&tree, &["-recheck-with-time-limit", "1h"], &["g4"]);
    assert_eq!(agent.scrape().groups(), groups(&[]));
    named(&tree, 5, "g4").write();
    named(&tree, 6, "young").start_ticks(later()).write();
    assert_eq!(agent.scrape().groups(), groups(&[]));
    named(&tree, 6, "g4").start_ticks(later()).write();
    assert_eq!(agent.scrape().groups(), groups(&[("g4", 1)]));
}

#[test]
fn h08_recheck_moves_no_process_out_of_its_group() {
    let tree = tree();
    named(&tree, 5, "g2").write();
    named(&tree, 6, "x").parent(5).write();
    let agent = tracking_with(&tree, &["-recheck"], &["g2", "g4"]);
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 2)]));
    named(&tree, 5, "g4").write();
    named(&tree, 6, "g4").parent(5).write();
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 2)]));
}

#[test]
fn h09_without_children_everything_is_looked_at_again() {
    let tree = tree();
    named(&tree, 5, "bash").write();
    let agent = tracking_with(&tree, &["-children=false"], &["g4"]);
    assert_eq!(agent.scrape().groups(), groups(&[]));
    named(&tree, 5, "g4").write();
    assert_eq!(agent.scrape().groups(), groups(&[("g4", 1)]));
}

#[test]
fn u11_an_empty_group_disappears_and_begins_anew() {
    let tree = tree();
    let agent = tracking_with(&tree, &["-remove-empty-groups"], &["g", "h"]);
    let member = |pid, ticks| {
        let process = named(&tree, pid, "g").start_ticks(later());
        process.user_ticks(ticks).write();
    };
    named(&tree, 9, "h")
        .start_ticks(later())
        .user_ticks(50)
        .write();
    member(5, 100);
    member(6, 200);
    assert_eq!(agent.scrape().cpu("g"), (3.0, 0.0));
    tree.remove(5);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g", 1), ("h", 1)]));
    assert_eq!(scrape.cpu("g"), (3.0, 0.0));
    tree.remove(6);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("h", 1)]));
    assert!(!scrape.body.contains("groupname=\"g\""), "{}", scrape.body);
    member(7, 70);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g", 1), ("h", 1)]));
    assert_eq!((scrape.cpu("g"), scrape.cpu("h")), ((0.7, 0.0), (0.5, 0.0)));
}

#[test]
fn a_group_whose_only_member_could_not_be_read_is_not_empty() {
    let tree = tree();
    let agent = tracking_with(&tree, &["-remove-empty-groups"], &["g"]);
    let born = named(&tree, 5, "g").start_ticks(later()).user_ticks(800);
    born.write();
    assert_eq!(agent.scrape().cpu("g"), (8.0, 0.0));
    tree.make_unreadable(5, "limits");
    assert_eq!(agent.scrape().groups(), groups(&[("g", 0)]));
    born.write();
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g", 1)]));
    assert_eq!(scrape.cpu("g"), (8.0, 0.0));
}

#[test]
fn a_process_that_was_missed_finds_its_forgotten_group_again() {
    let tree = tree();
    let agent = tracking_with(&tree, &["-remove-empty-groups"], &["g"]);
    let born = named(&tree, 5, "g").start_ticks(later());
    born.clone().user_ticks(800).write();
    assert_eq!(agent.scrape().cpu("g"), (8.0, 0.0));
    tree.remove(5);
    assert_eq!(agent.scrape().groups(), groups(&[]));
    born.user_ticks(900).write();
    let scrape = agent.scrape();
    // Not twice, forgotten or not.
    assert_eq!(scrape.groups(), groups(&[("g", 1)]));
    assert_eq!(scrape.cpu("g"), (1.0, 0.0));
}

const FIXED: &str = "process_names:
  - {name: all of them, comm: [a]}
  - {name: 'by {{.Comm}}', comm: [b]}
  - {name: nobody, comm: [c]}
  - {name: all of them, comm: [d]}
  - {comm: [e]}
";

#[test]
fn a_group_that_the_configuration_names_is_there_from_the_start() {
    let tree = tree();
    let agent = Launch::on(&tree).config(FIXED).start();
    let scrape = agent.scrape();
    assert_eq!(
        scrape.groups(),
        groups(&[("all of them", 0), ("nobody", 0)])
    );
    assert_nothing_is_held(&scrape, "nobody");
    assert_eq!(scrape.cpu("nobody"), (0.0, 0.0));
    named(&tree, 5, "d").write();
    assert_eq!(
        agent.scrape().groups(),
        groups(&[("all of them", 1), ("nobody", 0)])
    );
    let agent = Launch::on(&tree)
        .config(FIXED)
        .arg("-remove-empty-groups")
        .start();
    assert_eq!(agent.scrape().groups(), groups(&[("all of them", 1)]));
}
