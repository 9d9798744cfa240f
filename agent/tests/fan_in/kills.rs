//! The test kills instances, routers and a nats-server with -9 and starts them again, in an order that a seed determines, before
//! and while the agent answers.
//!
//! An instance that lives throughout a scrape must be in the answer with all its series. An instance that ends or starts
//! meanwhile must be there with all of them or with none. No counter of the agent may fall, and its memory and descriptors must
//! not grow.
//!
//! In: `HEADCOUNT_KILLS`, `HEADCOUNT_SECONDS` and `HEADCOUNT_SEED`: the test ends after so many kills and so many seconds;
//! `HEADCOUNT_NATS`, the path of nats-server. `cargo xtask fan-in` sets the last three. Without them, the test runs the short
//! form, in which routers name all instances. Out: the kills and findings, in one line.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::hint::spin_loop;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use fastrand::Rng;
use serde_json::json;

use crate::instance::answer;
use crate::mortal::Mortal;
use crate::nats::message;
use crate::support::agent::{Agent, until};
use crate::{PATH, Scrape, Site, endpoint, error, labels, scrape, up};

const INSTANCES: usize = 12;
/// Series of an instance.
const SERIES: usize = 200;
const ROUTERS: usize = 2;
/// Number of instances, the last ones, that are announced only on the bus, if there is one.
const ANNOUNCED: usize = 4;
/// Most bytes by which the agent's memory in the second half of the time may exceed that of the first.
const MEMORY: u64 = 4 << 20;
const DESCRIPTORS: usize = 4;

/// A process that the test kills, and starts again at its address.
struct Victim {
    kind: &'static str,
    start: Box<dyn Fn() -> Mortal>,
    process: Option<Mortal>,
    /// How often it was killed.
    kills: u32,
}

impl Victim {
    fn new(kind: &'static str, start: impl Fn() -> Mortal + 'static) -> Self {
        Self {
            kind,
            process: Some(start()),
            start: Box::new(start),
            kills: 0,
        }
    }

    /// Kills the process if it lives, else starts it.
    fn turn(&mut self) {
        match self.process.take() {
            None => self.process = Some((self.start)()),
            Some(process) => {
                drop(process);
                self.kills += 1;
            }
        }
    }
}

/// Addresses for all victims. No other socket gets them while their owner is dead: no other test uses this part of the loopback
/// network, and no connection begins there.
fn addresses() -> Vec<SocketAddr> {
    let [.., third, fourth] = std::process::id().to_be_bytes();
    let listeners = (0..INSTANCES + ROUTERS + 1)
        .map(|_| TcpListener::bind(SocketAddr::from(([127, 1, third, fourth], 0))).unwrap());
    // All bound at the same time, so that they differ.
    let listeners: Vec<TcpListener> = listeners.collect();
    let addresses = listeners.iter().map(|one| one.local_addr().unwrap());
    addresses.collect()
}

/// The value of a series, different for each instance.
fn value(index: usize, series: usize) -> usize {
    index * SERIES + series
}

fn body(index: usize) -> String {
    let mut body = "# TYPE part_hits_total counter\n".to_owned();
    for series in 0..SERIES {
        let value = value(index, series);
        writeln!(body, "part_hits_total{{part=\"{series}\"}} {value}").unwrap();
    }
    body
}

/// A bus on which instances are announced.
struct Bus {
    program: OsString,
    address: SocketAddr,
    /// The index of the server among the victims.
    victim: usize,
}

impl Bus {
    /// Announces instances, as their components do periodically.
    fn announce(&self, instances: &[SocketAddr]) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let mut lines = "CONNECT {\"verbose\":false}\r\n".to_owned();
        for (index, address) in instances.iter().enumerate().skip(INSTANCES - ANNOUNCED) {
            let message = message(*address, index).to_string();
            write!(
                lines,
                "PUB router.register {}\r\n{message}\r\n",
                message.len()
            )
            .unwrap();
        }
        lines.push_str("PING\r\n");
        stream.write_all(lines.as_bytes()).unwrap();
        let answers = BufReader::new(stream).lines();
        assert!(answers.map_while(Result::ok).any(|line| line == "PONG"));
    }
}

