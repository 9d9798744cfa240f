//! Instances of other users, and agents without rights. These need root.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::agent::NOBODY;
use crate::support::passenger::core::Behaviour;
use crate::support::passenger::documents::{
    API_KEY, FakeApplication, FakeCounts, FakePool, FakeWorker,
};
use crate::support::passenger::{FakePassenger, PASSWORD};
use crate::{Node, of_instance, up};

/// A local user.
const MALLORY: u32 = 1000;
/// `ro_admin` and the password, as they are sent, in small letters.
const CREDENTIALS: &str =
    "\r\nauthorization: basic cm9fywrtaw46cjnhzg9ubhlym2fkb25sexizywrvbmx5\r\n";

fn pool(max: u64) -> FakePool {
    let mut pool = FakePool::new();
    pool.max = max;
    pool
}

#[test]
fn an_instance_of_another_user_with_the_same_name_does_not_rename_roots() {
    let node = Node::new();
    let root = node.instance("samename");
    root.show(&pool(10), FakeCounts::default());
    let other = |directory: &str| {
        let directory = node.registry().join(directory);
        let other = FakePassenger::at(&directory, "samename", MALLORY);
        other.show(&pool(99), FakeCounts::default());
        other
    };
    // Before and after root's, in the order of names.
    let others = [other("passenger.AAAAAAA"), other("passenger.zzzzzzz")];
    let agent = node.launch().start();
    let scrape = agent.scrape();
    let max = |instance: &str| of_instance(&scrape, "passenger_max_processes", instance);
    assert_eq!(max("samename"), Some(10.0), "{}", scrape.body);
    assert_eq!(max("samename@1000"), Some(99.0), "{}", scrape.body);
    assert_eq!(up(&scrape, "samename"), Some(1.0));
    assert_eq!(
        scrape.value("headcount_passenger_instances", &[]),
        Some(3.0)
    );
    let users = scrape
        .body
        .lines()
        .filter(|line| line.starts_with("passenger_instance_info{"));
    let users: Vec<_> = users
        .filter(|line| line.contains("user=\"root\""))
        .collect();
    assert!(
        users.len() == 1 && users[0].contains("passenger_instance=\"samename\""),
        "{users:?}"
    );
    drop(others);
}

#[test]
fn hanging_instances_of_another_user_hide_none_of_roots() {
    let node = Node::new();
    let root = node.instance("rootsone");
    let others: Vec<_> = (0..40)
        .map(|number| {
            let other = FakePassenger::of(&node.registry(), &format!("{number:07}x"), MALLORY);
            other.core.behave(Behaviour::HangBeforeHead);
            other
        })
        .collect();
    let agent = node.launch().start();
    for _ in 0..3 {
        let scrape = crate::scrape_within(&agent, 1.0);
        assert_eq!(up(&scrape, &root.name), Some(1.0), "{}", scrape.body);
    }
    drop(others);
}

#[test]
fn a_password_is_sent_only_where_it_is_needed() {
    let node = Node::new();
    let instance = FakePassenger::of(&node.registry(), "password", MALLORY);
    instance.open_to_all();
    let root = node.launch().start();
    assert_eq!(up(&root.scrape(), "password"), Some(1.0));
    let heads = instance.core.seen().requests;
    assert!(
        heads.iter().all(|head| !head.contains("authorization")),
        "{heads:?}"
    );

    let agent = node.launch().with_uid(NOBODY).start();
    assert_eq!(up(&agent.scrape(), "password"), Some(1.0));
    let all = instance.core.seen().requests;
    let with_password = all[heads.len()..]
        .iter()
        .filter(|head| head.contains(CREDENTIALS));
    assert_eq!(with_password.count(), all.len() - heads.len(), "{all:?}");
}

