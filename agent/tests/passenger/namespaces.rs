//! Instances in mount namespaces of their own, as in containers: found through their processes, without configuration.

use super::agreement::{Totals, agree, scrape};
use super::app::Language;
use super::home::Home;
use super::standalone::Standalone;
use super::support::agent::{Launch, until};

#[test]
fn instances_with_a_private_tmp_are_found_without_configuration() {
    let home = Home::new();
    let private = Standalone {
        is_private: true,
        ..Standalone::new(Language::Ruby)
    };
    let [one, other] = ["one", "other"].map(|name| {
        let instance = private.start(&home, name);
        instance.warm(0);
        instance
    });
    assert!(std::fs::read_dir(home.registry()).unwrap().next().is_none());
    let agent = Launch::new().arg("--accounting=procfs").start();
    // The state publishes the processes after a pass.
    until("both instances", || {
        let samples = scrape(&agent);
        samples.up(&one) == Some(1.0) && samples.up(&other) == Some(1.0)
    });
    agree(&agent, &[&one, &other], Totals::OfTheLiving);

    one.kill();
    let samples = agree(&agent, &[&other], Totals::OfTheLiving);
    assert_eq!(samples.up(&one), None);
    let next = private.start_app(&home, one.apps[0].clone());
    next.warm(0);
    until("the new instance", || scrape(&agent).up(&next) == Some(1.0));
    agree(&agent, &[&other, &next], Totals::AtLeast);
}
