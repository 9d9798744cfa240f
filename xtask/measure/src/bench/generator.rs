//! The load itself, in a process of its own: `xtask-measure load idle=5000 busy=50`.
//!
//! Kinds: `idle=N` processes that sleep (forked, not exec'd; 50 different comms), `busy=N` processes that work 2 ms in each 100
//! ms, so 50 of them use one CPU; `threads=N` sleeping threads of this process; `threaded=N` sleeping processes of 20 threads
//! each; `sockets=N` TCP sockets; `execs=N` programs run one after another; `pingpong=N` bytes sent to and fro between two
//! processes on one CPU; `connects=N` TCP connections made and closed; `roundtrips=N` bytes sent to and fro over one. For the last
//! four kinds it prints the CPU and the wall time in nanoseconds and ends; for the others it prints [`READY`] when all of them
//! exist, and ends with its input; for each byte of its input before, each socket sends and receives a byte, and it prints
//! [`READY`] again. Children cannot outlive it: each asked the kernel for a SIGKILL at its death.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::connections::{self, Connections};
use super::usage;

pub(crate) const LOAD: &str = "load";
pub(super) const READY: &str = "ready\n";

/// Largest number of processes or threads; more would endanger the machine.
const MOST: u32 = 20_000;
const WORK: Duration = Duration::from_millis(2);
const PERIOD: Duration = Duration::from_millis(100);
/// Smallest stack that the C library accepts, bytes.
const STACK_BYTES: usize = 16 * 1024;
const COMMS: u32 = 50;
/// Threads of a threaded process.
const THREADS: u32 = 20;
/// A program that is on every machine, is small, and does nothing.
const PROGRAM: &std::ffi::CStr = c"/bin/true";

pub(crate) fn main(kinds: &[String]) -> Result<()> {
    die_with_parent();
    let (mut children, mut sockets) = (Vec::new(), Vec::new());
    for kind in kinds {
        let (kind, count) = parse(kind)?;
        match kind {
            "idle" => fork_all(count, &mut children, idle)?,
            "busy" => fork_all(count, &mut children, busy)?,
            "threads" => spawn(count)?,
            "threaded" => fork_all(count, &mut children, threaded)?,
            "sockets" => sockets.push(Connections::of_sockets(count)?),
            "execs" => return churn(count),
            "pingpong" => return ping_pong(count),
            "connects" => return connections::connect_all(count),
            "roundtrips" => return connections::round_trips(count),
            _ => bail!("unknown load {kind:?}"),
        }
    }
    loop {
        print!("{READY}");
        std::io::stdout().flush()?;
        // At the end of the input, this process ends. An error is a reason to end, too.
        if !matches!(std::io::stdin().read(&mut [0]), Ok(1)) {
            break;
        }
        sockets.iter().try_for_each(Connections::exchange)?;
    }
    end(&children);
    Ok(())
}

fn parse(kind: &str) -> Result<(&str, u32)> {
    let (kind, count) = kind.split_once('=').context("a load is KIND=COUNT")?;
    let count = count.parse().with_context(|| format!("count of {kind}"))?;
    let most = if matches!(kind, "pingpong" | "roundtrips") {
        u32::MAX
    } else {
        MOST
    };
    ensure!(count <= most, "{count} {kind} are more than {most}");
    Ok((kind, count))
}

fn die_with_parent() {
    // SAFETY: sets a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Forks `count` children that run `life`; after a failure, the children made so far are killed.
fn fork_all(count: u32, children: &mut Vec<libc::pid_t>, life: fn(u32) -> !) -> Result<()> {
    for number in 0..count {
        match fork(|| life(number)) {
            Ok(child) => children.push(child),
            Err(error) => {
                end(children);
                return Err(error).with_context(|| format!("fork child {number} of {count}"));
            }
        }
    }
    Ok(())
}

/// Forks a child that runs `life` and never returns.
fn fork(life: impl FnOnce()) -> std::io::Result<libc::pid_t> {
    // SAFETY: this process has one thread, so the child may do everything that this process could.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            life();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(127) }
        }
        child => Ok(child),
    }
}