#[test]
fn a_file_that_is_no_password_is_not_sent() {
    let node = Node::new();
    let instance = FakePassenger::of(&node.registry(), "password", MALLORY);
    instance.open_to_all();
    let file = instance.path("read_only_admin_password.txt");
    let secret = node.tree.rootfs().join("shadow");
    fs::write(&secret, "s3crets3crets3crets3cret").unwrap();
    let spoil: [&dyn Fn(); 5] = [
        // A second name of another file, and of its own.
        &|| fs::hard_link(&secret, &file).unwrap(),
        &|| {
            instance.write("read_only_admin_password.txt", 0o644, PASSWORD);
            let link = instance.path("link");
            fs::hard_link(&file, link).unwrap();
        },
        &|| symlink(&secret, &file).unwrap(),
        &|| {
            drop(instance.write(
                "read_only_admin_password.txt",
                0o644,
                "root:x:0:0:root:/root:/b",
            ))
        },
        &|| drop(instance.write("read_only_admin_password.txt", 0o644, &"x".repeat(25))),
    ];
    let agent = node.launch().with_uid(NOBODY).start();
    assert_eq!(up(&agent.scrape(), "password"), Some(1.0));
    for (number, spoil) in spoil.iter().enumerate() {
        fs::remove_file(&file).unwrap();
        let before = instance.core.seen().requests.len();
        spoil();
        // It is asked without one: it may admit the agent's user to his own applications.
        agent.scrape();
        let heads = instance.core.seen().requests;
        assert!(heads.len() > before, "{number}");
        let sent = heads[before..]
            .iter()
            .filter(|head| head.contains("authorization"));
        assert_eq!(sent.count(), 0, "{number} {heads:?}");
    }
}

#[test]
fn a_socket_of_another_user_is_not_asked() {
    let node = Node::new();
    let victim = node.instance("victim01");
    let mallory = FakePassenger::of(&node.registry(), "mallory1", MALLORY);
    let socket = mallory.path("agents.s/core_api");
    fs::remove_file(&socket).unwrap();
    fs::hard_link(victim.path("agents.s/core_api"), &socket).unwrap();
    let agent = node.launch().start();
    let scrape = agent.scrape();
    assert_eq!(up(&scrape, "mallory1"), Some(0.0), "{}", scrape.body);
    // The link harms only its maker.
    assert_eq!(up(&scrape, "victim01"), Some(1.0), "{}", scrape.body);
    fs::remove_file(&socket).unwrap();
    symlink(victim.path("agents.s/core_api"), &socket).unwrap();
    let before = victim.core.seen().connections;
    let scrape = agent.scrape();
    assert_eq!(up(&scrape, "mallory1"), Some(0.0), "{}", scrape.body);
    assert_eq!(up(&scrape, "victim01"), Some(1.0), "{}", scrape.body);
    assert_eq!(victim.core.seen().connections, before + 1);
}

#[test]
fn secrets_are_in_no_answer_and_no_log_line() {
    let node = Node::new();
    let instance = FakePassenger::of(&node.registry(), "secretly", MALLORY);
    instance.open_to_all();
    let blog = FakeApplication::new("/srv/blog").with([FakeWorker::new(11)]);
    instance.show(&FakePool::new().with(blog), FakeCounts::default());
    let agent = node
        .launch()
        .arg("--log.level=debug")
        .with_uid(NOBODY)
        .start();
    let secrets = [API_KEY, PASSWORD, "cm9fYWRtaW46"];
    let hold_none = |text: &str| {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    };
    for behaviour in [
        Behaviour::Answer,
        Behaviour::NoDocument,
        Behaviour::HangInBody,
        Behaviour::Status(401),
        Behaviour::Truncated,
    ] {
        instance.core.behave(behaviour);
        for path in ["/metrics", "/", "/health", "/ready"] {
            hold_none(&agent.ask(path).body);
        }
    }
    let asked = instance.core.seen().requests;
    assert!(
        asked.iter().any(|head| head.contains(CREDENTIALS)),
        "{asked:?}"
    );
    hold_none(&agent.log().join("\n"));
}
