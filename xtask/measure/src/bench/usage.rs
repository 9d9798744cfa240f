//! Reads the resources that a process uses from the kernel: CPU in nanoseconds, memory in bytes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Resident memory: current and highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) now_bytes: u64,
    pub(crate) peak_bytes: u64,
}

/// User and system time of all threads of `pid`, ended ones included; exact, not sampled at ticks.
pub(crate) fn cpu_ns(pid: u32) -> Result<f64> {
    let pid = libc::pid_t::try_from(pid)?;
    let mut clock = 0;
    // SAFETY: writes one number to a local variable.
    let result = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    ensure!(result == 0, "process {pid} has no CPU clock: it is gone");
    clock_ns(clock)
}

/// User and system time of this process.
pub(crate) fn own_cpu_ns() -> Result<f64> {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> Result<f64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to a local variable.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    ensure!(result == 0, "the CPU clock is gone with its process");
    Ok(time.tv_sec as f64 * 1e9 + time.tv_nsec as f64)
}

/// CPU of this process and of the children it has reaped.
pub(crate) fn family_cpu_ns() -> f64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .into_iter()
        .map(|who| {
            // SAFETY: all bytes zero are a valid value of the type.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: writes to a local variable.
            unsafe { libc::getrusage(who, &raw mut usage) };
            let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
            (us(usage.ru_utime) + us(usage.ru_stime)) * 1e3
        })
        .sum()
}

pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_memory(&status).with_context(|| format!("{path} has no VmRSS and VmHWM"))
}

/// Lets the peak of `pid` begin anew at its present size.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").with_context(|| format!("write {path}"))
}

fn parse_memory(status: &str) -> Option<Memory> {
    let bytes = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        now_bytes: bytes("VmRSS:")?,
        peak_bytes: bytes("VmHWM:")?,
    })
}

/// Works until this process has used `time` more of CPU.
pub(crate) fn work(time: Duration) -> Result<()> {
    let end = own_cpu_ns()? + time.as_nanos() as f64;
    while own_cpu_ns()? < end {}
    Ok(())
}

/// Works until this thread has used `time` more of CPU. Returns the CPU time that the thread has used since its start.
pub(crate) fn work_thread(time: Duration) -> Result<f64> {
    let used = || clock_ns(libc::CLOCK_THREAD_CPUTIME_ID);
    let end = used()? + time.as_nanos() as f64;
    while used()? < end {}
    used()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_two_lines_of_status() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let expected = Memory {
            now_bytes: 1 << 20,
            peak_bytes: 1 << 21,
        };
        assert_eq!(parse_memory(status), Some(expected));
        assert_eq!(parse_memory("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn process_clock_advances() {
        let before = cpu_ns(std::process::id()).expect("we live");
        work(Duration::from_millis(1)).expect("we live");
        assert!(cpu_ns(std::process::id()).expect("we live") - before >= 1e6);
        assert!(family_cpu_ns() > 0.0);
    }
}
