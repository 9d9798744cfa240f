//! The flags of the collector, and a node without Passenger.

use std::fs;

use crate::support::passenger::documents::{FakeApplication, FakeCounts, FakePool, FakeWorker};
use crate::support::scrape::Scrape;
use crate::{Node, count, up};

/// Lines of samples about Passenger or its instances.
fn lines(scrape: &Scrape) -> Vec<&str> {
    let is_sample = |line: &&str| {
        line.contains("passenger")
            && !line.starts_with('#')
            && !line.starts_with("headcount_collector_")
    };
    scrape.body.lines().filter(is_sample).collect()
}

fn pool(workers: u32) -> FakePool {
    let workers = (1..=workers).map(|number| FakeWorker::new(1000 + number));
    FakePool::new().with(FakeApplication::new("/srv/blog").with(workers))
}

#[test]
fn a_node_without_passenger_has_one_sample_more() {
    let node = Node::new();
    let scrape = node.launch().start().scrape();
    assert_eq!(lines(&scrape), ["headcount_passenger_instances 0"]);
}

#[test]
fn the_collector_can_be_turned_off_and_named() {
    let node = Node::new();
    let instance = node.instance("ignored1");
    let agent = node.launch().arg("--no-collector.passenger").start();
    assert_eq!(lines(&agent.scrape()), [""; 0]);
    assert_eq!(instance.core.seen().connections, 0);
    let agent = node.launch().arg("--collector.passenger").start();
    assert_eq!(up(&agent.scrape(), "ignored1"), Some(1.0));
}

#[test]
fn further_registry_directories_are_searched() {
    let node = Node::new();
    let first = node.instance("firstone");
    let further = ["further", "another"].map(|name| {
        let path = node.tree.rootfs().join(name);
        fs::create_dir(&path).unwrap();
        crate::support::passenger::FakePassenger::new(&path, &format!("{name:x<8}"))
    });
    let agent = node
        .launch()
        .arg("--collector.passenger.registry-dir=/further")
        .arg("--collector.passenger.registry-dir=/another")
        .arg("--collector.passenger.registry-dir=/missing")
        .start();
    let scrape = agent.scrape();
    for one in further.iter().chain([&first]) {
        assert_eq!(up(&scrape, &one.name), Some(1.0), "{}", scrape.body);
    }
}

#[test]
fn series_of_processes_can_be_turned_off() {
    let node = Node::new();
    let instance = node.instance("quietly1");
    instance.show(&pool(3), FakeCounts::default());
    let agent = node
        .launch()
        .arg("--collector.passenger.processes=false")
        .start();
    let scrape = agent.scrape();
    assert_eq!(count(&scrape, "passenger_go_process_processed"), 0);
    assert_eq!(count(&scrape, "passenger_go_process_real_memory_bytes"), 0);
    let labels = [("name", "blog")];
    assert_eq!(
        scrape.value("passenger_go_process_count", &labels),
        Some(3.0)
    );
    assert_eq!(
        scrape.value("passenger_go_wait_list_size", &labels),
        Some(0.0)
    );
}

#[test]
fn series_of_processes_are_bounded_and_the_rest_is_counted() {
    let node = Node::new();
    let instance = node.instance("crowded1");
    instance.show(&pool(600), FakeCounts::default());
    let agent = node.launch().start();
    let left_out = |scrape: &Scrape| {
        let count = scrape.value("headcount_passenger_processes_left_out_total", &[]);
        count.unwrap_or(0.0)
    };
    let before = agent.scrape();
    let after = agent.scrape();
    for scrape in [&before, &after] {
        assert_eq!(count(scrape, "passenger_go_process_processed"), 500);
        assert_eq!(count(scrape, "passenger_go_process_real_memory_bytes"), 500);
        assert_eq!(
            scrape.value("passenger_go_process_count", &[("name", "blog")]),
            Some(600.0)
        );
    }
    assert_eq!(left_out(&after) - left_out(&before), 100.0);
    // The same processes each time, so their series go on.
    let series = |scrape: &Scrape| -> Vec<String> {
        let lines = scrape.body.lines();
        let lines = lines.filter(|line| line.starts_with("passenger_go_process_processed{"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(series(&before), series(&after));
}
