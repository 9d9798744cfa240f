//! Measures scrapes: sections `scrape`, `growth`, `bare`, `threads`, `flags` and `threaded`.

use anyhow::{Result, bail, ensure};

use super::load::Load;
use super::replay::{self, Bare};
use super::statistics::{median, quantile, slope};
use super::subject::Subject;
use super::table::{Row, megabytes, milliseconds, nanoseconds};
use super::{Bench, metrics};

const IDLE: u32 = 5000;
const BUSY: u32 = 50;
/// Number of processes at which the programs' growth is compared.
const MOST: u32 = 10_000;
/// Rounds on the busy node: each has four scrapes of the agent, one of the peer, and one of the peer without threads.
const ROUNDS: usize = 15;

/// Fewer processes than this wait for a reading of their proportional memory once readings have caught up: those that always run.
const SMAPS_BUSY: f64 = 100.0;

/// Flags of both programs, unless a section says otherwise: the cost of proportional memory depends on its size, not on the
/// number of processes.
const CORE: &[&str] = &["-gather-smaps=false"];

/// The scrapes of one program.
#[derive(Debug, Default)]
pub(super) struct Series {
    cpu_ns: Vec<f64>,
    wall_ns: Vec<f64>,
}

impl Series {
    /// Adds one scrape, which must have seen at least `processes`. Returns the length of its body.
    pub(super) fn add(&mut self, subject: &Subject, processes: u32) -> Result<usize> {
        let scrape = subject.scrape()?;
        let seen = scrape.processes;
        ensure!(
            seen >= f64::from(processes),
            "only {seen} of {processes} processes were seen: nothing to compare"
        );
        self.cpu_ns.push(scrape.cpu_ns);
        self.wall_ns.push(scrape.wall_ns);
        Ok(scrape.body.len())
    }

    fn of(subject: &Subject, processes: u32, count: usize) -> Result<Self> {
        settle(subject)?;
        let mut series = Self::default();
        for _ in 0..count {
            series.add(subject, processes)?;
        }
        Ok(series)
    }

    pub(super) fn cpu(&self) -> f64 {
        median(&self.cpu_ns)
    }
}

