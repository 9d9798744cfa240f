//! Processes whose first thread is not their last, or not the one that acts: each counted once, in full.

use std::collections::BTreeMap;

use super::{up_to_exec, within};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::group::Lives;
use crate::guest::{self, scaled};
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ALL, EXACT, ITERATOR, TICK_NS, Tier};

table![
    leader_that_ends_first_is_counted_once for EXACT,
    process_whose_leader_ended_is_shown_while_a_thread_lives for EXACT,
    exec_by_a_thread_ends_the_former_image for EXACT,
    ended_threads_are_part_of_their_process for EXACT,
    unwaited_processes_of_two_threads_are_each_counted for EXACT,
    each_end_of_unwaited_threads_is_counted for EXACT,
    thread_with_lower_id_than_its_process_is_counted_once for &[&ITERATOR],
    threads_that_stay_are_shown_by_name for ALL,
    counters_of_thread_names_that_come_and_go_never_fall for ALL,
];

const NS: u64 = 50_000_000;

fn leader_that_ends_first_is_counted_once(tier: &'static Tier) {
    let agent = Agent::start(tier);
    for last in ["exit", "thread"] {
        let program = Program::new("lead");
        let report = program.run("leader-first", &[&NS.to_string(), last]);
        agent.await_settled(|samples| {
            let group = samples.group(&program.name);
            Lives::ONE_PROGRAM.check(&group)?;
            within(&agent, tier, &group, 1, report.reaped.cpu_ns)
        });
    }
}

/// The process shows, as long as a thread of it lives.
fn process_whose_leader_ended_is_shown_while_a_thread_lives(tier: &'static Tier) {
    let agent = Agent::start(tier);
    for last in ["exit", "thread"] {
        let program = Program::new("lead");
        let mut running = program.start("leader-first", &[&NS.to_string(), last, "hold"]);
        running.await_line("held");
        agent.await_that(|samples| {
            let group = samples.group(&program.name);
            let (processes, cpu_ns) = (group.processes(), group.cpu_ns());
            if processes == 1.0 && cpu_ns > tier.least_alive(NS as f64) && group.all_exits() == 0.0
            {
                return Ok(());
            }
            Err(format!("{processes} processes, {cpu_ns} ns"))
        });
        running.tell("on");
        let report = running.finish();
        agent.await_settled(|samples| {
            let group = samples.group(&program.name);
            Lives::ONE_PROGRAM.check(&group)?;
            within(&agent, tier, &group, 1, report.reaped.cpu_ns)
        });
    }
}

fn exec_by_a_thread_ends_the_former_image(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (first, next) = (Program::new("thrA"), Program::new("thrB"));
    let (ns, next_ns) = ((4 * NS).to_string(), (2 * NS).to_string());
    let report = first.run("exec-by-thread", &[&ns, next.path_text(), &next_ns]);
    let (used_ns, total_ns) = (report.of("used_ns"), report.reaped.cpu_ns);
    agent.await_settled(|samples| {
        let (former, later) = (samples.group(&first.name), samples.group(&next.name));
        let started = Lives {
            execs: 1,
            ..Lives::default()
        };
        started.check(&former)?;
        Lives::ONE_PROGRAM.check(&later)?;
        up_to_exec(&agent, tier, &former, used_ns as f64)?;
        let both_ns = former.cpu_ns() + later.cpu_ns();
        super::sum_within(&agent, tier, samples, both_ns, 1, total_ns)
    });
}

/// Threads that end before a scrape are part of their process, and are no processes.
fn ended_threads_are_part_of_their_process(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("thr");
    let mut running = program.work();
    running.ask(&format!("spin-threads 8 {}", NS / 5));
    let used_ns = running.ask(&format!("spin-threads 2 {}", NS / 5));
    agent.await_that(|samples| {
        let group = samples.group(&program.name);
        let low = tier.least_alive(used_ns as f64);
        if group.processes() == 1.0 && group.value("num_threads") == 1.0 && group.cpu_ns() >= low {
            return Ok(());
        }
        Err(format!("{} ns of {used_ns}", group.cpu_ns()))
    });
    let report = running.finish();
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        Lives::ONE_PROGRAM.check(&group)?;
        within(&agent, tier, &group, 1, report.reaped.cpu_ns)
    });
}

/// Threads that stay are shown by their names, born under the agent with all they used; the main thread among them.
fn threads_that_stay_are_shown_by_name(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let program = Program::new("named");
    let mut running = program.work();
    for name in ["one", "two", "two"] {
        running.ask(&format!("stay-thread {name} {NS}"));
    }
    agent.await_that(|samples| {
        let group = samples.group(&program.name);
        for (name, count) in [("one", 1.0), ("two", 2.0), (&*program.name, 1.0)] {
            let threads = group.labelled("thread_count", &[("threadname", name)]);
            if threads != count {
                return Err(format!("{name}: {threads} threads"));
            }
        }
        for (name, count) in [("one", 1.0), ("two", 2.0)] {
            let seconds = |mode| {
                let labels = [("mode", mode), ("threadname", name)];
                group.labelled("thread_cpu_seconds_total", &labels)
            };
            let (used_ns, expected_ns) = (
                (seconds("user") + seconds("system")) * 1e9,
                count * NS as f64,
            );
            // An emulated machine whose host is busy samples ticks that the thread has not run.
            let most_ns = 2.0 * expected_ns + 10.0 * TICK_NS;
            if used_ns < expected_ns - 2.0 * count * TICK_NS || used_ns > most_ns {
                return Err(format!("{name}: {used_ns} ns of {expected_ns}"));
            }
        }
        Ok(())
    });
    drop(running);
}

