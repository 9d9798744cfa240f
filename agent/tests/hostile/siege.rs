//! An agent that is attacked, and an honest scraper beside the attackers.

use super::support::{
    agent::{Agent, Launch, until},
    fake_proc::FakeProc,
    scrape::Scrape,
};
use std::{fs, future::Future, thread};
use tokio::sync::oneshot;

/// Scrapes that must be answered during an attack.
const SCRAPES: u32 = 20;
/// Groups, each with a name of a thousand bytes.
const GROUPS: u32 = 100;
/// The most that may ever be resident, KiB. The exposition has two megabytes; this is a binary without optimization.
const MOST_RESIDENT_KIB: u64 = 96 * 1024;

/// A tree of which the exposition is larger than the buffers of a socket.
pub(crate) fn tree() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    for pid in 1..=GROUPS {
        let name = format!("{pid:04}").repeat(250);
        tree.process(pid).argv(&[name]).write();
    }
    tree
}

pub(crate) fn launch(tree: &FakeProc) -> Launch {
    Launch::on(tree)
        .arg("-accounting=procfs")
        .config("process_names: [{name: '{{.ExeBase}}', cmdline: ['.+']}]")
}

/// An agent, and what it had before anybody attacked it.
pub(crate) struct Siege {
    pub(crate) agent: Agent,
    descriptors: usize,
    _tree: FakeProc,
}

impl Siege {
    pub(crate) fn new() -> Self {
        let tree = tree();
        Self::of(launch(&tree).start(), tree)
    }

    /// The same with no more than `most` descriptors.
    pub(crate) fn with_descriptors(most: u64) -> Self {
        let tree = tree();
        let agent = launch(&tree).limit(libc::RLIMIT_NOFILE, most).start();
        Self::of(agent, tree)
    }

    fn of(agent: Agent, tree: FakeProc) -> Self {
        assert_whole(&agent.scrape());
        let descriptors = quiet_descriptors(&agent);
        Self {
            agent,
            descriptors,
            _tree: tree,
        }
    }

    /// Lets `attack` go on until enough was scraped, and `is_felt` by what the last scrape says. Then it ends, and all that it took must
    /// come back.
    pub(crate) fn withstand(
        &self,
        attack: impl Future<Output = ()> + Send + 'static,
        is_felt: impl Fn(&Scrape) -> bool,
    ) {
        let (stop, stopped) = oneshot::channel::<()>();
        let attackers = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = attack => panic!("the attack ended by itself"),
                    _ = stopped => {}
                }
            });
        });
        let mut scrapes = 0;
        until("the attack's effect", || {
            let scrape = self.agent.scrape();
            assert_whole(&scrape);
            scrapes += 1;
            scrapes >= SCRAPES && is_felt(&scrape)
        });
        stop.send(()).unwrap();
        attackers.join().unwrap();
        until("the descriptors to come back", || {
            descriptors(&self.agent) <= self.descriptors
        });
        assert_whole(&self.agent.scrape());
        let peak = peak_kib(&self.agent);
        assert!(peak < MOST_RESIDENT_KIB, "{peak} KiB were resident");
        assert_eq!(self.agent.messages("error"), [""; 0]);
    }
}

/// Every group is there, and nothing was left out.
fn assert_whole(scrape: &Scrape) {
    assert_eq!(scrape.groups().len(), GROUPS as usize);
    assert_eq!(scrape.errors(), [0.0; 3], "{:#?}", scrape.errors());
}

/// Open ones when nobody is connected.
fn quiet_descriptors(agent: &Agent) -> usize {
    let mut last = descriptors(agent);
    until("a quiet moment", || {
        let now = descriptors(agent);
        std::mem::replace(&mut last, now) == now
    });
    last
}

fn descriptors(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", agent.pid()))
        .unwrap()
        .count()
}

/// The most that was resident so far.
fn peak_kib(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// The value of a family without labels.
pub(crate) fn count(scrape: &Scrape, family: &str) -> f64 {
    scrape.value(family, &[]).unwrap()
}

/// Requests answered with `code`.
pub(crate) fn answered(scrape: &Scrape, code: &str) -> f64 {
    scrape
        .value("headcount_http_requests_total", &[("code", code)])
        .unwrap()
}

/// Times up in `phase`.
pub(crate) fn timeouts(scrape: &Scrape, phase: &str) -> f64 {
    scrape
        .value("headcount_http_timeouts_total", &[("phase", phase)])
        .unwrap()
}