/// The instances in the order of the index, then the routers, then the bus. Each router names all instances but those on the bus.
fn victims(instances: &[SocketAddr], routers: &[SocketAddr], bus: Option<&Bus>) -> Vec<Victim> {
    let mut victims = Vec::new();
    for (index, address) in instances.iter().copied().enumerate() {
        let answer = answer("200 OK", "", body(index).as_bytes());
        victims.push(Victim::new("instances", move || {
            Mortal::serving(address, &answer)
        }));
    }
    let routed = INSTANCES - bus.map_or(0, |_| ANNOUNCED);
    let endpoints = instances[..routed].iter().enumerate();
    let endpoints: Vec<_> = endpoints.map(|(index, at)| endpoint(*at, index)).collect();
    let routes = json!({"app.example.com": endpoints}).to_string();
    for address in routers.iter().copied() {
        let answer = answer("200 OK", "", routes.as_bytes());
        victims.push(Victim::new("routers", move || {
            Mortal::serving(address, &answer)
        }));
    }
    if let Some(Bus {
        program, address, ..
    }) = bus
    {
        let (program, address) = (program.clone(), *address);
        let start = move || Mortal::nats(&program, address);
        victims.push(Victim::new("nats-servers", start));
    }
    victims
}

/// Fails unless the answer has all series of an instance, or none and its error. Returns whether it has all.
fn has_all(scrape: &Scrape, lines: &BTreeSet<&str>, address: SocketAddr, index: usize) -> bool {
    let origin = labels(address, index);
    let found = (0..SERIES).filter(|series| {
        let value = value(index, *series);
        let line = format!("part_hits_total{{part=\"{series}\",{origin}}} {value}");
        lines.contains(line.as_str())
    });
    let instance = format!("instance=\"{address}\"");
    let all = lines.iter().filter(|line| line.contains(&instance));
    let is_up = up(scrape, address) == Some(1.0);
    let shown = match is_up {
        true => (SERIES, SERIES, Some(1.0), false),
        false => (0, 1, Some(0.0), true),
    };
    let has_error = error(scrape, address).is_some();
    let found = (found.count(), all.count(), up(scrape, address), has_error);
    assert_eq!(found, shown, "{address}: {}", scrape.body);
    is_up
}

/// The counters of an exposition, with the parts of histograms.
fn counters(body: &str) -> BTreeMap<String, f64> {
    let families = body.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        matches!(kind, "counter" | "histogram").then_some(name)
    });
    let families: BTreeSet<&str> = families.collect();
    let is_counter = |series: &str| {
        let name = series.split('{').next().unwrap_or_default();
        let parts = ["", "_bucket", "_count", "_sum"].iter();
        let mut of = parts.filter_map(|part| name.strip_suffix(part));
        of.any(|family| families.contains(family))
    };
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    let counters = samples.filter(|(series, _)| is_counter(series));
    counters
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Resident bytes and descriptors of the agent.
fn holding(agent: &Agent) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let mut lines = status.lines();
    let resident = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    (resident << 10, descriptors.count())
}

