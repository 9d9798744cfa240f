//! The start time of a process, from the boot time of the machine.

use crate::go::time::Time;

/// When the machine booted: `btime` of `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootTime {
    /// Seconds since 1970.
    pub unix_seconds: u64,
}

const TICK_NS: u64 = 10_000_000;
const SECOND_NS: u64 = 1_000_000_000;

impl BootTime {
    /// The moment `start_ns` nanoseconds later, exact to the tick of `/proc/<pid>/stat` (10 ms), even if the source knew it
    /// better.
    pub(super) fn start_time(self, start_ns: u64) -> Time {
        let seconds = self.unix_seconds.saturating_add(start_ns / SECOND_NS);
        let fraction = start_ns % SECOND_NS / TICK_NS * TICK_NS;
        Time::from_unix(
            i64::try_from(seconds).unwrap_or(i64::MAX / 4),
            u32::try_from(fraction).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_exact_to_the_tick_and_reads_back() {
        let boot = BootTime {
            unix_seconds: 1_700_000_000,
        };
        let cases = [
            (123_456_789_012, "2023-11-14 22:15:23.45 +0000 UTC"),
            (123_000_000_000, "2023-11-14 22:15:23 +0000 UTC"),
            (0, "2023-11-14 22:13:20 +0000 UTC"),
            (9_000_000_000_000_000, "2024-02-27 02:13:20 +0000 UTC"),
            (123_009_999_999, "2023-11-14 22:15:23 +0000 UTC"),
        ];
        for (start_ns, expected) in cases {
            let time = boot.start_time(start_ns);
            assert_eq!(time.to_string(), expected);
            assert_eq!(Time::parse(expected), Some(time));
        }
        let last = BootTime {
            unix_seconds: u64::MAX,
        };
        assert!(!last.start_time(u64::MAX).to_string().is_empty());
    }
}
