//! What a scrape costs where `/proc` is the only source and few of the processes are tracked: section `few`.
//!
//! It is the node of most users of Compose: a container without the rights for kernel programs, a handful of services that
//! matter, and some hundred processes that are in no group.

use anyhow::{Context as _, Result};

use super::Bench;
use super::load::Load;
use super::scrapes::{Series, beside, settle};

/// 50 names, so a fiftieth of these is tracked…
const IDLE: u32 = 250;
/// …and one of these, which have the same names, and 20 threads each.
const THREADED: u32 = 10;
const TRACKED: u32 = IDLE / 50 + 1;
const ROUNDS: usize = 40;
/// What the agent may take of the peer's CPU.
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