/// Each of six thread names is absent from every third of 25 scrapes. No counter of a name is ever lower than it was, and the
/// names have all that their threads used while scrapes saw them.
fn counters_of_thread_names_that_come_and_go_never_fall(tier: &'static Tier) {
    const USED_NS: u64 = 2_000_000;
    let agent = Agent::start(tier);
    let program = Program::new("turns");
    let mut running = program.work();
    running.ask("stay-thread stays 1000000");
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    let (mut started, mut absent) = (0, 0);
    for turn in 0..25 {
        running.ask("end-passing");
        for n in (0..6).filter(|n| (n + turn) % 3 != 0) {
            running.ask(&format!("passing-thread turn{n} {USED_NS}"));
            started += 1;
        }
        let samples = agent.scrape();
        let name = |labels: &BTreeMap<String, String>| labels["threadname"].clone();
        let mut now: BTreeMap<String, f64> = BTreeMap::new();
        for (labels, value) in samples
            .series("namedprocess_namegroup_thread_cpu_seconds_total")
            .filter(|(labels, _)| labels["groupname"] == program.name)
        {
            *now.entry(name(labels)).or_default() += value;
        }
        absent += last.keys().filter(|name| !now.contains_key(*name)).count();
        for (name, value) in now {
            let before = last.insert(name.clone(), value).unwrap_or(0.0);
            assert!(before <= value, "{name} fell from {before} to {value}");
        }
    }
    assert!(absent >= 20, "a name was absent only {absent} times");
    let passing = last.iter().filter(|(name, _)| name.starts_with("turn"));
    let found_ns = passing.map(|(_, seconds)| seconds).sum::<f64>() * 1e9;
    let told_ns = (started * USED_NS) as f64;
    // `/proc` shows whole ticks of each thread, so most of these show nothing there.
    if tier.name == ITERATOR.name {
        assert!(found_ns > 0.9 * told_ns, "{found_ns} ns of {told_ns}");
    }
    let samples = agent.scrape();
    let folded = samples.the("headcount_names_folded_total", &[("kind", "thread")]);
    assert_eq!(folded, 0.0);
}

/// No parent waits for them, so only they can report their use, just before their end.
fn unwaited_processes_of_two_threads_are_each_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let count = scaled(50).max(10);
    let program = Program::new("auto");
    let report = program.run("unwaited-threads", &[&count.to_string(), "10000000"]);
    let used = report.all("used_ns");
    assert_eq!(used.len() as u64, count);
    let low_ns: u64 = used.iter().sum::<u64>() + report.reaped.cpu_ns;
    let expected = Lives {
        forks: count,
        success: count + 1,
        ..Lives::ONE_PROGRAM
    };
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        expected.check(&group)?;
        super::unwaited_within(&agent, tier, &group, count, low_ns)
    });
}

/// The kernel releases their leaders in a loop of its own; one or two threads are released just before.
fn each_end_of_unwaited_threads_is_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let count = scaled(200).max(20);
    for (scenario, arguments) in [
        ("unwaited-threads", vec![count.to_string(), "0".to_owned()]),
        ("unwaited-twins", vec![count.to_string()]),
    ] {
        let node = |samples: &Samples| samples.the("headcount_kernel_exits_total", &[]);
        let before = node(&agent.scrape());
        let program = Program::new("auto");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        program.run(scenario, &arguments);
        let ends = (count + 1) as f64;
        // At the free hook, the kernel of some sandboxes leaves out more runs than there are ends here.
        let is_node_exact = agent.exit_hook() != Some("free") || guest::is_here();
        agent.await_settled(|samples| {
            let of_node = node(samples) - before;
            let of_group = samples.group(&program.name).all_exits();
            if of_group == ends && (!is_node_exact || of_node >= ends) {
                return Ok(());
            }
            Err(format!(
                "{scenario}: {ends} processes ended; the group counts {of_group}, the node {of_node}"
            ))
        });
    }
}

/// The iterator visits such a thread before its leader; it ends between the two visits of some pass. A crowd of threads between
/// their numbers makes that likely.
fn thread_with_lower_id_than_its_process_is_counted_once(tier: &'static Tier) {
    const CHILDREN: u64 = 30;
    let agent = Agent::start(tier);
    let program = Program::new("low");
    let mut running = program.start("low-thread-ids", &[&CHILDREN.to_string(), "20000000"]);
    running.await_line("there");
    let mut crowd = Program::new("among").start("crowd", &[&scaled(4000).to_string()]);
    crowd.await_line("there");
    running.tell("go");
    let used_ns = CHILDREN as f64 * 20e6;
    let has_all = |_: &u32| {
        let samples = agent.scrape();
        samples.group(&program.name).cpu_ns() >= tier.least_alive(used_ns)
    };
    assert!((0..50_000).any(|n| has_all(&n)), "{used_ns} ns never show");
    let report = running.finish();
    agent.await_settled(|samples| {
        let group = samples.group(&program.name);
        within(&agent, tier, &group, CHILDREN + 1, report.reaped.cpu_ns)
    });
}