fn idle(number: u32) -> ! {
    die_with_parent();
    // The kernel cuts the name to 15 bytes; a formatted name always ends in NUL here.
    let name = format!("bench-idle-{}\0", number % COMMS);
    // SAFETY: the text is NUL-terminated and outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    loop {
        // SAFETY: waits for a signal; every signal ends this process.
        unsafe { libc::pause() };
    }
}

/// A process with [`THREADS`] threads, the main thread included.
fn threaded(number: u32) -> ! {
    die_with_parent();
    // If there are fewer threads, the measurement sees that.
    let _ = spawn(THREADS - 1);
    idle(number)
}

fn busy(number: u32) -> ! {
    die_with_parent();
    // Spreads the work of the processes over the period.
    std::thread::sleep(WORK * (number % 50));
    loop {
        // The clock of a living process does not fail.
        let _ = usage::work(WORK);
        std::thread::sleep(PERIOD.saturating_sub(WORK));
    }
}

fn spawn(count: u32) -> Result<()> {
    for number in 0..count {
        std::thread::Builder::new()
            .name(format!("bench-{}", number % COMMS))
            .stack_size(STACK_BYTES)
            .spawn(|| {
                loop {
                    std::thread::park();
                }
            })
            .with_context(|| format!("start thread {number} of {count}"))?;
    }
    Ok(())
}

/// Keeps this process and its children on one CPU: moving between two CPUs sometimes costs a tenth of a fork or more.
pub(super) fn pin() {
    // SAFETY: all bytes zero are a set of no CPUs.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: writes to a local variable of that size.
    unsafe { libc::sched_getaffinity(0, size, &raw mut cpus) };
    // SAFETY: the numbers asked for are within the set.
    let last = (0..size * 8)
        .rev()
        .find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &cpus) });
    let Some(last) = last else { return };
    // SAFETY: as above; the set is a local variable.
    unsafe {
        libc::CPU_ZERO(&mut cpus);
        libc::CPU_SET(last, &mut cpus);
        libc::sched_setaffinity(0, size, &raw const cpus);
    }
}

fn churn(count: u32) -> Result<()> {
    pin();
    let (cpu_ns, start) = (usage::family_cpu_ns(), Instant::now());
    for _ in 0..count {
        let child = fork(|| {
            let argv = [PROGRAM.as_ptr(), std::ptr::null()];
            // SAFETY: the path and both arrays end in NUL. The call returns only if it failed.
            unsafe { libc::execv(PROGRAM.as_ptr(), argv.as_ptr()) };
        })?;
        let mut status = 0;
        // SAFETY: writes to a local variable.
        let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
        ensure!(
            reaped == child && status == 0,
            "{PROGRAM:?} ended with {status}"
        );
    }
    let cpu_ns = usage::family_cpu_ns() - cpu_ns;
    println!("{cpu_ns} {}", start.elapsed().as_nanos());
    Ok(())
}

/// Sends bytes to and fro. A round trip is two switches: on one CPU each side runs only while the other waits.
fn ping_pong(count: u32) -> Result<()> {
    pin();
    let (mut ours, theirs) = UnixStream::pair()?;
    let child = fork(|| {
        die_with_parent();
        // Ends when the other side closes its end.
        let _ = std::io::copy(&mut &theirs, &mut &theirs);
    })?;
    drop(theirs);
    let (cpu_ns, start) = (usage::family_cpu_ns(), Instant::now());
    for _ in 0..count {
        ours.write_all(b".")?;
        ours.read_exact(&mut [0])?;
    }
    let wall_ns = start.elapsed().as_nanos();
    end(&[child]);
    println!("{} {wall_ns}", usage::family_cpu_ns() - cpu_ns);
    Ok(())
}

/// Kills and reaps the children of this process, by their ids.
fn end(children: &[libc::pid_t]) {
    for child in children {
        // SAFETY: the child is not reaped yet, so the id is still its own.
        unsafe { libc::kill(*child, libc::SIGKILL) };
    }
    for child in children {
        // SAFETY: takes no pointer but NULL.
        unsafe { libc::waitpid(*child, std::ptr::null_mut(), 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_a_kind_and_a_bounded_count() {
        assert_eq!(
            parse("idle=5000").expect("a kind and a count"),
            ("idle", 5000)
        );
        assert!(parse("idle").is_err());
        assert!(parse("idle=many").is_err());
        assert!(parse("idle=1000000").is_err());
    }
}
