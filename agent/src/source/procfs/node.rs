//! `/proc/stat`: the time that the CPUs ran no task, and the number of tasks created.
//!
//! Busy time is not read here: most kernels sample `user`, `nice` and `system` at the tick, and in a test these were 1.3 % below
//! the scheduler's account. `idle` and `iowait` are measured, and `steal` is the hypervisor's measure, so the time of tasks is
//! the elapsed time less these. That is too little where the columns overlap: time that the hypervisor takes from an idle CPU
//! that is about to wake is in `steal` and in `idle` (`get_cpu_idle_time_us` in `kernel/time/tick-sched.c` measures by the
//! clock).

use std::ffi::CStr;

use super::decimal;
use crate::host::monotonic_ns;

/// Name, and largest size read, bytes: enough for about 10,000 CPUs and all interrupts.
pub(super) const FILE: (&CStr, usize) = (c"stat", 4 << 20);

/// One reading of `/proc/stat`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeReading {
    /// Time of the reading, nanoseconds of the monotonic clock, by which the kernel measures idle time.
    pub at_ns: u64,
    /// The CPUs that are online: number, and the time since boot in which the CPU ran no task.
    pub cpus: Vec<(u32, Away)>,
    /// Processes and threads created since boot.
    pub created: u64,
}

/// Time in which a CPU ran no task, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Away {
    /// Time that the CPU was idle or waited for IO.
    pub idle_ns: u64,
    /// Time that interrupts and the hypervisor took.
    pub taken_ns: u64,
}

impl NodeReading {
    /// Parses the file; `None` if it is not as the kernel documents it. `begun_ns` is the time at which reading began.
    pub(super) fn parse(bytes: &[u8], tick_ns: u64, begun_ns: u64) -> Option<Self> {
        let mut reading = Self {
            at_ns: begun_ns.midpoint(monotonic_ns()),
            ..Self::default()
        };
        let mut created = None;
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some(rest) = line.strip_prefix(b"processes ") {
                created = Some(decimal::parse_decimal(rest.trim_ascii())?);
            } else if let Some(rest) = line.strip_prefix(b"cpu")
                && !rest.starts_with(b" ")
            {
                reading.cpus.push(cpu(rest, tick_ns)?);
            }
        }
        reading.created = created?;
        (!reading.cpus.is_empty()).then_some(reading)
    }
}

/// Parses `<number> user nice system idle iowait irq softirq steal …`, in ticks; old kernels have fewer columns.
fn cpu(line: &[u8], tick_ns: u64) -> Option<(u32, Away)> {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let number = u32::try_from(decimal::parse_decimal(words.next()?)?).ok()?;
    let mut columns = words.skip(3).map(decimal::parse_decimal);
    let mut next_ns = |count| {
        let ticks = columns.by_ref().take(count).sum::<Option<u64>>()?;
        Some(ticks.saturating_mul(tick_ns))
    };
    let away = Away {
        idle_ns: next_ns(2)?,
        taken_ns: next_ns(3)?,
    };
    Some((number, away))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] = b"cpu  30 2 10 400 9 1 2 3 0 0\n\
        cpu0 10 1 5 200 4 1 0 1 0 0\n\
        cpu3 20 1 5 200 5 0 2 2 0 0\n\
        intr 5 1 1\nctxt 4\nbtime 1\nprocesses 4711\nprocs_running 1\n";

    #[test]
    fn stat_file_gives_time_without_tasks_by_cpu_and_created_tasks() {
        let reading = NodeReading::parse(STAT, 10, 0).unwrap();
        let away = |idle_ns, taken_ns| Away { idle_ns, taken_ns };
        assert_eq!(reading.cpus, [(0, away(2040, 20)), (3, away(2050, 40))]);
        assert_eq!(reading.created, 4711);
    }

    #[test]
    fn stat_file_that_is_cut_or_has_no_numbers_is_refused() {
        let (head, _) = STAT.split_at(STAT.len() - 40);
        assert_eq!(NodeReading::parse(head, 10, 0), None);
        assert_eq!(NodeReading::parse(b"processes 4\n", 10, 0), None);
        let text = b"cpu0 1 2 3 x 5 6 7 8\nprocesses 4\n";
        assert_eq!(NodeReading::parse(text, 10, 0), None);
    }
}
