//! Scrapes with a deadline, beside instances that hang.

use std::time::{Duration, Instant};

use crate::support::agent::until;
use crate::support::passenger::core::Behaviour;
use crate::support::scrape::groups;
use crate::{GROUP, Node, failures, of_instance, scrape_within, up};

#[test]
fn ten_instances_of_which_three_hang_are_answered_in_time_with_the_other_seven() {
    let node = Node::new();
    for pid in 6..30 {
        node.tree.process(pid).comm("more").argv(&["more"]).write();
    }
    let instances: Vec<_> = (0..10)
        .map(|number| node.instance(&format!("{number:07}x")))
        .collect();
    let agent = node.launch().start();
    let hanging = [
        Behaviour::HangBeforeHead,
        Behaviour::HangInBody,
        Behaviour::HangBeforeHead,
    ];
    for (instance, behaviour) in instances.iter().zip(hanging) {
        instance.core.behave(behaviour);
    }
    until("the groups", || {
        agent.scrape().groups() == groups(&[(GROUP, 1), ("more", 24)])
    });
    // Hanging instances are asked anew by each scrape; none is busy when the one before has ended.
    for _ in 0..3 {
        let begin = Instant::now();
        let scrape = scrape_within(&agent, 0.8);
        let elapsed = begin.elapsed();
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
        for (number, instance) in instances.iter().enumerate() {
            let is_up = number >= hanging.len();
            let expected = if is_up { 1.0 } else { 0.0 };
            assert_eq!(
                up(&scrape, &instance.name),
                Some(expected),
                "{}",
                scrape.body
            );
            let max = of_instance(&scrape, "passenger_max_processes", &instance.name);
            assert_eq!(max, is_up.then_some(6.0));
        }
        assert_eq!(scrape.groups(), groups(&[(GROUP, 1), ("more", 24)]));
        let labels = [("collector", "namegroup")];
        assert_eq!(
            scrape.value("headcount_collector_success", &labels),
            Some(1.0)
        );
        assert_eq!(
            scrape.value("headcount_passenger_instances", &[]),
            Some(10.0)
        );
    }
    assert!(failures(&agent.scrape(), "timeout") >= 9.0);
}

#[test]
fn a_connection_is_closed_before_the_deadline_of_the_scrape() {
    let node = Node::new();
    let instance = node.instance("hanging1");
    let agent = node.launch().start();
    agent.scrape();
    until("the end of the first connection", || {
        let seen = instance.core.seen();
        seen.ends.len() as u64 == seen.connections
    });
    let before = instance.core.seen();
    instance.core.behave(Behaviour::HangBeforeHead);
    let begin = Instant::now();
    // The server answers in 0.4 s, so the target has 0.35 s; without a deadline it would have 1 s.
    let scrape = scrape_within(&agent, 0.5);
    assert_eq!(up(&scrape, "hanging1"), Some(0.0), "{}", scrape.body);
    until("the end of the connection", || {
        instance.core.seen().ends.len() > before.ends.len()
    });
    let seen = instance.core.seen();
    assert_eq!(seen.connections, before.connections + 1);
    let open = seen.ends[before.ends.len()].duration_since(begin);
    assert!(
        open > Duration::from_millis(200) && open < Duration::from_millis(900),
        "{open:?}"
    );
}

#[test]
fn scrapes_that_wait_together_share_the_answer_of_an_instance() {
    let node = Node::new();
    let instance = node.instance("hanging1");
    let agent = node.launch().start();
    agent.scrape();
    let before = instance.core.seen().connections;
    instance.core.behave(Behaviour::HangBeforeHead);
    let asked: Vec<_> = (0..20).map(|_| agent.begin("/metrics", "")).collect();
    for one in asked {
        assert_eq!(one.answer().code, 200);
    }
    let connections = instance.core.seen().connections - before;
    assert!((1..20).contains(&connections), "{connections}");
    until("the end of all connections", || {
        let seen = instance.core.seen();
        seen.ends.len() as u64 == seen.connections
    });
}
