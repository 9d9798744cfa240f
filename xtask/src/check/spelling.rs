//! The spelling of all texts of the tree, by typos; `typos.toml` has the words that it does not know.

use std::process::Command;

use anyhow::Result;

use crate::{python, workspace};

const PINNED: &str = "typos==1.52.0";

pub(super) fn spelling() -> Result<Command> {
    let folder = workspace::target_dir().join("tools/typos");
    let announcement = format!("check: fetch {PINNED}, 8 MB");
    let environment = python::environment(&folder, &[PINNED], &announcement)?;
    let mut typos = Command::new(environment.join("bin/typos"));
    typos
        .args(["--format", "brief"])
        .current_dir(workspace::root());
    Ok(typos)
}
