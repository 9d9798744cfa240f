//! What a person wants to see of one process: its names, its owner and, where that is allowed, its command line.
//!
//! Read when somebody looks, never for a scrape, so nothing here counts as an error of one: what cannot be read is missing
//! in the answer, where it is seen.

use std::os::fd::AsFd;

use super::{Error, Procfs, cmdline, stat, status};
use crate::process::Arguments;

/// How much of a command line is read, bytes.
const CMDLINE: usize = 4096;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appearance {
    /// Task name, raw bytes.
    pub comm: Vec<u8>,
    /// Name of the effective user, or the uid in decimal; empty where unreadable.
    pub username: String,
    /// First 4 KiB of the arguments, raw bytes; `None` where nobody asked or it cannot be read now.
    pub argv: Option<Arguments>,
}

impl Procfs {
    /// A new answer begins: there is time again for command lines that are slow to read.
    pub fn begin_view(&mut self) {
        self.viewers.begin();
    }

    /// How the process with this number and start looks; `wants_argv`: with its command line.
    ///
    /// A command line that does not come at once is left out: all those of one answer take no longer
    /// than one slow file and a little.
    ///
    /// # Errors
    /// [`Error::Gone`] when it ended or another process has its number; any other when `stat` cannot be read.
    pub fn appearance(
        &mut self,
        tgid: u32,
        start_ns: u64,
        wants_argv: bool,
    ) -> Result<Appearance, Error> {
        let tick_ns = self.host.tick_ns;
        let dir = self.open(tgid)?;
        let dir = dir.as_fd();
        let (file, cap) = stat::FILE;
        let owners = &mut self.owners;
        let read = self.viewers.read(owners, tgid, dir, (file, cap));
        let (found, comm) = self.judge(
            tgid,
            file,
            read.map(|bytes| {
                Some((
                    stat::parse_stat(&bytes)?,
                    stat::parse_comm(&bytes)?.to_vec(),
                ))
            }),
        )?;
        if found.start_ticks != start_ns / tick_ns {
            return Err(Error::Gone { tgid });
        }
        let status = self.read(tgid, dir, status::FILE, status::parse_status);
        let uid = status.ok().and_then(|status| status.effective_uid);
        let may_wait = wants_argv && self.viewers.has_time();
        let (file, cap) = cmdline::file(CMDLINE);
        let owners = &mut self.owners;
        let argv = may_wait.then(|| self.viewers.read(owners, tgid, dir, (file, cap)));
        Ok(Appearance {
            comm,
            username: uid.map(|uid| self.users.name(uid)).unwrap_or_default(),
            argv: argv
                .and_then(Result::ok)
                .map(|bytes| Arguments::of_beginning(&bytes, CMDLINE)),
        })
    }
}
