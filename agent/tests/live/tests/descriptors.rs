//! The agent may open no more files, or only few, from a moment in its life on.

use std::mem::replace;
use std::{fs, thread};

use super::{have_ended, lives_on};
use crate::agent::Agent;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ALL, Tier};

table![
    agent_without_free_descriptors_answers_when_one_is_free for ALL,
];

/// Free descriptors of the agent, about: none for the client's connection, then one for it alone, then one more each time.
const SPARE: std::ops::Range<u64> = 0..6;

const SPIN_NS: u64 = 20_000_000;

/// Meanwhile a program runs and ends, and another one lives on. Clients are answered, at the latest when a descriptor is free
/// again, and nothing of the programs is missing or counted twice then.
fn agent_without_free_descriptors_answers_when_one_is_free(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (living, ended) = (Program::new("lives"), Program::new("ended"));
    let mut lives = living.work();
    agent.await_one(&living.name);
    let (mut ended_ns, mut ends) = (0, 0);
    for spare in SPARE {
        let limit = match spare {
            0 => 0,
            _ => first_free(&agent) + spare,
        };
        let usual = limit_files(&agent, limit);
        thread::scope(|scope| {
            let asked = scope.spawn(|| agent.scrape());
            ended_ns += ended
                .run("end", &[&SPIN_NS.to_string(), "success"])
                .reaped
                .cpu_ns;
            ends += 1;
            lives.ask(&format!("spin {SPIN_NS}"));
            assert!(spare > 0 || !asked.is_finished(), "the limit does not bite");
            limit_files(&agent, usual);
            asked.join().unwrap();
        });
    }
    let used_ns = lives.ask("spin 1");
    agent.await_settled(|samples| {
        lives_on(tier, samples, &living.name, used_ns)?;
        have_ended(&agent, tier, samples, (&ended.name, ends, ended_ns))
    });
    agent.await_health(tier);
}

/// The number that the next file of the agent gets.
fn first_free(agent: &Agent) -> u64 {
    let entries = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let open: Vec<u64> = names
        .map(|name| name.to_str().unwrap().parse().unwrap())
        .collect();
    (0..).find(|number| !open.contains(number)).unwrap()
}

/// Sets how many files the agent may have open; the limit before.
fn limit_files(agent: &Agent, files: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let prlimit = |new: *const libc::rlimit, old: *mut libc::rlimit| {
        // SAFETY: each pointer is null or one to a limit that outlives the call.
        let code = unsafe { libc::prlimit(agent.pid(), libc::RLIMIT_NOFILE, new, old) };
        assert_eq!(code, 0, "prlimit: {}", std::io::Error::last_os_error());
    };
    prlimit(std::ptr::null(), &raw mut limit);
    let before = replace(&mut limit.rlim_cur, files);
    prlimit(&raw const limit, std::ptr::null_mut());
    before
}
