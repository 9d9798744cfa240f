//! All series of an instance.

use crate::support::agent::until;
use crate::support::passenger::documents::{FakeApplication, FakeCounts, FakePool, FakeWorker};
use crate::support::scrape::Scrape;
use crate::{BOOTED, Node, up};

/// Sorted samples of an exposition that concern Passenger.
fn samples(scrape: &Scrape) -> Vec<&str> {
    let is_of_passenger =
        |line: &&str| line.starts_with("passenger_") || line.starts_with("headcount_passenger_");
    let mut samples: Vec<_> = scrape.body.lines().filter(is_of_passenger).collect();
    samples.sort_unstable();
    samples
}

const EXPECTED: &str = r#"
headcount_passenger_instances 1
headcount_passenger_processes_left_out_total 0
passenger_app_busy_sessions{name="blog (production)",passenger_instance="oneblog1"} 3
passenger_app_busy_sessions{name="café",passenger_instance="oneblog1"} 0
passenger_app_group_info{groupname="ruby",name="blog (production)",passenger_instance="oneblog1"} 1
passenger_app_memory_bytes{memtype="private_dirty",name="blog (production)",passenger_instance="oneblog1"} 204800
passenger_app_memory_bytes{memtype="proportional",name="blog (production)",passenger_instance="oneblog1"} 614400
passenger_app_memory_bytes{memtype="real",name="blog (production)",passenger_instance="oneblog1"} 204800
passenger_app_memory_bytes{memtype="resident",name="blog (production)",passenger_instance="oneblog1"} 819200
passenger_app_memory_bytes{memtype="swap",name="blog (production)",passenger_instance="oneblog1"} 0
passenger_app_oldest_busy_last_used_timestamp_seconds{name="blog (production)",passenger_instance="oneblog1"} 1795235674.823733
passenger_app_processes_spawned_total{name="blog (production)",passenger_instance="oneblog1"} 5
passenger_app_processes_spawned_total{name="café",passenger_instance="oneblog1"} 0
passenger_app_processes{name="blog (production)",passenger_instance="oneblog1",state="detached"} 1
passenger_app_processes{name="blog (production)",passenger_instance="oneblog1",state="disabled"} 0
passenger_app_processes{name="blog (production)",passenger_instance="oneblog1",state="disabling"} 0
passenger_app_processes{name="blog (production)",passenger_instance="oneblog1",state="enabled"} 3
passenger_app_processes{name="blog (production)",passenger_instance="oneblog1",state="shutting_down"} 1
passenger_app_processes{name="blog (production)",passenger_instance="oneblog1",state="spawning"} 1
passenger_app_processes{name="café",passenger_instance="oneblog1",state="detached"} 0
passenger_app_processes{name="café",passenger_instance="oneblog1",state="disabled"} 0
passenger_app_processes{name="café",passenger_instance="oneblog1",state="disabling"} 0
passenger_app_processes{name="café",passenger_instance="oneblog1",state="enabled"} 0
passenger_app_processes{name="café",passenger_instance="oneblog1",state="shutting_down"} 0
passenger_app_processes{name="café",passenger_instance="oneblog1",state="spawning"} 0
passenger_app_requests_total{name="blog (production)",passenger_instance="oneblog1"} 15
passenger_app_requests_total{name="café",passenger_instance="oneblog1"} 0
passenger_app_wait_list_size{name="blog (production)",passenger_instance="oneblog1"} 2
passenger_app_wait_list_size{name="café",passenger_instance="oneblog1"} 0
passenger_capacity_used{passenger_instance="oneblog1"} 6
passenger_clients_accepted_total{passenger_instance="oneblog1"} 21
passenger_clients_active{passenger_instance="oneblog1"} 4
passenger_go_process_count{name="blog (production)"} 5
passenger_go_process_count{name="café"} 0
passenger_go_process_processed{name="blog (production)",pid="11"} 10
passenger_go_process_processed{name="blog (production)",pid="12"} 2
passenger_go_process_processed{name="blog (production)",pid="13"} 0
passenger_go_process_processed{name="blog (production)",pid="14"} 0
passenger_go_process_processed{name="blog (production)",pid="15"} 3
passenger_go_process_real_memory_bytes{name="blog (production)",pid="11"} 102400
passenger_go_process_real_memory_bytes{name="blog (production)",pid="12"} 102400
passenger_go_wait_list_size{name="blog (production)"} 2
passenger_go_wait_list_size{name="café"} 0
passenger_instance_info{integration_mode="apache",passenger_instance="oneblog1",user="root",version="6.0.17"} 1
passenger_max_processes{passenger_instance="oneblog1"} 8
passenger_requests_begun_total{passenger_instance="oneblog1"} 19
passenger_turbocache_fetches_total{passenger_instance="oneblog1"} 9
passenger_turbocache_hits_total{passenger_instance="oneblog1"} 5
passenger_turbocache_stores_total{passenger_instance="oneblog1"} 3
passenger_wait_list_size{passenger_instance="oneblog1"} 1
"#;

