//! Tests of instances beside each other: their names, the bounds that they share, and hostile ones among them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{AskedOnce, asked, families, samples, scrape, scrape_within};
use super::*;
use crate::targets::passenger::examples::{
    application, identity, pool, server, three_applications, worker,
};

/// The samples of `passenger_go_wait_list_size`, after scrapes of these instances. The number of waiting requests is that of the
/// instance.
fn wait_lists(
    families: &mut PassengerFamilies,
    instances: &[(u32, u64, &[&str])],
) -> BTreeSet<String> {
    let instances = instances.iter().map(|(uid, number, names)| {
        let applications = names.iter().map(|name| {
            let mut one = application(name, vec![]);
            one.waiting = *number;
            one
        });
        asked(identity(*uid, *number), pool(applications.collect()))
    });
    let text = scrape(families, &instances.collect::<Vec<_>>());
    samples(&text, "passenger_go_wait_list_size")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn lines<const N: usize>(lines: [&str; N]) -> BTreeSet<String> {
    lines.map(str::to_owned).into()
}

#[test]
fn root_keeps_the_plain_series_at_any_age() {
    let found: [(u32, u64, &[&str]); 2] = [(1000, 1, &["/x/blog", "/x/api"]), (0, 2, &["/a/blog"])];
    let expected = lines([
        "{name=\"api\"} 1",
        "{name=\"blog\",passenger_instance=\"name0001@1000\"} 1",
        "{name=\"blog\"} 2",
    ]);
    assert_eq!(wait_lists(&mut families(), &found), expected);
    // Also if the other one was there before.
    let mut families = families();
    wait_lists(&mut families, &found[..1]);
    assert_eq!(wait_lists(&mut families, &found), expected);
}

#[test]
fn older_instance_keeps_the_plain_series() {
    let found: [(u32, u64, &[&str]); 3] = [
        (33, 3, &["/b/blog"]),
        (33, 2, &["/a/blog"]),
        (33, 4, &["/c/blog"]),
    ];
    let expected = lines([
        "{name=\"blog\"} 2",
        "{name=\"blog\",passenger_instance=\"name0003@33\"} 3",
        "{name=\"blog\",passenger_instance=\"name0004@33\"} 4",
    ]);
    assert_eq!(wait_lists(&mut families(), &found), expected);
}

#[test]
fn instance_that_claims_a_greater_age_takes_no_name() {
    let mut families = families();
    let victim: (u32, u64, &[&str]) = (33, 9, &["/a/blog"]);
    assert_eq!(
        wait_lists(&mut families, &[victim]),
        lines(["{name=\"blog\"} 9"])
    );
    let both = wait_lists(&mut families, &[(1000, 1, &["/x/blog"]), victim]);
    let expected = lines([
        "{name=\"blog\"} 9",
        "{name=\"blog\",passenger_instance=\"name0001@1000\"} 1",
    ]);
    assert_eq!(both, expected);
    // Once the first one is gone, the name is free.
    assert_eq!(
        wait_lists(&mut families, &[(1000, 1, &["/x/blog"])]),
        lines(["{name=\"blog\"} 1"])
    );
}

#[test]
fn full_names_of_one_instance_meet_those_of_another() {
    // In the first the names collide; one of its full names is the second one's short name.
    let found: [(u32, u64, &[&str]); 2] = [
        (0, 1, &["/blog", "/a//blog", "x/blog"]),
        (0, 2, &["/blog", "y/blog"]),
    ];
    let expected = lines([
        "{name=\"/blog\"} 1",
        "{name=\"/a//blog\"} 1",
        "{name=\"x/blog\"} 1",
        "{name=\"/blog\",passenger_instance=\"name0002\"} 2",
        "{name=\"blog\"} 2",
    ]);
    assert_eq!(wait_lists(&mut families(), &found), expected);
}

#[test]
fn instance_that_does_not_answer_keeps_its_names() {
    let mut families = families();
    let root = asked(identity(0, 1), three_applications());
    let other = asked(identity(1000, 2), three_applications());
    let family = "passenger_go_process_count";
    let labelled = "{name=\"api (staging)\",passenger_instance=\"name0002@1000\"} 1";
    let silent = AskedOnce {
        pool: None,
        ..root.clone()
    };
    for (first, count) in [(&root, 6), (&silent, 3), (&root, 6)] {
        let text = scrape(&mut families, &[other.clone(), first.clone()]);
        assert_eq!(samples(&text, family).len(), count);
        assert!(samples(&text, family).contains(&labelled), "{text}");
    }
    // Gone for good, its names are free.
    let text = scrape(&mut families, &[other]);
    assert!(
        samples(&text, family).contains(&"{name=\"api (staging)\"} 1"),
        "{text}"
    );
}

fn with_workers(uid: u32, number: u64, workers: u32) -> AskedOnce {
    let workers = (0..workers).map(|n| worker(u32::try_from(number).unwrap() * 10_000 + n, 1));
    asked(
        identity(uid, number),
        pool(vec![application(
            &format!("/a/{number}"),
            workers.collect(),
        )]),
    )
}

#[test]
fn processes_beyond_the_bound_are_counted_and_no_user_takes_the_room_of_others() {
    let shown = |text: &str, number: u32| {
        let labels = format!("{{name=\"{number}\"");
        let samples = samples(text, "passenger_go_process_processed").into_iter();
        samples.filter(|sample| sample.starts_with(&labels)).count()
    };
    let mut families = families();
    let all = [
        with_workers(1000, 1, 900),
        with_workers(33, 2, 50),
        with_workers(0, 3, 400),
    ];
    for scrapes in 1..=2 {
        let text = scrape(&mut families, &all);
        assert_eq!([1, 2, 3].map(|number| shown(&text, number)), [75, 50, 375]);
        let left_out = (900 + 50 + 400 - 500) * scrapes;
        let counter = samples(&text, "headcount_passenger_processes_left_out_total");
        assert_eq!(counter, [format!(" {left_out}")]);
        // The oldest of them stay.
        assert!(text.contains("passenger_go_process_processed{name=\"1\",pid=\"10074\"} 1\n"));
        // The bound is one of series of processes alone.
        assert!(text.contains("passenger_go_process_count{name=\"1\"} 900\n"));
    }
}

#[test]
fn processes_can_be_switched_off() {
    let mut families = PassengerFamilies::new(128, false);
    let text = scrape(
        &mut families,
        &[asked(identity(0, 1), three_applications())],
    );
    for family in [
        "passenger_go_process_processed",
        "passenger_go_process_real_memory_bytes",
    ] {
        assert_eq!(samples(&text, family), [""; 0]);
    }
    assert_eq!(samples(&text, "passenger_go_process_count").len(), 3);
    assert_eq!(
        samples(&text, "headcount_passenger_processes_left_out_total"),
        [" 0"]
    );
}

fn with_applications(uid: u32, number: u64, applications: usize) -> AskedOnce {
    let applications = (0..applications).map(|n| application(&format!("{n:0200}"), vec![]));
    asked(identity(uid, number), pool(applications.collect()))
}

#[test]
fn instance_that_does_not_fit_is_left_out_as_a_whole() {
    let mut families = families();
    let huge = with_applications(1000, 1, 20_000);
    let good = asked(identity(33, 2), three_applications());
    let (text, refused) = scrape_within(&mut families, &[huge, good.clone()], 100_000);
    assert_eq!(refused, ["name0001"]);
    assert!(!text.contains("name0001"));
    // The rest is as without the neighbour, but for the number of instances.
    let alone = scrape(&mut self::families(), &[good]);
    let others = |text: &str| {
        text.replace(
            "headcount_passenger_instances 2",
            "headcount_passenger_instances 1",
        )
    };
    assert_eq!(others(&text), alone);
}

#[test]
fn text_stays_within_the_bytes_and_no_user_takes_the_room_of_others() {
    for most_bytes in [0, 1_000, 20_000, 60_000, 200_000, 400_000] {
        let mut instances: Vec<AskedOnce> = (1..20)
            .map(|number| with_applications(1000, number, 5))
            .collect();
        instances.push(asked(identity(33, 20), three_applications()));
        instances.push(with_applications(0, 21, 8));
        let (text, refused) = scrape_within(&mut families(), &instances, most_bytes);
        assert!(
            text.len() <= most_bytes.max(1024),
            "{} of {most_bytes}",
            text.len()
        );
        if most_bytes >= 60_000 {
            assert!(
                !refused.contains(&"name0020".to_owned()),
                "{most_bytes}: {refused:?}"
            );
            assert!(
                !refused.contains(&"name0021".to_owned()),
                "{most_bytes}: {refused:?}"
            );
        }
        assert_eq!(
            refused.is_empty(),
            most_bytes == 400_000,
            "{most_bytes}: {refused:?}"
        );
    }
}

/// Applications of an instance, as numbers of their names, each with the pids of its workers.
type Shape = Vec<(usize, Vec<u32>)>;

const NAMES: [&str; 7] = [
    "/a/blog",
    "/b/blog",
    "blog",
    "/blog",
    "/a/api (p)",
    "/a/x (a/api (p)",
    "",
];

fn instance(uid: u32, number: u64, since_ns: u64, shape: &Shape) -> AskedOnce {
    let applications = shape.iter().map(|(name, pids)| {
        application(
            NAMES[*name],
            pids.iter()
                .map(|pid| worker(*pid, u64::from(*pid)))
                .collect(),
        )
    });
    let mut one = asked(identity(uid, number), pool(applications.collect()));
    one.identity.since_ns = since_ns;
    one.server = Some(server());
    one
}

fn shape() -> impl Strategy<Value = Shape> {
    prop::collection::vec(
        (0..NAMES.len(), prop::collection::vec(0_u32..4, 0..4)),
        0..5,
    )
}

proptest! {
    /// [`Writer::finish`] asserts that no two samples have the same labels.
    #[test]
    fn instances_of_a_hostile_user_change_no_line_of_others(
        root in shape(),
        other in shape(),
        hostile in prop::collection::vec((shape(), 0_u64..9), 0..4),
        is_answered in prop::collection::vec(any::<bool>(), 6),
    ) {
        let mut alone = families();
        let mut beside = families();
        for (n, is_answered) in is_answered.into_iter().enumerate() {
            let mut good = vec![instance(0, 10, 5, &root), instance(33, 11, 5, &other)];
            if !is_answered {
                good[n % 2].pool = None;
            }
            let mut all = good.clone();
            // They come when the others are known.
            let number = 12..;
            let hostile = hostile.iter().zip(number).filter(|_| n > 0);
            all.splice(0..0, hostile.map(|((shape, age), number)| instance(1000, number, *age, shape)));
            let expected = scrape(&mut alone, &good);
            let text = scrape(&mut beside, &all);
            let kept: HashSet<&str> = text.lines().collect();
            for line in expected.lines().filter(|line| !line.starts_with("headcount_")) {
                prop_assert!(kept.contains(line), "{}", line);
            }
            let more = text.lines().filter(|line| !expected.lines().any(|one| one == *line));
            for line in more.filter(|line| !line.starts_with(['#', 'h']) && !line.contains("@1000\"")) {
                // A plain series of the hostile user has a name that no other instance has.
                let labels = line.rsplit_once(' ').unwrap().0;
                prop_assert!(!expected.lines().any(|one| one.rsplit_once(' ').unwrap().0 == labels), "{}", line);
            }
        }
    }
}
