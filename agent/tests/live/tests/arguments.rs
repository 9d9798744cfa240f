//! Arguments of any length, of which the last one decides the group.

use crate::agent::Agent;
use crate::group::Lives;
use crate::guest::is_locked_down;
use crate::procfs::value;
use crate::program::{Program, Running};
use crate::runner::table;
use crate::tier::{ALL, TYPED, Tier};

table![
    short_lived_programs_with_long_arguments_land_in_their_group for TYPED,
    flood_of_long_arguments_takes_nothing_from_short_ones for TYPED,
    processes_that_overwrite_their_arguments_cost_little_memory for ALL,
];

/// The last argument decides.
const BY_LAST_ARGUMENT: &str = "process_names:\n- name: '{{.Comm}} right'\n  cmdline: [' decides$']\n- name: '{{.Comm}} wrong'\n  cmdline: ['.']\n";

/// Bytes of arguments, and programs with so many: all records of a length have room in the ring, also if the agent gets no CPU
/// meanwhile.
const CARRIED: [(usize, u64); 5] = [
    (900, 40),
    (5 << 10, 40),
    (15 << 10, 30),
    (40 << 10, 15),
    (62 << 10, 10),
];

/// A scenario, as many bytes of arguments, and the one that decides.
fn words(scenario: &[&str], bytes: usize) -> Vec<String> {
    let filler = std::iter::repeat_n(
        "-Dclasspath=".to_owned() + &"/opt/x.jar:".repeat(9),
        bytes / 112 + 1,
    );
    let scenario = scenario.iter().map(|word| (*word).to_owned());
    let words = scenario.chain(filler);
    words.chain(["decides".to_owned()]).collect()
}

fn lives(count: u64) -> Lives {
    Lives {
        execs: count,
        success: count,
        ..Lives::default()
    }
}

fn short_lived_programs_with_long_arguments_land_in_their_group(tier: &'static Tier) {
    if is_locked_down() {
        // Exec records carry no arguments there.
        return;
    }
    let agent = Agent::start_with(tier, &[], Some(BY_LAST_ARGUMENT));
    for (bytes, count) in CARRIED {
        let program = Program::new("long");
        let words = words(&["scenario", "end", "0", "success"], bytes);
        for _ in 0..count {
            Running::of(&program.path, &words).finish();
        }
        let right = format!("{} right", program.name);
        agent.await_that(|samples| {
            let found = lives(count).check(&samples.group(&right));
            found.map_err(|complaint| format!("{bytes} bytes: {complaint}"))
        });
    }
}

/// While the agent cannot run, programs with 62 KiB each want more than the ring has. Those with ordinary arguments lose nothing,
/// and of the others nothing but arguments.
fn flood_of_long_arguments_takes_nothing_from_short_ones(tier: &'static Tier) {
    if is_locked_down() {
        return;
    }
    let agent = Agent::start_with(tier, &[], Some(BY_LAST_ARGUMENT));
    let (flood, plain) = (Program::new("flood"), Program::new("plain"));
    let end = ["scenario", "end", "0", "success"];
    agent.stopped(|| {
        let (long, short) = (words(&end, 62 << 10), words(&end, 300));
        for _ in 0..30 {
            Running::of(&flood.path, &long).finish();
        }
        for _ in 0..30 {
            Running::of(&plain.path, &short).finish();
        }
    });
    agent.await_settled(|samples| {
        lives(30).check(&samples.group(&format!("{} right", plain.name)))?;
        let (right, wrong) = (
            format!("{} right", flood.name),
            format!("{} wrong", flood.name),
        );
        let ends = |name: &str| samples.group(name).all_exits();
        match (ends(&right), ends(&wrong)) {
            (right, wrong) if right >= 10.0 && right + wrong == 30.0 => Ok(()),
            found => Err(format!("{found:?} of the flood are right and wrong")),
        }
    });
    let samples = agent.scrape();
    assert_eq!(samples.the("headcount_events_lost_total", &[]), 0.0);
    assert!(samples.the("headcount_names_incomplete_total", &[]) > 0.0);
}

/// Processes for each pattern.
const ATTACKERS: u64 = 32;

/// The most that the agent may ever have had resident, KiB.
const MOST_KIB: u64 = 64 << 10;

/// Some expressions that look at all arguments, and match none of these.
const THOROUGH: &str = "process_names:
- name: 'none'
  cmdline: ['(a|b)*c$']
- name: 'none'
  cmdline: ['-D(?P<key>\\S+)=\\w+$']
- name: '{{.Comm}}'
  cmdline: ['.*']
";

/// Some were there before the agent, and as many come while it runs.
fn processes_that_overwrite_their_arguments_cost_little_memory(tier: &'static Tier) {
    let filler: Vec<String> = vec!["x".repeat(110_000); 9];
    let programs = ["nuls", "words"].map(|pattern| (pattern, Program::new("flood")));
    let start = || {
        let begin = |(pattern, program): &(&str, Program)| {
            let count = ATTACKERS.to_string();
            let words = ["scenario", "overwritten", &count, pattern].map(str::to_owned);
            let mut running = Running::of(&program.path, &[&words[..], &filler].concat());
            assert_eq!(running.await_line("ready"), ATTACKERS);
            running
        };
        programs.each_ref().map(begin)
    };
    let older = start();
    let agent = Agent::start_with(tier, &[], Some(THOROUGH));
    let younger = start();
    agent.await_that(|samples| {
        programs.iter().try_for_each(|(_, Program { name, .. })| {
            let found = samples.group(name).processes();
            match found == 2.0 * (ATTACKERS + 1) as f64 {
                true => Ok(()),
                false => Err(format!("{found} processes are in {name}")),
            }
        })
    });
    assert!(agent.scrape().the("headcount_arguments_cut_total", &[]) >= 4.0 * ATTACKERS as f64);
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let peak_kib = value(&status, "VmHWM:");
    assert!(peak_kib < MOST_KIB, "{peak_kib} KiB");
    drop((older, younger));
}
