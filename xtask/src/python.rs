//! Python packages of PyPI, each set in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// The folder `python` in `folder`: an environment with these packages, and what pip says that they need. It is made anew if the
/// list has changed, or if it could not be completed.
pub(crate) fn environment(folder: &Path, packages: &[&str], announcement: &str) -> Result<PathBuf> {
    let (environment, installed) = (folder.join("python"), folder.join("installed"));
    let wanted = packages.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(environment);
    }
    println!("{announcement}");
    let mut venv = Command::new("python3");
    command::read(venv.args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut pip = Command::new(environment.join("bin/pip"));
    command::read(pip.args(["install", "--quiet"]).args(packages))?;
    fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))?;
    Ok(environment)
}
