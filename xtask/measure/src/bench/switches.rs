//! Measures the cost of a task switch with kernel programs attached to it: section `switches`.

use anyhow::Result;

use super::Bench;
use super::load::{self, Churn};
use super::programs::{self, Empty, Program, ProgramStatistics};
use super::statistics::{median, quantile};
use super::subject::Subject;
use super::table::{Row, nanoseconds, percent};

/// Round trips between two processes on one CPU, two switches each.
const ROUND_TRIPS: u32 = 100_000;
const PAIRS: usize = 12;
const TIER: &str = "--accounting=switch";
const RUN_QUEUE: &str = "--collector.runqueue";
const TIER_MOST_NS: f64 = 60.0;
const RUN_QUEUE_MOST_NS: f64 = 100.0;

/// Time of the programs that run at switches, less that of an empty one, and the slow-down of a ping-pong.
pub(super) fn cost(bench: &Bench) -> Result<Vec<Row>> {
    let typed = bench.start_agent(&[TIER])?;
    let mut rows = vec![in_programs(&typed, TIER, "task_switch", TIER_MOST_NS)?.target()];
    drop(typed);
    let traced = bench.start_agent_without_types(&[TIER])?;
    let name = format!("{TIER} without BTF");
    rows.push(in_programs(&traced, &name, "trace_switch", TIER_MOST_NS)?.target());
    drop(traced);
    rows.extend(slow_down(bench, &[TIER])?);
    if bench.knows_flag(RUN_QUEUE)? {
        let agent = bench.start_agent(&[RUN_QUEUE])?;
        let run_queue = in_programs(&agent, RUN_QUEUE, "runqueue_", RUN_QUEUE_MOST_NS)?;
        drop(agent);
        let name = "Kepler's and rezolus' for the same, as they publish it";
        rows.extend([
            run_queue.target(),
            Row::new(name, "1400 ns, 400 ns".to_owned()),
        ]);
        rows.extend(slow_down(bench, &[RUN_QUEUE])?);
    }
    Ok(rows)
}

/// Time of the programs in one switch.
struct PerSwitch {
    name: String,
    ns: f64,
    empty_ns: f64,
    most_ns: f64,
}

impl PerSwitch {
    fn target(self) -> Row {
        let Self {
            name,
            ns,
            empty_ns,
            most_ns,
        } = self;
        let shown = format!(
            "{} (an empty program: {})",
            nanoseconds(ns),
            nanoseconds(empty_ns)
        );
        Row::new(name, shown).target(&format!("≤ {most_ns} ns"), ns <= most_ns)
    }
}

/// Time in the programs of `agent`, configured as `name` says, whose names start with `prefix`.
fn in_programs(agent: &Subject, name: &str, prefix: &str, most_ns: f64) -> Result<PerSwitch> {
    let _statistics = ProgramStatistics::enable()?;
    let empty = Empty::attach()?;
    let before = counted(agent, prefix)?;
    load::ping_pong(ROUND_TRIPS)?;
    let ran: Vec<Program> = counted(agent, prefix)?
        .into_iter()
        .map(|program| since(program, &before))
        .collect();
    let empty = empty.counted()?;
    // The kernel times each run, which costs as much as the empty program shows. A program that runs less often than there are
    // switches counts as often as it ran.
    let net_ns = |program: &Program| program.time_ns - program.runs * empty.each_ns();
    let ns = ran.iter().map(net_ns).sum::<f64>() / empty.runs;
    let names: Vec<&str> = ran.iter().map(|program| program.name.as_str()).collect();
    Ok(PerSwitch {
        name: format!("time per switch, {name}: {}", names.join(", ")),
        ns,
        empty_ns: empty.each_ns(),
        most_ns,
    })
}

fn counted(agent: &Subject, prefix: &str) -> Result<Vec<Program>> {
    let mut programs = programs::of_process(agent.pid())?;
    programs.retain(|program| program.name.starts_with(prefix));
    Ok(programs)
}

fn since(program: Program, before: &[Program]) -> Program {
    match before.iter().find(|other| other.name == program.name) {
        Some(before) => Program {
            runs: program.runs - before.runs,
            time_ns: program.time_ns - before.time_ns,
            ..program
        },
        None => program,
    }
}

/// Pairs of ping-pongs beside an agent with programs at switches and one without, in changing order.
fn slow_down(bench: &Bench, arguments: &[&str]) -> Result<Vec<Row>> {
    let stretch = |arguments: &[&str]| -> Result<Churn> {
        let _agent = bench.start_agent(arguments)?;
        load::ping_pong(ROUND_TRIPS)
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let mut order: [(&[&str], &mut Vec<Churn>); 2] = [
            (arguments, &mut with),
            (&["--accounting=procfs"], &mut without),
        ];
        if pair % 2 == 1 {
            order.reverse();
        }
        for (arguments, stretches) in order {
            stretches.push(stretch(arguments)?);
        }
    }
    let row = |what: &str, of: fn(&Churn) -> f64| {
        let [with, without] =
            [&with, &without].map(|stretches| -> Vec<f64> { stretches.iter().map(of).collect() });
        let pairs = with.iter().zip(&without);
        let rises: Vec<f64> = pairs.map(|(with, without)| with / without - 1.0).collect();
        let [low, high] = [0.25, 0.75].map(|share| percent(quantile(&rises, share)));
        let shown = format!("{} (quartiles {low}, {high})", percent(median(&rises)));
        let each = nanoseconds(median(&without) / f64::from(2 * ROUND_TRIPS));
        let flags = arguments.join(" ");
        let name = format!("slow-down of a ping-pong, {what}, {flags} ({each} a switch without)");
        Row::new(name, shown)
            .of("with", &with)
            .of("without", &without)
    };
    Ok(vec![
        row("CPU", |churn| churn.cpu_ns),
        row("wall", |churn| churn.wall_ns),
    ])
}
