//! Processes whose arguments cost more than a pass may spend on them.

use super::support::agent::Launch;
use super::support::fake_proc::FakeProc;
use super::support::scrape::Scrape;

/// Processes of the user with many, each with 64 KiB of arguments: more than a pass may read.
const MANY: u32 = 700;
/// Of these, the ones that use CPU time, and so many seconds in all.
const BUSY: u32 = 50;

#[test]
fn long_arguments_of_one_user_defer_his_own_processes_and_lose_no_use() {
    let tree = FakeProc::new(1_508_450_329);
    let long = vec![b"x".repeat(1023); 64];
    let process = |pid, comm: &str, uid| {
        let process = tree.process(pid).comm(comm).uids((uid, uid));
        process.argv(&long)
    };
    for pid in 10..10 + MANY {
        process(pid, "many", 1000).write();
    }
    // They are younger, and have larger numbers.
    process(9001, "few", 1001).start_ticks(900_000).write();
    let ordinary = tree.process(9002).comm("plain").start_ticks(900_000);
    ordinary.write();
    let agent = Launch::on(&tree)
        .arg("-accounting=procfs")
        .config("process_names: [{name: '{{.Comm}}', cmdline: ['.+']}]")
        .start();
    let members = |scrape: &Scrape, group: &str| scrape.of(group, "num_procs");
    let all = Some(f64::from(MANY));
    let mut scrape = agent.scrape();
    assert_eq!(members(&scrape, "few"), Some(1.0));
    assert_eq!(members(&scrape, "plain"), Some(1.0));
    let deferred = scrape.value("headcount_classifications_deferred_total", &[]);
    assert!(deferred.is_some_and(|deferred| deferred >= f64::from(MANY - 512)));
    // The last ones wait longest, and their use meanwhile counts for their groups.
    let busy = 10 + MANY - BUSY..10 + MANY;
    busy.for_each(|pid| process(pid, "many", 1000).user_ticks(100).write());
    for _ in 0..1000 {
        if members(&scrape, "many") == all {
            break;
        }
        scrape = agent.scrape();
    }
    assert_eq!(members(&scrape, "many"), all);
    assert_eq!(scrape.cpu("many"), (f64::from(BUSY), 0.0));
    let (state, reasons) = agent.health();
    assert_eq!((state.as_str(), reasons.len()), ("ok", 0), "{reasons:?}");
}
