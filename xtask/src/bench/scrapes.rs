//! What scrapes cost: sections `scrape`, `growth`, `threads`, `flags` and `threaded`.

use anyhow::{Result, bail, ensure};

use super::Bench;
use super::load::Load;
use super::metrics;
use super::statistics::{median, quantile, slope};
use super::subject::Subject;
use super::table::{Row, megabytes, milliseconds, nanoseconds};

const IDLE: u32 = 5000;
const BUSY: u32 = 50;
/// Of the busy node: each is four scrapes of ours, one of the peer, one of the peer without threads.
const ROUNDS: usize = 15;

/// Fewer than this wait for a reading of their proportional memory: those that always run.
const SMAPS_BUSY: f64 = 100.0;

/// What both are compared by, but where the section says otherwise: proportional memory costs by size, not by number.
const CORE: &[&str] = &["-gather-smaps=false"];

/// The scrapes of one program.
#[derive(Debug, Default)]
struct Series {
    cpu_ns: Vec<f64>,
    wall_ns: Vec<f64>,
}

impl Series {
    /// One more; it must have seen `processes` at least.
    fn add(&mut self, subject: &Subject, processes: u32) -> Result<()> {
        let scrape = subject.scrape()?;
        let seen = metrics::sum(&scrape.body, "namedprocess_namegroup_num_procs");
        ensure!(
            seen >= f64::from(processes),
            "only {seen} of {processes} processes were seen: nothing to compare"
        );
        self.cpu_ns.push(scrape.cpu_ns);
        self.wall_ns.push(scrape.wall_ns);
        Ok(())
    }

    fn of(subject: &Subject, processes: u32, count: usize) -> Result<Self> {
        settle(subject)?;
        let mut series = Self::default();
        for _ in 0..count {
            series.add(subject, processes)?;
        }
        Ok(series)
    }

    fn cpu(&self) -> f64 {
        median(&self.cpu_ns)
    }
}

/// The first scrapes are of another kind: they read what later ones know, proportional memory little by little.
fn settle(subject: &Subject) -> Result<()> {
    const MOST: usize = 200;
    for _ in 0..MOST {
        let body = subject.scrape()?.body;
        let waiting = metrics::sum(&body, "headcount_smaps_waiting");
        if waiting < SMAPS_BUSY {
            return Ok(());
        }
    }
    bail!("proportional memory is still being read after {MOST} scrapes")
}

/// Both programs on a node with many idle and some busy processes.
pub(super) fn busy_node(bench: &Bench) -> Result<Vec<Row>> {
    let _load = Load::start(&[&format!("idle={IDLE}"), &format!("busy={BUSY}")])?;
    let processes = IDLE + BUSY;
    let agent = bench.start_agent(CORE)?;
    let started = agent.memory()?;
    let peer = bench.start_peer(CORE)?;
    let plain = bench.start_peer(&["-threads=false", "-gather-smaps=false"])?;
    for subject in [&agent, &peer, &plain] {
        settle(subject)?;
    }
    let [mut ours, mut theirs, mut without] = [(); 3].map(|()| Series::default());
    for _ in 0..ROUNDS {
        for _ in 0..2 {
            ours.add(&agent, processes)?;
        }
        theirs.add(&peer, processes)?;
        for _ in 0..2 {
            ours.add(&agent, processes)?;
        }
        without.add(&plain, processes)?;
    }
    let (after, peers) = (agent.memory()?, peer.memory()?);

    let ratio = ours.cpu() / theirs.cpu();
    let beside = |row: Row, mine: f64, other: f64| row.beside(milliseconds(other), mine / other);
    let wall = |share| {
        (
            quantile(&ours.wall_ns, share),
            quantile(&theirs.wall_ns, share),
        )
    };
    let mut rows = vec![
        beside(
            Row::new("CPU per scrape", milliseconds(ours.cpu())),
            ours.cpu(),
            theirs.cpu(),
        )
        .target("≤ 1/100, aim 1/200", ratio <= 0.01),
        beside(
            Row::new(
                "CPU per scrape, its -threads=false",
                milliseconds(ours.cpu()),
            ),
            ours.cpu(),
            without.cpu(),
        ),
    ];
    for (name, share) in [("wall p50", 0.5), ("wall p99", 0.99)] {
        let (mine, other) = wall(share);
        rows.push(beside(Row::new(name, milliseconds(mine)), mine, other));
    }
    rows.extend([
        Row::new("RSS after start", megabytes(started.now_bytes))
            .target("≤ 12 MB", started.now_bytes <= 12_000_000),
        Row::new("peak RSS at start", megabytes(started.peak_bytes))
            .target("≤ 48 MB", started.peak_bytes <= 48_000_000),
        Row::new("RSS after all scrapes", megabytes(after.now_bytes)).beside(
            megabytes(peers.now_bytes),
            after.now_bytes as f64 / peers.now_bytes as f64,
        ),
    ]);
    Ok(rows)
}

