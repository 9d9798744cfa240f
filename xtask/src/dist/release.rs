//! Version and time of a release.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

pub(super) const NAME: &str = "headcount";
pub(super) const MAINTAINER: &str = "The Headcount founders <packages@headcount.invalid>";

#[derive(Debug)]
pub(crate) struct Release {
    pub(super) version: String,
    /// Seconds since 1970: the time stamp of every file.
    pub(super) epoch: u32,
}

impl Release {
    /// The workspace's version at the time of its last commit. Outside a git checkout `SOURCE_DATE_EPOCH` must give the time.
    pub(crate) fn of_commit() -> Result<Self> {
        let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(seconds) => seconds,
            Err(_) => command::read(Command::new("git").current_dir(workspace::root()).args([
                "log",
                "-1",
                "--format=%ct",
            ]))
            .context("no commit says when this was made: set SOURCE_DATE_EPOCH")?,
        };
        let epoch = seconds.trim().parse().with_context(|| {
            format!(
                "SOURCE_DATE_EPOCH is {:?}, expected seconds",
                seconds.trim()
            )
        })?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch,
        })
    }

    /// The same release with a later version.
    pub(crate) fn later(&self) -> Self {
        Self {
            version: format!("{}+later", self.version),
            epoch: self.epoch,
        }
    }

    /// The time in a format of date(1).
    pub(super) fn date(&self, format: &str) -> Result<String> {
        let at = format!("@{}", self.epoch);
        let mut date = Command::new("date");
        date.env("LC_ALL", "C")
            .args(["--utc", "--date", &at, format]);
        Ok(command::read(&mut date)?.trim().to_owned())
    }

    /// Debian's name for the first package of this version.
    pub(super) fn debian_version(&self) -> String {
        format!("{}-1", self.version)
    }
    /// The changelog that Debian requires for each version of the package, apart from the changelog of the program.
    pub(super) fn debian_changelog(&self) -> Result<String> {
        Ok(format!(
            "{NAME} ({}) unstable; urgency=medium\n\n  * Release {}; changelog.gz lists the changes.\n\n -- {MAINTAINER}  {}\n",
            self.debian_version(),
            self.version,
            self.date("+%a, %d %b %Y %H:%M:%S +0000")?
        ))
    }
}
