//! Measures network accounting: section `network`.
//!
//! The kernel programs see the sockets of the whole node, so rounds with and without them take turns. Each round has an agent of
//! its own. Scrapes of an agent with and of one without network accounting take turns, too, while both live.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::load::{self, Churn, Load};
use super::programs::{self, Empty, ProgramStatistics};
use super::statistics::{median, quantile};
use super::subject::Subject;
use super::table::{Row, megabytes, milliseconds, nanoseconds, percent};
use super::{Bench, metrics};

const WITH: &str = "--collector.network";
const WITHOUT: &str = "--no-collector.network";
const PAIRS: usize = 40;
const CONNECTS: u32 = 4000;
const ROUND_TRIPS: u32 = 20_000;
/// Both ends of half as many connections.
const SOCKETS: u32 = 10_000;
const PROCESSES: u32 = 1000;
const SCRAPES: usize = 10;
const REST: Duration = Duration::from_secs(1);
const CONNECT_MOST_NS: f64 = 1000.0;
const SOCKET_MOST_NS: f64 = 400.0;

pub(super) fn cost(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = rounds(bench)?;
    rows.push(hooks(bench)?);
    rows.extend(sockets(bench)?);
    Ok(rows)
}

/// The loads of one round.
struct Round {
    round_trips: Churn,
    connects: Churn,
}

/// Pairs of rounds with and without, in changing order.
fn rounds(bench: &Bench) -> Result<Vec<Row>> {
    let round = |flag: &str| -> Result<Round> {
        let _agent = bench.start_agent(&[flag])?;
        Ok(Round {
            round_trips: load::round_trips(ROUND_TRIPS)?,
            connects: load::connects(CONNECTS)?,
        })
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let mut order = [(WITH, &mut with), (WITHOUT, &mut without)];
        if pair % 2 == 1 {
            order.reverse();
        }
        for (flag, rounds) in order {
            rounds.push(round(flag)?);
        }
    }
    let compared = |of: fn(&Round) -> f64| Compared {
        with: with.iter().map(of).collect(),
        without: without.iter().map(of).collect(),
    };
    let mut rows = Vec::new();
    for (what, of) in [
        (
            "CPU",
            (|round| round.round_trips.cpu_ns) as fn(&Round) -> f64,
        ),
        ("wall", |round| round.round_trips.wall_ns),
    ] {
        let compared = compared(of);
        let rises = compared.rises();
        let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(&rises, share));
        let each = nanoseconds(median(&compared.without) / f64::from(ROUND_TRIPS));
        let shown = format!(
            "{} (quartiles {}, {})",
            percent(middle),
            percent(low),
            percent(high)
        );
        let name = format!("slow-down of 1 byte to and fro over loopback, {what} ({each} without)");
        rows.push(compared.behind(Row::new(name, shown).target("a quartile ≤ 0 %", low <= 0.0)));
    }
    for (what, of) in [
        ("CPU", (|round| round.connects.cpu_ns) as fn(&Round) -> f64),
        ("wall", |round| round.connects.wall_ns),
    ] {
        let compared = compared(of);
        let without_ns = median(&compared.without) / f64::from(CONNECTS);
        let rises = compared.rises();
        let [low, middle, high] =
            [0.25, 0.5, 0.75].map(|share| quantile(&rises, share) * without_ns);
        let shown = format!("{middle:+.0} ns (quartiles {low:+.0}, {high:+.0})");
        let each = nanoseconds(without_ns);
        let name = format!("connect, accept and close, both ends, {what} ({each} without)");
        let row = Row::new(name, shown).target("≤ 1,000 ns", middle <= CONNECT_MOST_NS);
        rows.push(compared.behind(row));
    }
    Ok(rows)
}

/// Figures of pairs of rounds.
struct Compared {
    with: Vec<f64>,
    without: Vec<f64>,
}

impl Compared {
    /// By which share the one is above the other, pair by pair.
    fn rises(&self) -> Vec<f64> {
        let pairs = self.with.iter().zip(&self.without);
        pairs.map(|(with, without)| with / without - 1.0).collect()
    }

    fn behind(&self, row: Row) -> Row {
        row.of("with", &self.with).of("without", &self.without)
    }
}

/// Time of the programs that run in the life of a connection, less that of empty ones. They make the storage of the client's
/// socket; the kernel copies the listener's and frees both outside of them.
fn hooks(bench: &Bench) -> Result<Row> {
    let _statistics = ProgramStatistics::enable()?;
    let agent = bench.start_agent(&[WITH])?;
    let empty = Empty::attach()?;
    load::connects(CONNECTS)?;
    let connections = f64::from(CONNECTS + CONNECTS / 10);
    let empty_ns = empty.counted()?.each_ns();
    let (mut ns, mut runs) = (0.0, 0.0);
    for program in programs::of_process(agent.pid())? {
        if matches!(program.name.as_str(), "sock_state" | "sock_destroy") {
            ns += program.time_ns - program.runs * empty_ns;
            runs += program.runs;
        }
    }
    let shown = format!(
        "{} in {:.1} runs (an empty program: {})",
        nanoseconds(ns / connections),
        runs / connections,
        nanoseconds(empty_ns)
    );
    Ok(Row::new(
        "of that, in the kernel programs; tcptop and Beyla as they publish it: 1300 ns and 500 ns an event",
        shown,
    ))
}

