//! Measures the agent while no client asks: section `idle`.

use std::time::Duration;

use anyhow::Result;

use super::table::{Row, milliseconds};
use super::{Bench, metrics};

/// Time until the start-up self-test is over.
const SETTLE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// Both programs, for a minute without a request.
pub(super) fn minute(bench: &Bench) -> Result<Vec<Row>> {
    let (agent, peer) = (bench.start_agent(&[])?, bench.start_peer(&[])?);
    let execs = |body: &str| metrics::sum(body, "headcount_kernel_execs_total");
    std::thread::sleep(SETTLE);
    let before_execs = execs(&agent.scrape()?.body);
    peer.scrape()?;
    let before = (agent.cpu_ns()?, peer.cpu_ns()?);
    std::thread::sleep(MINUTE);
    let (ours, theirs) = (agent.cpu_ns()? - before.0, peer.cpu_ns()? - before.1);
    let execs = execs(&agent.scrape()?.body) - before_execs;
    let name = format!("CPU in 60 s without scrapes ({execs} execs on the machine)");
    let row = Row::new(name, milliseconds(ours)).beside(milliseconds(theirs), ours / theirs);
    Ok(vec![row.target("≤ 5 ms", ours <= 5e6)])
}
