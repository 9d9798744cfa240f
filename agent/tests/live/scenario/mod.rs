//! The small programs that the tests run. Each is a function of its arguments, and prints its own counts.

mod arbiter;
mod arguments;
mod churn;
mod crowd;
mod failing;
pub(crate) mod handed;
mod images;
mod lineage;
mod namespace;
mod network;
mod passing;
mod ring;
mod served;
mod stuck;
mod threads;
mod udp;
mod worker;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;

/// In the environment: the scenario of a program that has no arguments.
const SCENARIO: &str = "HEADCOUNT_SCENARIO";

type Scenario = fn(&[String]);

const SCENARIOS: &[(&str, Scenario)] = &[
    ("arbiter", arbiter::arbiter),
    ("bomb", crowd::bomb),
    ("chain", images::chain),
    ("churn", churn::churn),
    ("contained", arbiter::contained),
    ("crowd", crowd::crowd),
    ("crowd-of-processes", churn::crowd),
    ("names-in-turn", churn::names),
    ("datagram-once", udp::datagram_once),
    ("datagrams", udp::datagrams),
    ("double-fork", lineage::double_fork),
    ("end", churn::end),
    ("endpoint", network::endpoint),
    ("enter", lineage::enter),
    ("exec-by-thread", threads::exec_by_thread),
    ("failing", failing::failing),
    ("handed", handed::listener),
    ("handed-activated", handed::activated),
    ("handed-client", handed::client),
    ("handed-server", handed::server),
    ("handed-sleeper", handed::sleeper),
    ("handed-taker", handed::taker),
    ("launch", images::launch),
    ("leader-first", threads::leader_first),
    ("low-thread-ids", threads::low_thread_ids),
    ("names", lineage::names),
    ("no-arguments", worker::no_arguments),
    ("overwritten", arguments::overwritten),
    ("reader", network::reader),
    ("relay", churn::relay),
    ("reuse", lineage::reuse),
    ("scraper", network::scraper),
    ("served", served::served),
    ("stuck", stuck::stuck),
    ("stuck-crowd", stuck::stuck_crowd),
    ("tell", lineage::tell),
    ("twins", threads::twins),
    ("unwaited", lineage::unwaited),
    ("unwaited-threads", threads::unwaited_threads),
    ("unwaited-twins", threads::unwaited_twins),
    ("vfork", lineage::vfork),
    ("vfork-exec", lineage::vfork_exec),
    ("worker", worker::worker),
];

/// Runs the scenario that the command line names; `None` where it names none.
pub(crate) fn dispatch() -> Option<ExitCode> {
    let mut words: Vec<String> = std::env::args_os().map(text).collect();
    if words.len() < 2
        && let Ok(told) = std::env::var(SCENARIO)
    {
        words = ["live", "scenario", &told].map(str::to_owned).to_vec();
    }
    let (marker, name) = (words.get(1)?, words.get(2)?);
    if marker != "scenario" {
        return None;
    }
    let (_, scenario) = SCENARIOS
        .iter()
        .find(|(known, _)| known == name)
        .unwrap_or_else(|| panic!("no scenario {name:?}"));
    scenario(&words[3..]);
    Some(ExitCode::SUCCESS)
}

/// Names are not always UTF-8 here.
fn text(word: OsString) -> String {
    String::from_utf8_lossy(&word.into_vec()).into_owned()
}

fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("{word:?} is no number"))
}
