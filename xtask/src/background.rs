//! A verb that runs beside others, in the time that they leave.
//!
//! In come its arguments. Out come its effects; its output is in a file below `target/background`. It and the programs that it
//! starts get a core only while no other program wants one (`SCHED_IDLE`).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};
use fs_err::{self as fs, File};

use crate::{command, workspace};

#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    what: String,
    log: PathBuf,
}

impl Background {
    /// Starts this program with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let folder = workspace::target_dir().join("background");
        fs::create_dir_all(&folder)?;
        let log = folder.join(format!("{}.log", arguments.join("")));
        let output = File::create(&log)?.into_file();
        let mut this = Command::new("chrt");
        this.args(["--idle", "0"])
            .arg(std::env::current_exe().context("find this program")?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        println!("+ {} > {} &", command::show(&this), log.display());
        let child = this.spawn();
        let child = child.with_context(|| format!("start {}", command::show(&this)))?;
        Ok(Self {
            child,
            what: arguments.join(" "),
            log,
        })
    }

    /// Waits for its end. A failure is printed and is no error: a stage that needs the result makes it.
    pub(crate) fn finish(mut self) {
        let begun = Instant::now();
        let succeeded = self.child.wait().is_ok_and(|status| status.success());
        let result = match succeeded {
            true => "is done".to_owned(),
            false => format!("FAILED, see {}", self.log.display()),
        };
        let (what, waited) = (self.what, begun.elapsed().as_secs());
        println!("background: {what} {result}; waited {waited} s for it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This program is that of the tests here; with this argument it names them.
    #[test]
    fn output_goes_to_the_log() {
        let listing = Background::start(&["--list"]).expect("it starts");
        let log = listing.log.clone();
        listing.finish();
        let listed = fs::read_to_string(log).expect("there is a log");
        assert!(listed.contains("output_goes_to_the_log"), "{listed}");
    }
}