fn pool() -> FakePool {
    let worker = FakeWorker::new;
    let mut blog = FakeApplication::new("/srv/apps/blog (production)").with([
        FakeWorker {
            sessions: 1,
            processed: 10,
            ..worker(11)
        },
        FakeWorker {
            sessions: 2,
            processed: 2,
            last_used_us: 1_795_235_700_000_000,
            ..worker(12)
        },
        // Not measured yet.
        FakeWorker {
            memory_kib: None,
            ..worker(13)
        },
        FakeWorker {
            state: ("ALIVE", "DETACHED"),
            memory_kib: Some([-1; 5]),
            ..worker(14)
        },
        FakeWorker {
            processed: 3,
            state: ("SHUTDOWN_TRIGGERED", "DISABLED"),
            memory_kib: None,
            ..worker(15)
        },
    ]);
    (blog.waiting, blog.spawning) = (2, 1);
    let mut pool = FakePool::new()
        .with(blog)
        .with(FakeApplication::new("/srv/apps/caf\u{e9}"));
    (pool.max, pool.waiting) = (8, 1);
    pool
}

#[test]
fn one_instance_has_exactly_these_series() {
    let node = Node::new();
    let instance = node.instance("oneblog1");
    let counts = FakeCounts {
        accepted: 21,
        begun: 19,
        active: 4,
        fetches: 9,
        hits: 5,
        stores: 3,
    };
    instance.show(&pool(), counts);
    // Started between the begin and the end of its worker's spawning, 674.6 s and 674.8 s after the boot.
    assert_eq!(BOOTED + 674, 1_795_235_674);
    node.tree
        .process(11)
        .comm("ruby")
        .argv(&["ruby"])
        .start_ticks(67_470)
        .write();

    let agent = node.launch().start();
    // The targets thread learns the groups of workers that it knows one pass after it has seen them.
    let mut scrape = agent.scrape();
    until("the group of a worker", || {
        scrape = agent.scrape();
        scrape.body.contains("\npassenger_app_group_info{")
    });
    assert_eq!(up(&scrape, "oneblog1"), Some(1.0));
    let labels = [("kind", "passenger"), ("target", "oneblog1")];
    let duration = scrape.value("headcount_target_duration_seconds", &labels);
    assert!(
        duration.is_some_and(|seconds| seconds > 0.0 && seconds < 10.0),
        "{duration:?}"
    );
    let expected: Vec<_> = EXPECTED.trim().lines().collect();
    assert_eq!(samples(&scrape).join("\n"), expected.join("\n"));

    // Two questions of a scrape share a connection.
    let seen = instance.core.seen();
    assert_eq!(seen.requests.len() as u64, 2 * seen.connections);
    let hosts = seen
        .requests
        .iter()
        .filter(|head| head.contains("\r\nuser-agent: headcount/"));
    assert_eq!(hosts.count(), seen.requests.len());
}

#[test]
fn an_instance_appears_and_disappears_between_two_scrapes() {
    let node = Node::new();
    let agent = node.launch().start();
    let instances = |scrape: &Scrape| scrape.value("headcount_passenger_instances", &[]);
    assert_eq!(instances(&agent.scrape()), Some(0.0));
    let mut first = node.instance("firstone");
    let second = node.instance("secondit");
    let scrape = agent.scrape();
    assert_eq!(instances(&scrape), Some(2.0));
    assert_eq!(
        (up(&scrape, "firstone"), up(&scrape, "secondit")),
        (Some(1.0), Some(1.0))
    );

    // A dead instance leaves its directory behind; a stopped one does not.
    first.kill();
    drop(second);
    let scrape = agent.scrape();
    assert_eq!(instances(&scrape), Some(0.0));
    assert_eq!(
        (up(&scrape, "firstone"), up(&scrape, "secondit")),
        (None, None)
    );
    assert!(!scrape.body.contains("firstone") && !scrape.body.contains("secondit"));
}

#[test]
fn an_application_of_two_instances_has_the_plain_series_once() {
    let node = Node::new();
    let pool = |processed| {
        let worker = FakeWorker {
            processed,
            ..FakeWorker::new(11)
        };
        FakePool::new().with(FakeApplication::new("/srv/blog").with([worker]))
    };
    let instances = [("firstone", 1), ("secondit", 2)].map(|(name, processed)| {
        let instance = node.instance(name);
        instance.show(&pool(processed), FakeCounts::default());
        instance
    });
    let agent = node.launch().start();
    let scrape = agent.scrape();
    let processed =
        |labels: &[(&str, &str)]| scrape.value("passenger_go_process_processed", labels);
    let plain = processed(&[("name", "blog"), ("pid", "11")]);
    let labelled = instances.each_ref().map(|one| {
        processed(&[
            ("name", "blog"),
            ("passenger_instance", one.name.as_str()),
            ("pid", "11"),
        ])
    });
    let expected = [[None, Some(2.0)], [Some(1.0), None]];
    assert!(expected.contains(&labelled), "{}", scrape.body);
    let sum = plain
        .into_iter()
        .chain(labelled.into_iter().flatten())
        .sum::<f64>();
    assert!(plain.is_some() && sum == 3.0, "{}", scrape.body);
    for one in &instances {
        let labels = [("name", "blog"), ("passenger_instance", one.name.as_str())];
        assert!(
            scrape
                .value("passenger_app_requests_total", &labels)
                .is_some()
        );
    }
}
