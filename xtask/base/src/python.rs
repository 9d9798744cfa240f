//! Python packages of PyPI, each set in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use crate::{command, workspace};

/// The servers of HTTP with all that they need.
const SERVERS: &[&str] = &[
    "click==8.5.1",
    "gevent==26.9.0",
    "granian==2.8.9",
    "greenlet==3.5.6",
    "gunicorn==27.0.1",
    "h11==0.16.0",
    "httptools==0.9.0",
    "packaging==26.4",
    "uvicorn==0.54.0",
    "uvicorn-worker==0.4.0",
    "zope.event==6.2",
    "zope.interface==8.7",
];

/// The folder of an environment with the servers of HTTP.
pub fn servers() -> Result<PathBuf> {
    environment(
        &workspace::target_dir().join("requests"),
        SERVERS,
        "http: fetch Gunicorn, Uvicorn and Granian of PyPI, about 20 MB",
    )
}

/// A program of PyPI, in an environment of its own.
pub fn program(name: &str, version: &str) -> Result<PathBuf> {
    let package = format!("{name}=={version}");
    let announcement = format!("fetch {package} of PyPI, 8 MB");
    let environment = environment(&workspace::tools().join(name), &[&package], &announcement)?;
    Ok(environment.join("bin").join(name))
}

/// The folder `python` in `folder`: an environment with these packages, and those that pip adds for them. It is made anew if the
/// list has changed, or if it could not be completed.
pub fn environment(folder: &Path, packages: &[&str], announcement: &str) -> Result<PathBuf> {
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
    fs::write(&installed, wanted)?;
    Ok(environment)
}
