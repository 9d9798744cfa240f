//! Measures a scrape if `/proc` is the only source and only few processes are tracked: section `few`.
//!
//! This is the node of most users of Compose: a container without the rights for kernel programs, a few services of interest, and
//! some hundred processes that are in no group.

use anyhow::{Context as _, Result};

use super::Bench;
use super::load::Load;
use super::scrapes::{Series, beside, settle};

/// Idle processes with 50 names, so that one in fifty is tracked…
const IDLE: u32 = 250;
/// …and processes with the same names and 20 threads each, of which one is tracked.
const THREADED: u32 = 10;
const TRACKED: u32 = IDLE / 50 + 1;
const ROUNDS: usize = 40;
/// Target: largest share of the peer's CPU that the agent may use.
const SHARE: f64 = 0.8;

const CONFIG: &str = "process_names:\n  - name: \"{{.Comm}}\"\n    comm:\n    - bench-idle-0\n";

/// Both programs, in turns.
pub(super) fn tracked(bench: &Bench) -> Result<Vec<super::Row>> {
    let config = bench.folder.join("few.yaml");
    std::fs::write(&config, CONFIG).with_context(|| format!("write {}", config.display()))?;
    let config = format!("-config.path={}", config.display());
    let kinds = [format!("idle={IDLE}"), format!("threaded={THREADED}")];
    let _load = Load::start(&kinds.each_ref().map(String::as_str))?;
    let shared = [config.as_str(), "-threads=false", "-gather-smaps=false"];
    let agent = bench.start_agent(&[&shared[..], &["--accounting=procfs"]].concat())?;
    let peer = bench.start_peer(&shared)?;
    settle(&agent)?;
    settle(&peer)?;
    let [mut ours, mut theirs] = [(); 2].map(|()| Series::default());
    for _ in 0..ROUNDS {
        ours.add(&agent, TRACKED)?;
        theirs.add(&peer, TRACKED)?;
    }
    let processes = IDLE + THREADED;
    let name = format!("CPU per scrape, {TRACKED} of {processes} processes tracked");
    let row = beside(&name, &ours, &theirs);
    let is_met = ours.cpu() <= SHARE * theirs.cpu();
    Ok(vec![row.target("≤ 0.8 of process-exporter's", is_met)])
}