fn highest(holdings: &[(u64, usize)]) -> (u64, usize) {
    let resident = holdings.iter().map(|(resident, _)| *resident).max();
    let descriptors = holdings.iter().map(|(_, descriptors)| *descriptors).max();
    (resident.unwrap(), descriptors.unwrap())
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn answers_are_complete_for_the_living_while_others_are_killed() {
    let kills = number("HEADCOUNT_KILLS", 200);
    let seconds = number("HEADCOUNT_SECONDS", 0);
    let seed = number("HEADCOUNT_SEED", 1);
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();

    let addresses = addresses();
    let (instances, others) = addresses.split_at(INSTANCES);
    let (routers, bus) = others.split_at(ROUTERS);
    let bus = std::env::var_os("HEADCOUNT_NATS").map(|program| Bus {
        program,
        address: bus[0],
        victim: INSTANCES + ROUTERS,
    });
    let mut victims = victims(instances, routers, bus.as_ref());
    let site = Site::of(&[]);
    let urls = routers
        .iter()
        .map(|address| format!("{{url: 'http://{address}'}}"));
    let urls: Vec<_> = urls.collect();
    let nats = bus.iter().map(|bus| bus.address);
    let nats = nats.map(|address| format!("  nats: {{servers: ['nats://{address}']}}\n"));
    let nats: String = nats.collect();
    let agent = site
        .launch(&format!("  gorouters: [{}]\n{nats}", urls.join(", ")))
        .start();
    let announce = |victims: &[Victim]| {
        let alive = bus
            .as_ref()
            .filter(|bus| victims[bus.victim].process.is_some());
        if let Some(bus) = alive {
            bus.announce(instances);
        }
    };
    until("all instances", || {
        announce(&victims);
        let answer = agent.ask(PATH);
        answer.code == 200 && answer.body.matches("{part=\"0\"").count() == INSTANCES
    });

    let mut known = BTreeMap::new();
    let mut holdings = Vec::new();
    // Counts of instances that ended or started while the agent asked them: without and with their series.
    let mut changing = [0; 2];
    let killed = |victims: &[Victim]| victims.iter().map(|one| u64::from(one.kills)).sum::<u64>();
    while killed(&victims) < kills || began.elapsed().as_secs() < seconds {
        // All victims live during the first answer, so that the agent knows the routes.
        if !holdings.is_empty() && rng.bool() {
            rng.choice(&mut victims).unwrap().turn();
        }
        // For each victim, whether it lives until the answer has arrived; `None` if it ends or starts meanwhile.
        let lives = victims.iter().map(|one| Some(one.process.is_some()));
        let mut lives: Vec<Option<bool>> = lives.collect();
        let asked = agent.begin(PATH, "");
        if !holdings.is_empty() {
            for _ in 0..rng.u32(..4) {
                // Spins, to hit any moment of the request. Yielding could take seconds on a busy machine, and the agent closes
                // connections whose clients do not read for that long.
                (0..rng.u32(..500_000)).for_each(|_| spin_loop());
                let index = rng.usize(..victims.len());
                victims[index].turn();
                lives[index] = None;
            }
        }
        let answer = scrape(asked.answer());
        let lines = answer.body.lines().collect();
        for (index, address) in instances.iter().enumerate() {
            let is_whole = has_all(&answer, &lines, *address, index);
            match lives[index] {
                Some(lives) => assert_eq!(is_whole, lives, "{address}: {}", answer.body),
                None => changing[usize::from(is_whole)] += 1,
            }
        }

        let found = counters(&agent.scrape().body);
        for (series, before) in &known {
            let now = found.get(series);
            assert!(
                now.is_some_and(|now| now >= before),
                "{series}: {before}, then {now:?}"
            );
        }
        known = found;
        holdings.push(holding(&agent));
        announce(&victims);
    }

    let (first, second) = holdings.split_at(holdings.len() / 2);
    let (first, second) = (highest(first), highest(second));
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for one in &victims {
        *kinds.entry(one.kind).or_default() += one.kills;
    }
    println!(
        "seed {seed}, {} s: {} answers complete for the living, killed {kinds:?}; of those that ended or started \
         meanwhile {changing:?} without and with their series; {} counters never fell; \
         the agent's resident bytes and descriptors in the first half {first:?}, in the second {second:?}",
        began.elapsed().as_secs(),
        holdings.len(),
        known.len(),
    );
    assert!(second.0 <= first.0 + MEMORY && second.1 <= first.1 + DESCRIPTORS);
}
