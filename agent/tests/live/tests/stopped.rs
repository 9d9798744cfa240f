//! The agent does nothing for a minute, as by SIGSTOP or in a frozen control group.

use std::thread;
use std::time::{Duration, Instant};

use super::{have_ended, lives_on};
use crate::agent::Agent;
use crate::process;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ALL, ITERATOR, Tier};

table![
    agent_stopped_for_a_minute_loses_nothing for &[&ITERATOR],
];

/// Longer than the agent waits for any record of the kernel: a minute.
const STOPPED: Duration = Duration::from_secs(62);
const PAUSE: Duration = Duration::from_millis(500);
const SPIN: &str = "2000000";

/// One agent of each tier, all at once. Scrapes that come meanwhile are answered afterwards; then nothing is missing or counted
/// twice, and `/health` is well.
fn agent_stopped_for_a_minute_loses_nothing(_: &'static Tier) {
    let tiers = ALL.iter().filter(|tier| tier.can_work());
    let agents: Vec<(&Tier, Agent)> = tiers.map(|tier| (*tier, Agent::start(tier))).collect();
    let (living, ended) = (Program::new("lives"), Program::new("ended"));
    let mut lives = living.work();
    for (_, agent) in &agents {
        agent.await_one(&living.name);
    }
    let signal = |signal| {
        for (_, agent) in &agents {
            process::kill(agent.pid(), signal);
        }
    };
    let (mut ended_ns, mut ends) = (0, 0);
    thread::scope(|scope| {
        signal(libc::SIGSTOP);
        let asked: Vec<_> = agents
            .iter()
            .map(|(_, agent)| scope.spawn(|| agent.scrape()))
            .collect();
        let begun = Instant::now();
        while begun.elapsed() < STOPPED {
            ended_ns += ended.run("end", &[SPIN, "success"]).reaped.cpu_ns;
            ends += 1;
            lives.ask(&format!("spin {SPIN}"));
            thread::sleep(PAUSE);
        }
        let is_answered = asked.iter().any(|one| one.is_finished());
        assert!(!is_answered, "an agent went on");
        signal(libc::SIGCONT);
        for one in asked {
            one.join().unwrap();
        }
    });
    let used_ns = lives.ask("spin 1");
    for (tier, agent) in &agents {
        agent.await_settled(|samples| {
            lives_on(tier, samples, &living.name, used_ns)?;
            have_ended(agent, tier, samples, (&ended.name, ends, ended_ns))
        });
        agent.await_health(tier);
    }
}
