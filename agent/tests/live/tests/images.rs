//! Programs one after another in one process, and changes that do not make a new image.

use super::{alive_within, sum_within, up_to_exec, within};
use crate::agent::Agent;
use crate::group::Lives;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{EXACT, Tier};

table![
    each_image_gets_its_share for EXACT,
    each_image_gets_its_share_between_scrapes for EXACT,
    change_of_user_keeps_the_group for EXACT,
    change_of_task_name_keeps_the_group for EXACT,
];

/// `sh -c 'spin; exec program'`.
fn each_image_gets_its_share(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (first, next) = (Program::new("first"), Program::new("next"));
    let report = first.run("relay", &["200000000", next.path_text(), "300000000"]);
    let first_ns = report.of("used_ns") as f64;
    let total_ns = report.reaped.cpu_ns;
    agent.await_settled(|samples| {
        let (former, later) = (samples.group(&first.name), samples.group(&next.name));
        let births = Lives {
            execs: 1,
            ..Lives::default()
        };
        births.check(&former)?;
        Lives::ONE_PROGRAM.check(&later)?;
        let sum_ns = former.cpu_ns() + later.cpu_ns();
        up_to_exec(&agent, tier, &former, first_ns)?;
        sum_within(&agent, tier, samples, sum_ns, 1, total_ns)
    });
}

/// The same with scrapes while each image is there.
fn each_image_gets_its_share_between_scrapes(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (first, next) = (Program::new("first"), Program::new("next"));
    let mut running = first.work();
    running.ask("spin 100000000");
    let saw_first = |samples: &crate::exposition::Samples| {
        let found = samples.group(&first.name);
        let is_there = found.processes() == 1.0 && found.cpu_ns() >= tier.least_alive(100e6);
        is_there
            .then_some(())
            .ok_or_else(|| format!("{} ns", found.cpu_ns()))
    };
    agent.await_that(saw_first);
    let first_ns = running.ask("spin 100000000") as f64;
    running.ask(&format!("exec {}", next.path_text()));
    let used_ns = running.ask("spin 100000000");
    agent.await_that(|samples| {
        let (former, later) = (samples.group(&first.name), samples.group(&next.name));
        if former.processes() != 0.0 || later.processes() != 1.0 {
            return Err("the process is not in its second group".to_owned());
        }
        up_to_exec(&agent, tier, &former, first_ns)?;
        let sum_ns = former.cpu_ns() + later.cpu_ns();
        alive_within(tier, sum_ns, used_ns)
    });
    let report = running.finish();
    agent.await_settled(|samples| {
        let (former, later) = (samples.group(&first.name), samples.group(&next.name));
        Lives::ONE_PROGRAM.check(&later)?;
        let sum_ns = former.cpu_ns() + later.cpu_ns();
        sum_within(&agent, tier, samples, sum_ns, 1, report.reaped.cpu_ns)
    });
}

/// The user was looked up when the process was classified.
fn change_of_user_keeps_the_group(tier: &'static Tier) {
    let program = Program::new("uid");
    let configuration =
        "process_names:\n  - name: '{{.Comm}}-{{.Username}}'\n    cmdline: ['.+']\n";
    let agent = Agent::start_with(tier, &[], Some(configuration));
    let name = format!("{}-root", program.name);
    stays_in(
        &agent,
        &program,
        &name,
        "setuid 65534",
        |report_ns, samples| {
            let group = samples.group(&name);
            Lives::ONE_PROGRAM.check(&group)?;
            within(&agent, tier, &group, 1, report_ns)
        },
    );
}

/// So was its comm.
fn change_of_task_name_keeps_the_group(tier: &'static Tier) {
    let program = Program::new("comm");
    let agent = Agent::start(tier);
    let other = format!("name {}z", &program.name);
    stays_in(
        &agent,
        &program,
        &program.name,
        &other,
        |report_ns, samples| {
            let group = samples.group(&program.name);
            Lives::ONE_PROGRAM.check(&group)?;
            within(&agent, tier, &group, 1, report_ns)
        },
    );
}

/// A worker in the group `name` is scraped, does `change`, and is scraped again: no other group appears.
fn stays_in(
    agent: &Agent,
    program: &Program,
    name: &str,
    change: &str,
    check: impl Fn(u64, &crate::exposition::Samples) -> Result<(), String>,
) {
    let is_alone = |samples: &crate::exposition::Samples| {
        let groups = samples.groups_with_prefix(&program.name);
        if groups == [name] && samples.group(name).processes() == 1.0 {
            return Ok(());
        }
        Err(format!("groups {groups:?}, expected {name} alone"))
    };
    let mut running = program.work();
    running.ask("spin 20000000");
    agent.await_that(is_alone);
    running.ask(change);
    running.ask("spin 20000000");
    agent.await_that(is_alone);
    let report = running.finish();
    let samples = agent.await_settled(|samples| check(report.reaped.cpu_ns, samples));
    assert_eq!(samples.groups_with_prefix(&program.name), [name]);
}
