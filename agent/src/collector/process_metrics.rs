//! Resources that the agent itself uses, read from `/proc/self` and system calls about the own process, and from no other
//! process.
//!
//! Each value has two families: the standard `process_*`, which dashboards expect of every exporter, and `headcount_process_*`,
//! whose name says which exporter it is about.
//!
//! The process collector of the `prometheus` crate is not used, because its CPU counter has whole seconds. The counter here is
//! the kernel's, read for each exposition, so it is right at any scrape interval and with any number of scrapers.

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::CollectorError;
use crate::exposition::{Descriptor, Kind, Value, Writer};
use crate::host::process_cpu_ns;

const STAT: &str = "/proc/self/stat";
const FD: &str = "/proc/self/fd";

/// Resources that the agent's own process used at one reading.
#[derive(Debug, Default)]
pub(super) struct OwnUse {
    cpu_ns: u64,
    threads: u64,
    start_time_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
    open_fds: u64,
    max_fds: u64,
}

/// A value that is shown under two names.
struct ProcessMetric {
    /// One descriptor with the standard name and one with the agent's; they differ in nothing else.
    descriptors: [Descriptor; 2],
    value: fn(&OwnUse) -> Value,
}

pub(super) fn descriptors() -> impl Iterator<Item = &'static Descriptor> {
    METRICS.iter().flat_map(|metric| &metric.descriptors)
}

pub(super) fn write(used: &OwnUse, out: &mut Writer) {
    for metric in METRICS {
        for descriptor in &metric.descriptors {
            out.family(descriptor).sample(&[], (metric.value)(used));
        }
    }
}

/// Reads the agent's own process. `boot_time_seconds` is Unix time.
pub(super) fn read(boot_time_seconds: f64) -> Result<OwnUse, CollectorError> {
    let stat = std::fs::read(STAT).map_err(|source| CollectorError::Io { path: STAT, source })?;
    let stat = parse_stat(&stat).ok_or(CollectorError::Malformed { path: STAT })?;
    let files = std::fs::read_dir(FD).map_err(|source| CollectorError::Io { path: FD, source })?;
    Ok(OwnUse {
        cpu_ns: process_cpu_ns(),
        threads: stat.threads,
        start_time_seconds: boot_time_seconds
            + stat.start_ticks as f64 / clock_ticks_per_second() as f64,
        virtual_bytes: stat.virtual_bytes,
        resident_bytes: stat.resident_pages.saturating_mul(page_size() as u64),
        // One of them is the descriptor of this listing.
        open_fds: (files.count() as u64).saturating_sub(1),
        max_fds: file_limit(),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct OwnStat {
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// Parses fields 20 and 22 to 24 of `/proc/<pid>/stat`. The name in field 2 may hold any bytes, so the search starts at the last
/// `)`.
fn parse_stat(stat: &[u8]) -> Option<OwnStat> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(20 - 3).map(str::parse);
    let threads = fields.next()?.ok()?;
    let start_ticks = fields.nth(1)?.ok()?;
    let virtual_bytes = fields.next()?.ok()?;
    let resident_pages = fields.next()?.ok()?;
    Some(OwnStat {
        threads,
        start_ticks,
        virtual_bytes,
        resident_pages,
    })
}

/// Soft limit of open file descriptors; `u64::MAX` if unlimited.
fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

const fn both(
    names: [&'static str; 2],
    kind: Kind,
    help: &'static str,
    unit: &'static str,
    source: &'static str,
) -> [Descriptor; 2] {
    let [standard, own] = names;
    let standard = Descriptor {
        name: standard,
        kind,
        help,
        labels: &[],
        unit,
        source,
        fallback: "-",
    };
    let own = Descriptor {
        name: own,
        ..standard
    };
    [standard, own]
}

static METRICS: &[ProcessMetric] = &[
    ProcessMetric {
        descriptors: both(
            [
                "process_cpu_seconds_total",
                "headcount_process_cpu_seconds_total",
            ],
            Kind::Counter,
            "User and system CPU time of the agent.",
            "seconds",
            "CLOCK_PROCESS_CPUTIME_ID",
        ),
        value: |me| Value::Nanoseconds(me.cpu_ns),
    },
    ProcessMetric {
        descriptors: both(
            ["process_open_fds", "headcount_process_open_fds"],
            Kind::Gauge,
            "Open file descriptors of the agent.",
            "descriptors",
            "/proc/self/fd",
        ),
        value: |me| me.open_fds.into(),
    },
    ProcessMetric {
        descriptors: both(
            ["process_max_fds", "headcount_process_max_fds"],
            Kind::Gauge,
            "Most file descriptors that the agent may open.",
            "descriptors",
            "getrlimit",
        ),
        value: |me| me.max_fds.into(),
    },
    ProcessMetric {
        descriptors: both(
            [
                "process_virtual_memory_bytes",
                "headcount_process_virtual_memory_bytes",
            ],
            Kind::Gauge,
            "Virtual memory of the agent.",
            "bytes",
            "/proc/self/stat 23",
        ),
        value: |me| me.virtual_bytes.into(),
    },
    ProcessMetric {
        descriptors: both(
            [
                "process_resident_memory_bytes",
                "headcount_process_resident_memory_bytes",
            ],
            Kind::Gauge,
            "Resident memory of the agent.",
            "bytes",
            "/proc/self/stat 24",
        ),
        value: |me| me.resident_bytes.into(),
    },
    ProcessMetric {
        descriptors: both(
            [
                "process_start_time_seconds",
                "headcount_process_start_time_seconds",
            ],
            Kind::Gauge,
            "Start of the agent since the epoch.",
            "seconds",
            "boot time and /proc/self/stat 22",
        ),
        value: |me| me.start_time_seconds.into(),
    },
    ProcessMetric {
        descriptors: both(
            ["process_threads", "headcount_process_threads"],
            Kind::Gauge,
            "Threads of the agent.",
            "threads",
            "/proc/self/stat 20",
        ),
        value: |me| me.threads.into(),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let stat = b"7 (a) R 1 (\xff) S 1 7 7 0 -1 4194304 10 0 0 0 5 6 0 0 20 0 3 0 123 4096 9 18446744073709551615\n";
        let (threads, start_ticks, virtual_bytes, resident_pages) = (3, 123, 4096, 9);
        let expected = OwnStat {
            threads,
            start_ticks,
            virtual_bytes,
            resident_pages,
        };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat(b"7 (a) S 1 7"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn the_cpu_counter_is_the_kernels_own() {
        let before = ticks();
        let mut reading = read(0.0).unwrap();
        // CPU time used between two readings must show at once.
        let burnt_from = reading.cpu_ns;
        while reading.cpu_ns < burnt_from + 50_000_000 {
            reading = read(0.0).unwrap();
        }
        let (shown, after) = (reading.cpu_ns / 10_000_000, ticks());
        assert!(
            before <= shown + 1 && shown <= after + 1,
            "{before} {shown} {after}"
        );
    }

    /// utime + stime of this process.
    fn ticks() -> u64 {
        let stat = std::fs::read_to_string(STAT).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum()
    }
}