/// Scrapes of more and more idle processes.
pub(super) fn growth(bench: &Bench) -> Result<Vec<Row>> {
    const MOST: u32 = 10_000;
    let mut rows = Vec::new();
    let mut points = Vec::new();
    for count in [1000, 5000, MOST] {
        let _load = Load::start(&[&format!("idle={count}")])?;
        let ours = Series::of(&bench.start_agent(CORE)?, count, 20)?.cpu();
        let theirs = Series::of(&bench.start_peer(CORE)?, count, 3)?.cpu();
        let name = format!("CPU per scrape, {count} processes");
        let row = Row::new(name, milliseconds(ours)).beside(milliseconds(theirs), ours / theirs);
        rows.push(if count == MOST {
            row.target("≤ 15 ms", ours <= 15e6)
        } else {
            row
        });
        points.push((f64::from(count), ours));
    }
    let slope = slope(&points);
    let row = Row::new("CPU per scrape and process (slope)", nanoseconds(slope));
    rows.push(row.target("≤ 1,000 ns", slope <= 1000.0));
    Ok(rows)
}

/// One process of many threads.
pub(super) fn threads(bench: &Bench) -> Result<Vec<Row>> {
    let _load = Load::start(&["threads=10000"])?;
    let ours = Series::of(&bench.start_agent(CORE)?, 1, 20)?.cpu();
    let theirs = Series::of(&bench.start_peer(CORE)?, 1, 3)?.cpu();
    let row = Row::new("CPU per scrape, 10,000 threads", milliseconds(ours));
    Ok(vec![row.beside(milliseconds(theirs), ours / theirs)])
}

/// What showing threads and proportional memory adds, for idle processes.
pub(super) fn flags(bench: &Bench) -> Result<Vec<Row>> {
    const COUNT: u32 = 1000;
    let _load = Load::start(&[&format!("idle={COUNT}")])?;
    compare_flags(bench, COUNT, "1,000 processes")
}

/// The same for processes of several threads.
pub(super) fn threaded(bench: &Bench) -> Result<Vec<Row>> {
    const COUNT: u32 = 300;
    let _load = Load::start(&[&format!("threaded={COUNT}")])?;
    compare_flags(bench, COUNT, "300 processes of 20 threads")
}

fn compare_flags(bench: &Bench, count: u32, node: &str) -> Result<Vec<Row>> {
    const BARE: &[&str] = &["-threads=false", "-gather-smaps=false"];
    let ways: [(&str, &[&str]); 4] = [
        ("bare", BARE),
        ("-threads", &["-gather-smaps=false"]),
        ("-gather-smaps", &["-threads=false"]),
        ("both", &[]),
    ];
    let mut bare = f64::INFINITY;
    let mut rows = Vec::new();
    for (way, arguments) in ways {
        let ours = Series::of(&bench.start_agent(arguments)?, count, 20)?.cpu();
        let theirs = Series::of(&bench.start_peer(arguments)?, count, 3)?.cpu();
        let name = format!("CPU per scrape, {node}, {way}");
        let row = Row::new(name, milliseconds(ours)).beside(milliseconds(theirs), ours / theirs);
        if arguments == BARE {
            bare = ours;
            rows.push(row);
        } else {
            rows.push(row.target("≤ 2 times the bare one", ours <= 2.0 * bare));
        }
    }
    Ok(rows)
}
