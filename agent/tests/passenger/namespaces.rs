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

/// The root of the application as a label: it separates groups of one name, as the labels of workloads do.
const CONFIGURATION: &str = "
process_names:
  - name: worker
    cmdline: ['^Passenger RubyApp: (?P<Root>\\S+)']
    labels: {root: '{{.Matches.Root}}', name: hidden}
  - name: the rest
    cmdline: ['.+']
";

#[test]
fn workers_have_their_groups_in_each_pid_namespace() {
    let home = Home::new();
    let outside = Standalone::new(Language::Ruby);
    let inside = Standalone {
        is_private: true,
        is_contained: true,
        ..outside.clone()
    };
    // The pids of the two inside are the same, and their processes start at nearly the same time.
    let instances = [(&inside, "one"), (&inside, "other"), (&outside, "third")]
        .map(|(how, name)| how.start(&home, name));
    let agent = Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .config(CONFIGURATION)
        .start();
    let await_groups = || {
        for instance in &instances {
            until("the group of the worker", || {
                let name = instance.apps[0].short_name();
                let labels = [
                    ("groupname", "worker"),
                    ("name", name.as_str()),
                    ("passenger_instance", instance.name.as_str()),
                    ("root", instance.apps[0].root.to_str().unwrap()),
                ];
                let samples = scrape(&agent);
                let info = samples.infos("passenger_app_group_info", instance);
                matches!(&info[..], [one] if one.iter().eq(&labels))
            });
        }
    };
    instances.iter().for_each(|instance| instance.warm(0));
    await_groups();
    // The next workers have other pids.
    for instance in &instances {
        instance.restart_core();
        instance.warm(0);
    }
    await_groups();
}