/// CPU of scrapes by an agent with and by one without network accounting, in turns.
#[derive(Default)]
struct Scrapes {
    with: Vec<f64>,
    without: Vec<f64>,
    /// The next scrape of the one with, so soon that it does not look at files if that took a few milliseconds.
    soon: Vec<f64>,
}

impl Scrapes {
    /// Before each such scrape of the agent that counts, the sockets of `busy` carry a byte each.
    fn take(subjects: &[Subject; 2], mut busy: Option<&mut Load>) -> Result<Self> {
        let mut scrapes = Self::default();
        // The first ones of a load find processes and sockets that later ones know.
        for n in 0..=SCRAPES {
            if let Some(load) = busy.as_deref_mut() {
                load.exchange()?;
            }
            // A look at the files of all processes is due again, as at scrapes that are seconds apart.
            std::thread::sleep(REST);
            let [with, soon, without] = [0, 0, 1].map(|n| subjects[n].scrape());
            if n > 0 {
                scrapes.with.push(with?.cpu_ns);
                scrapes.soon.push(soon?.cpu_ns);
                scrapes.without.push(without?.cpu_ns);
            }
        }
        Ok(scrapes)
    }

    fn rise(&self) -> f64 {
        median(&self.with) - median(&self.without)
    }
}

/// What living sockets cost at a scrape, and their memory.
fn sockets(bench: &Bench) -> Result<Vec<Row>> {
    let _node = Load::start(&[&format!("idle={PROCESSES}")])?;
    let kinds = format!("sockets={SOCKETS}");
    let growth = || -> Result<(Load, f64)> {
        let before = slab_bytes()?;
        let load = Load::start(&[&kinds])?;
        Ok((load, slab_bytes()? - before))
    };
    let (load, plain_bytes) = growth()?;
    drop(load);
    let start = |flag| bench.start_agent(&[flag, "-gather-smaps=false"]);
    let subjects = [start(WITH)?, start(WITHOUT)?];
    let none = Scrapes::take(&subjects, None)?;
    let (mut load, counted_bytes) = growth()?;
    let idle = Scrapes::take(&subjects, None)?;
    let busy = Scrapes::take(&subjects, Some(&mut load))?;
    let open = metrics::sum(
        &subjects[0].fetch("/metrics")?,
        "namedprocess_namegroup_tcp_sockets",
    );
    ensure!(
        open >= f64::from(SOCKETS),
        "only {open} of {SOCKETS} sockets were seen: nothing to compare"
    );
    let [with, without] = [subjects[0].memory()?, subjects[1].memory()?];

    let shown = format!(
        "{} (without: {})",
        milliseconds(none.rise()),
        milliseconds(median(&none.without))
    );
    let mut rows = vec![
        Row::new(
            format!("CPU of a scrape, more beside {PROCESSES} processes without sockets"),
            shown,
        )
        .of("with", &none.with)
        .of("without", &none.without),
    ];
    for (what, scrapes) in [("idle", &idle), ("have all carried a byte", &busy)] {
        let each_ns = (scrapes.rise() - none.rise()) / f64::from(SOCKETS);
        let name = format!("CPU of a scrape, each of {SOCKETS} sockets, {what}");
        rows.push(
            Row::new(name, nanoseconds(each_ns))
                .of("with", &scrapes.with)
                .of("without", &scrapes.without)
                .target("≤ 400 ns", each_ns <= SOCKET_MOST_NS),
        );
    }
    let look_ns = median(&idle.with) - median(&idle.soon);
    rows.push(
        Row::new(
            "of that, the look at all files, idle",
            milliseconds(look_ns),
        )
        .of("without it", &idle.soon),
    );
    let each = (counted_bytes - plain_bytes) / f64::from(SOCKETS);
    rows.push(Row::new(
        "memory of the kernel, each socket",
        format!("{each:.0} bytes"),
    ));
    let shown = format!(
        "{} (without: {})",
        megabytes(with.now_bytes),
        megabytes(without.now_bytes)
    );
    rows.push(Row::new(
        format!("RSS of the agent beside {SOCKETS} sockets"),
        shown,
    ));
    Ok(rows)
}

/// Memory of the kernel in objects of no type of their own, as those of a socket's storage.
fn slab_bytes() -> Result<f64> {
    const PATH: &str = "/proc/slabinfo";
    let text = std::fs::read_to_string(PATH).with_context(|| format!("read {PATH}"))?;
    let bytes = |line: &str| -> Option<f64> {
        let mut words = line.strip_prefix("kmalloc-")?.split_whitespace().skip(1);
        let objects: f64 = words.next()?.parse().ok()?;
        Some(objects * words.nth(1)?.parse::<f64>().ok()?)
    };
    Ok(text.lines().filter_map(bytes).sum())
}
