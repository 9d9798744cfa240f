//! An agent that is attacked, and an honest scraper beside the attackers.

use std::future::Future;
use std::net::SocketAddr;
use std::{fs, thread};

use tokio::sync::oneshot;

use super::support::agent::{Agent, Answer, Launch, until};
use super::support::client::ask_plainly;
use super::support::fake_proc::FakeProc;
use super::support::scrape::Scrape;

/// Scrapes that must be answered during an attack.
const SCRAPES: u32 = 10;
/// Groups, each with a name of a thousand bytes.
const GROUPS: u32 = 60;
/// The most that may ever be resident, KiB. The exposition has more than one megabyte; this is a binary without optimization.
const MOST_RESIDENT_KIB: u64 = 96 * 1024;

/// A tree of which the exposition is larger than the buffers of a socket.
fn tree() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    for pid in 1..=GROUPS {
        let name = format!("{pid:04}").repeat(250);
        tree.process(pid).argv(&[name]).write();
    }
    tree
}

/// An agent, its scraper, and its open descriptors before an attack.
pub(crate) struct Siege {
    pub(crate) agent: Agent,
    scrape: Scraper,
    descriptors: usize,
    _tree: FakeProc,
}

/// One scrape by an honest client.
type Scraper = Box<dyn Fn(SocketAddr) -> Answer>;

impl Siege {
    pub(crate) fn new() -> Self {
        Self::of(|launch| launch)
    }

    /// Of one that is started as `change` says.
    pub(crate) fn of(change: impl FnOnce(Launch) -> Launch) -> Self {
        let plainly = |address| ask_plainly(address, "/metrics", "");
        Self::scraped(change, Box::new(plainly))
    }

    /// The same, scraped in another way.
    pub(crate) fn scraped(change: impl FnOnce(Launch) -> Launch, scrape: Scraper) -> Self {
        let tree = tree();
        let launch = Launch::on(&tree)
            .arg("-accounting=procfs")
            .config("process_names: [{name: '{{.ExeBase}}', cmdline: ['.+']}]");
        let agent = change(launch).listen();
        // The first answer comes after the first pass.
        until("the first pass", || scrape(agent.address).code == 200);
        let descriptors = quiet_descriptors(&agent);
        Self {
            agent,
            scrape,
            descriptors,
            _tree: tree,
        }
    }

    /// One scrape, which must be whole: every group is there, and none is left out.
    pub(crate) fn scrape(&self) -> Scrape {
        let answer = (self.scrape)(self.agent.address);
        assert_eq!(answer.code, 200, "{answer:?}");
        let scrape = Scrape::parse(answer.body);
        assert_eq!(scrape.groups().len(), GROUPS as usize);
        assert_eq!(scrape.errors(), [0.0; 3]);
        scrape
    }

    /// Lets `attack` go on until there were enough scrapes, and the last one shows that the attack `is_felt`. Then it ends, and
    /// all that it took must come back.
    pub(crate) fn withstand(
        &self,
        attack: impl Future<Output = ()> + Send + 'static,
        is_felt: impl Fn(&Scrape) -> bool,
    ) {
        self.withstand_after(attack, || true, is_felt);
    }

    /// The same, where the first scrape waits until `is_on` holds.
    pub(crate) fn withstand_after(
        &self,
        attack: impl Future<Output = ()> + Send + 'static,
        is_on: impl Fn() -> bool,
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
        until("the attack", is_on);
        let mut scrapes = 0;
        until("the attack's effect", || {
            let scrape = self.scrape();
            scrapes += 1;
            scrapes >= SCRAPES && is_felt(&scrape)
        });
        stop.send(()).unwrap();
        attackers.join().unwrap();
        until("the descriptors to come back", || {
            descriptors(&self.agent) <= self.descriptors
        });
        self.scrape();
        let peak = peak_kib(&self.agent);
        assert!(peak < MOST_RESIDENT_KIB, "{peak} KiB were resident");
        assert_eq!(self.agent.messages("error"), [""; 0]);
    }
}

/// Open ones without a connection.
fn quiet_descriptors(agent: &Agent) -> usize {
    let mut last = descriptors(agent);
    until("a quiet moment", || {
        let now = descriptors(agent);
        std::mem::replace(&mut last, now) == now
    });
    last
}

/// Open ones.
pub(crate) fn descriptors(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", agent.pid()))
        .unwrap()
        .count()
}

/// The most that was resident so far.
pub(crate) fn peak_kib(agent: &Agent) -> u64 {
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
