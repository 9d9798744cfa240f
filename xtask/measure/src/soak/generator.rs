//! The load of a soak: `xtask-measure soak-load FOLDER`, in a process of its own.
//!
//! It starts one process that lives as long as it does ([`super::resident`]). From its input it reads lines with a number of
//! seconds. For that time it forks [`RATE`] children a second, one after another and each of the next kind, and waits for them
//! with `wait4`; then it prints one line ([`super::truth::Report`]). A kind is a program of [`PROGRAMS`], or only a fork. The
//! generator ends with its input. Children cannot outlive it: each asked the kernel for a SIGKILL at its death.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::resident::{self, RESIDE, Resident};
use super::truth::{Lives, Report};
use crate::bench::usage;

pub(crate) const LOAD: &str = "soak-load";
/// Group name of the generator and of the children that only fork.
pub(super) const PARENT: &str = "soak-parent";

/// Children per second, as on a node that builds software all day.
const RATE: u32 = 150;

/// A program that a child becomes.
pub(super) struct Program {
    pub(super) name: &'static str,
    /// The word on its command line that selects its work.
    word: &'static str,
    run: fn(&Path) -> Result<()>,
    /// The program that it becomes at its end; then that one counts the exit.
    next: Option<&'static str>,
}

pub(super) const PROGRAMS: &[Program] = &[
    Program {
        name: "soak-nothing",
        word: "nothing",
        run: |_| Ok(()),
        next: None,
    },
    Program {
        name: "soak-worker",
        word: "work",
        run: |_| usage::work(Duration::from_millis(3)),
        next: None,
    },
    Program {
        name: "soak-threads",
        word: "threads",
        run: |_| threads(),
        next: None,
    },
    Program {
        name: "soak-relay",
        word: "relay",
        run: relay,
        next: Some("soak-worker"),
    },
];

/// The group names that the agent shows, one for each program.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let programs = PROGRAMS.iter().map(|program| program.name);
    programs.chain([PARENT, resident::NAME])
}

/// A configuration with a group for each of these names, and no other group.
pub(super) fn config() -> String {
    let names: String = names().map(|name| format!("      - {name}\n")).collect();
    format!("process_names:\n  - name: \"{{{{.Comm}}}}\"\n    comm:\n{names}")
}

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    // SAFETY: sets a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    match arguments {
        [folder] => generate(Path::new(folder)),
        [_, word] if word == RESIDE => resident::reside(),
        [folder, word, end] => {
            let program = PROGRAMS.iter().find(|program| program.word == word);
            let program = program.with_context(|| format!("no program {word:?}"))?;
            (program.run)(Path::new(folder))?;
            End::from_word(end)?.now()
        }
        _ => anyhow::bail!("{LOAD} is for cargo xtask soak itself"),
    }
}