/// Makes the first scrapes, which are not measured: they read facts that later ones know, and proportional memory in small parts.
pub(super) fn settle(subject: &Subject) -> Result<()> {
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
        .of("headcount", &ours.cpu_ns)
        .of("process-exporter", &theirs.cpu_ns)
        .target("≤ 1/100, aim 1/200", ratio <= 0.01),
        beside(
            Row::new(
                "CPU per scrape, its -threads=false",
                milliseconds(ours.cpu()),
            ),
            ours.cpu(),
            without.cpu(),
        )
        .of("process-exporter", &without.cpu_ns),
    ];
    for (name, share) in [("wall p50", 0.5), ("wall p99", 0.99)] {
        let (mine, other) = wall(share);
        rows.push(beside(Row::new(name, milliseconds(mine)), mine, other));
    }
    if let Some(row) = rows.last_mut() {
        *row = std::mem::take(row)
            .of("headcount", &ours.wall_ns)
            .of("process-exporter", &theirs.wall_ns);
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

/// Scrapes of more and more idle processes, by all three programs.
pub(super) fn growth(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut points: [Vec<(f64, f64)>; 3] = Default::default();
    for count in [100, 1000, 5000, MOST] {
        let _load = Load::start(&[&format!("idle={count}")])?;
        let all = [
            Series::of(&bench.start_agent(CORE)?, count, 20)?,
            Series::of(&bench.start_peer(CORE)?, count, 3)?,
            Series::of(&bench.start_node_exporter()?, count, 5)?,
        ];
        for (points, series) in points.iter_mut().zip(&all) {
            points.push((f64::from(count), series.cpu()));
        }
        let target = (count == MOST).then_some(("≤ 15 ms", 15e6));
        rows.extend(compared(count, &all, target));
    }
    let [ours, theirs, nodes] = points.map(|points| slope(&points));
    let row = Row::new("CPU per scrape and process (slope)", nanoseconds(ours))
        .beside(nanoseconds(theirs), ours / theirs)
        .beside_node(nanoseconds(nodes), ours / nodes);
    rows.push(row.target("≤ 1,000 ns", ours <= 1000.0));
    Ok(rows)
}

/// CPU and wall time of a scrape by the three programs, and the target of the first.
fn compared(count: u32, all: &[Series; 3], target: Option<(&str, f64)>) -> [Row; 2] {
    let row = |what: &str, times: fn(&Series) -> &[f64]| {
        let [ours, theirs, nodes] = [0, 1, 2].map(|n: usize| median(times(&all[n])));
        Row::new(
            format!("{what} per scrape, {count} processes"),
            milliseconds(ours),
        )
        .beside(milliseconds(theirs), ours / theirs)
        .beside_node(milliseconds(nodes), ours / nodes)
        .of("headcount", times(&all[0]))
        .of("process-exporter", times(&all[1]))
        .of("node_exporter", times(&all[2]))
    };
    let cpu = row("CPU", |series| &series.cpu_ns);
    let cpu = match target {
        Some((target, most_ns)) => cpu.target(target, all[0].cpu() <= most_ns),
        None => cpu,
    };
    [cpu, row("wall", |series| &series.wall_ns)]
}

/// The agent beside a program that reads the task iterator and writes as many bytes, in turns.
pub(super) fn bare(bench: &Bench) -> Result<Vec<Row>> {
    const ROUNDS: usize = 30;
    let _load = Load::start(&[&format!("idle={MOST}")])?;
    let agent = bench.start_agent(CORE)?;
    let mut bare = Bare::start(&replay::build()?)?;
    settle(&agent)?;
    let mut ours = Series::default();
    let mut least = Vec::new();
    for _ in 0..ROUNDS {
        let body_bytes = ours.add(&agent, MOST)?;
        least.push(bare.scrape(body_bytes)?);
    }
    let (mine, other) = (ours.cpu(), median(&least));
    let name = format!("CPU per scrape, {MOST} processes");
    let row = Row::new(&name, milliseconds(mine)).of("headcount", &ours.cpu_ns);
    let name = "the same, only reading the task iterator and writing as many bytes";
    let least = Row::new(name, milliseconds(other)).of("bare", &least);
    let share = Row::new("times the bare one", format!("{:.2}", mine / other));
    Ok(vec![row, least, share.target("≤ 2", mine <= 2.0 * other)])
}

/// A scrape of one process with many threads.
pub(super) fn threads(bench: &Bench) -> Result<Vec<Row>> {
    let _load = Load::start(&["threads=10000"])?;
    let ours = Series::of(&bench.start_agent(CORE)?, 1, 20)?;
    let theirs = Series::of(&bench.start_peer(CORE)?, 1, 3)?;
    Ok(vec![beside(
        "CPU per scrape, 10,000 threads",
        &ours,
        &theirs,
    )])
}

/// Additional cost of showing threads and proportional memory, for idle processes.
pub(super) fn flags(bench: &Bench) -> Result<Vec<Row>> {
    const COUNT: u32 = 1000;
    let _load = Load::start(&[&format!("idle={COUNT}")])?;
    compare_flags(bench, COUNT, "1,000 processes")
}

/// Additional cost of the same flags for processes with several threads.
pub(super) fn threaded(bench: &Bench) -> Result<Vec<Row>> {
    const COUNT: u32 = 300;
    let _load = Load::start(&[&format!("threaded={COUNT}")])?;
    compare_flags(bench, COUNT, "300 processes of 20 threads")
}

/// CPU per scrape of both programs, with the values behind it.
pub(super) fn beside(name: &str, ours: &Series, theirs: &Series) -> Row {
    let ratio = ours.cpu() / theirs.cpu();
    Row::new(name, milliseconds(ours.cpu()))
        .beside(milliseconds(theirs.cpu()), ratio)
        .of("headcount", &ours.cpu_ns)
        .of("process-exporter", &theirs.cpu_ns)
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
        let ours = Series::of(&bench.start_agent(arguments)?, count, 20)?;
        let theirs = Series::of(&bench.start_peer(arguments)?, count, 3)?;
        let row = beside(&format!("CPU per scrape, {node}, {way}"), &ours, &theirs);
        if arguments == BARE {
            bare = ours.cpu();
            rows.push(row);
        } else {
            rows.push(row.target("≤ 2 times the bare one", ours.cpu() <= 2.0 * bare));
        }
    }
    Ok(rows)
}
