//! A node without instances: the targets thread sleeps.

use std::fs;

use crate::support::agent::{Agent, until};
use crate::{Node, up};

/// How often the thread that asks targets, and those that read files for it, have slept so far.
fn sleeps(agent: &Agent) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let of_thread = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let value = |key: &str| {
            let mut lines = status.lines();
            Some(
                lines
                    .find_map(|line| line.strip_prefix(key))?
                    .trim()
                    .to_owned(),
            )
        };
        let is_wanted = ["headcount-targe", "headcount-find"].contains(&value("Name:")?.as_str());
        is_wanted.then(|| value("voluntary_ctxt_switches:")?.parse::<u64>().ok())?
    };
    threads
        .filter_map(|thread| of_thread(thread.unwrap()))
        .sum()
}

/// Waits until three scrapes in a row leave the threads asleep. Events elsewhere on the machine, such as a mount, may wake them.
fn until_still(agent: &Agent) {
    until("scrapes that wake no thread", || {
        let before = sleeps(agent);
        for _ in 0..3 {
            let scrape = agent.scrape();
            assert_eq!(
                scrape.value("headcount_passenger_instances", &[]),
                Some(0.0)
            );
        }
        before > 0 && sleeps(agent) == before
    });
}

#[test]
fn scrape_wakes_no_thread_until_an_instance_appears_and_then_shows_it() {
    let node = Node::new();
    let agent = node.launch().start();
    for n in 0..5 {
        until_still(&agent);
        fs::write(node.registry().join(format!("file{n}")), "").unwrap();
        until_still(&agent);
        let instance = node.instance("appears1");
        assert_eq!(up(&agent.scrape(), "appears1"), Some(1.0));
        drop(instance);
        assert_eq!(up(&agent.scrape(), "appears1"), None);
    }
}

#[test]
fn registry_that_appears_is_looked_at_by_the_next_scrape() {
    let node = Node::new();
    fs::remove_dir(node.registry()).unwrap();
    let agent = node.launch().start();
    until_still(&agent);
    fs::create_dir(node.registry()).unwrap();
    let _instance = node.instance("appears2");
    assert_eq!(up(&agent.scrape(), "appears2"), Some(1.0));
}