fn generate(folder: &Path) -> Result<()> {
    let mut report = Report::default();
    report.group(PARENT).execs = 1;
    let mut kinds = Kinds::of(folder)?;
    report.group(PARENT).forks += 1;
    report.group(resident::NAME).execs += 1;
    let mut resident = Resident::start(folder)?;
    for line in std::io::stdin().lines() {
        let seconds: u64 = line?.parse().context("a number of seconds")?;
        resident.work()?;
        let (begun, end) = (Instant::now(), Duration::from_secs(seconds));
        let mut due = Duration::ZERO;
        while begun.elapsed() < end {
            kinds.run_next(&mut report)?;
            due += Duration::from_secs(1) / RATE;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        // Adds its own CPU until now; it then waits for the next line and uses none.
        let mut all = report.clone();
        resident.report(&mut all)?;
        all.cpu_ns += usage::own_cpu_ns()?;
        println!("{all}");
    }
    Ok(())
}

/// The kinds of children, in turn.
struct Kinds {
    /// Each program with the command line for each way to end.
    commands: Vec<(&'static Program, Vec<Vec<CString>>)>,
    nth: usize,
}

impl Kinds {
    /// Prepares the command lines before the measurement starts.
    fn of(folder: &Path) -> Result<Self> {
        let command = |program: &'static Program| {
            let ends = End::ALL.into_iter();
            let ends: Result<_> = ends.map(|end| command_line(folder, program, end)).collect();
            Ok((program, ends?))
        };
        Ok(Self {
            commands: PROGRAMS.iter().map(command).collect::<Result<_>>()?,
            nth: 0,
        })
    }

    fn run_next(&mut self, report: &mut Report) -> Result<()> {
        let kinds = self.commands.len() + 1;
        let (kind, turn) = (self.nth % kinds, self.nth / kinds % End::ALL.len());
        self.nth += 1;
        let end = End::ALL[turn];
        report.group(PARENT).forks += 1;
        let Some((program, ends)) = self.commands.get(kind) else {
            let usage = run(
                || {
                    let _ = usage::work(Duration::from_millis(1));
                    let _ = end.now();
                },
                end,
            )?;
            report.group(PARENT).add(end as usize);
            report.cpu_ns += usage;
            return Ok(());
        };
        report.cpu_ns += run(|| exec(&ends[turn]), end)?;
        let mut last = program.name;
        report.group(last).execs += 1;
        if let Some(next) = program.next {
            report.group(next).execs += 1;
            last = next;
        }
        report.group(last).add(end as usize);
        Ok(())
    }
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    Signal,
}

impl End {
    const ALL: [Self; Lives::ENDS] = [Self::Success, Self::Failure, Self::Signal];

    const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Signal => "signal",
        }
    }

    fn from_word(word: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|end| end.word() == word)
            .with_context(|| format!("no end {word:?}"))
    }

    fn now(self) -> Result<()> {
        // SAFETY: both calls end this process; it has no state to clean up.
        unsafe {
            match self {
                Self::Success => libc::_exit(0),
                Self::Failure => libc::_exit(3),
                Self::Signal => libc::kill(libc::getpid(), libc::SIGKILL),
            }
        };
        Ok(())
    }

    fn is_in(self, status: i32) -> bool {
        match self {
            Self::Success => status == 0,
            Self::Failure => libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 3,
            Self::Signal => libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL,
        }
    }
}

/// Forks a child that runs `life`, and waits for it. Returns its CPU time as `wait4` reports it, in nanoseconds.
fn run(life: impl FnOnce(), end: End) -> Result<f64> {
    // SAFETY: this process has one thread, so the child may do everything that this process could.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(std::io::Error::last_os_error()).context("fork"),
        0 => {
            // SAFETY: sets a flag of this process, which an exec keeps.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            life();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(127) }
        }
        child => child,
    };
    let mut status = 0;
    // SAFETY: all bytes zero are a valid value of the type.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes to local variables.
    let reaped = unsafe { libc::wait4(child, &raw mut status, 0, &raw mut used) };
    ensure!(
        reaped == child && end.is_in(status),
        "a child that should end by {end:?} ended with {status}"
    );
    let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    Ok((us(used.ru_utime) + us(used.ru_stime)) * 1e3)
}

fn command_line(folder: &Path, program: &Program, end: End) -> Result<Vec<CString>> {
    let path = folder.join(program.name);
    let path = path.as_os_str();
    [
        path,
        LOAD.as_ref(),
        folder.as_os_str(),
        program.word.as_ref(),
        end.word().as_ref(),
    ]
    .into_iter()
    .map(|word| CString::new(word.as_bytes()).context("a path with a NUL"))
    .collect()
}

/// Executes the command; returns only if that failed.
fn exec(words: &[CString]) {
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: the words and the array end with a NUL, and outlive the call.
    unsafe { libc::execv(pointers[0], pointers.as_ptr()) };
}

/// Four threads work; they end one after another, before the process does.
fn threads() -> Result<()> {
    let work = || usage::work(Duration::from_micros(400));
    let all: Vec<_> = (0..4).map(|_| std::thread::spawn(work)).collect();
    for thread in all {
        thread.join().ok().context("a thread panicked")??;
    }
    Ok(())
}

/// Works a little, then becomes the worker.
fn relay(folder: &Path) -> Result<()> {
    usage::work(Duration::from_millis(1))?;
    let end = std::env::args().next_back().unwrap_or_default();
    let worker = PROGRAMS.iter().find(|program| program.word == "work");
    let worker = worker.context("there is a worker")?;
    exec(&command_line(folder, worker, End::from_word(&end)?)?);
    Err(std::io::Error::last_os_error()).context("become the worker")
}
