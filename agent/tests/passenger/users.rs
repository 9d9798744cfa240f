//! Instances and agents of several users.

use super::agreement::{Totals, agree, scrape};
use super::apache::{self, OWNER};
use super::app::Language;
use super::facts::Facts;
use super::home::{Home, set_mode};
use super::standalone::Standalone;
use super::support::agent::{Agent, Launch, NOBODY};

fn start_as(uid: u32, home: &Home) -> Agent {
    Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .with_uid(uid)
        .start()
}

#[test]
fn agent_without_permission_is_denied_which_is_no_empty_pool() {
    let home = Home::new();
    let name = home.unique("blog");
    let instance = apache::start(&home, &[(Language::Ruby, &name, "production")]);
    let (root, nobody) = (
        Launch::new()
            .args(&["--accounting=procfs", &home.flag()])
            .start(),
        start_as(NOBODY, &home),
    );
    // Without an application Passenger says to every client that the pool is empty: nothing is hidden from the agent.
    let samples = scrape(&nobody);
    assert_eq!(samples.up(&instance), Some(1.0));
    assert_eq!(samples.failures("denied"), 0.0);
    assert_eq!(samples.of_instance(&instance), [].into());
    agree(&root, &[&instance], Totals::OfTheLiving);

    instance.warm(0);
    let samples = scrape(&nobody);
    assert_eq!(samples.up(&instance), Some(0.0));
    assert!(samples.failures("denied") > 0.0);
    assert_eq!(samples.of_instance(&instance), [].into());
    let samples = agree(&root, &[&instance], Totals::OfTheLiving);
    assert_eq!(samples.failures("denied"), 0.0);
}

#[test]
fn agent_that_may_read_the_password_sees_everything() {
    let home = Home::new();
    let instance = Standalone::new(Language::Ruby).start(&home, "blog");
    instance.warm(0);
    let password = instance.directory.join("read_only_admin_password.txt");
    let agent = start_as(NOBODY, &home);
    assert_eq!(scrape(&agent).up(&instance), Some(0.0));
    set_mode(&password, 0o444);
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    samples.assert_silent_on(&instance);
    set_mode(&password, 0o400);
    assert_eq!(scrape(&agent).up(&instance), Some(0.0));
}

#[test]
fn owner_of_applications_sees_them_and_not_the_server() {
    let home = Home::new();
    let name = home.unique("blog");
    let instance = apache::start(&home, &[(Language::Ruby, &name, "production")]);
    instance.warm(0);
    let agent = start_as(OWNER, &home);
    let samples = scrape(&agent);
    assert_eq!(samples.up(&instance), Some(1.0));
    let found = samples.of_instance(&instance);
    let pool = Facts::of_pool(&instance.name, &instance.pool().unwrap());
    assert!(pool.exact.keys().any(|key| found.contains_key(key)));
    let server = |key: &String| key.starts_with("passenger_clients_") || key.contains("turbocache");
    assert!(!found.keys().any(server), "{found:#?}");
}

#[test]
fn instance_of_another_user_is_shown_to_root_and_to_its_own_user() {
    let home = Home::new();
    let standalone = Standalone {
        uid: OWNER,
        ..Standalone::new(Language::Ruby)
    };
    let instance = standalone.start(&home, "blog");
    let roots = Standalone::new(Language::Ruby).start(&home, "root");
    instance.warm(0);
    // An empty pool would not be denied.
    roots.warm(0);
    let root = Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .start();
    let samples = agree(&root, &[&instance, &roots], Totals::OfTheLiving);
    let user = |instance| samples.info(instance)["user"].to_owned();
    assert_ne!(user(&instance), user(&roots));
    assert!(["www-data", "33"].contains(&user(&instance).as_str()));

    let own = start_as(OWNER, &home);
    let samples = agree(&own, &[&instance], Totals::OfTheLiving);
    assert_eq!(samples.up(&roots), Some(0.0));
}
