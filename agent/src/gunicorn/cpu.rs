//! CPU use of a process in percent of one core, over a time that does not depend on the frequency of scrapes.

/// The shortest time that a value covers, unless the process is younger.
const LEAST_NS: u64 = 10_000_000_000;

/// Two readings of a process's CPU time, at least [`LEAST_NS`] apart once the process is that old: (time, CPU time), nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuWindow {
    older: (u64, u64),
    newer: (u64, u64),
}

impl CpuWindow {
    /// At its start a process has used nothing.
    pub(super) const fn since(start_ns: u64) -> Self {
        Self {
            older: (start_ns, 0),
            newer: (start_ns, 0),
        }
    }

    /// The use since the youngest kept reading that is old enough; `cpu_ns`: all use so far.
    pub(super) fn percent(&mut self, now_ns: u64, cpu_ns: u64) -> f64 {
        if now_ns.saturating_sub(self.newer.0) >= LEAST_NS {
            self.older = self.newer;
            self.newer = (now_ns, cpu_ns);
        }
        let time_ns = now_ns.saturating_sub(self.older.0);
        if time_ns == 0 {
            return 0.0;
        }
        cpu_ns.saturating_sub(self.older.1) as f64 * 100.0 / time_ns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn percent_covers_ten_seconds_or_more_however_often_it_is_read() {
        let mut window = CpuWindow::since(100 * S);
        assert_eq!(window.percent(100 * S, 0), 0.0);
        assert_eq!(window.percent(104 * S, 2 * S), 50.0, "since its start");
        assert_eq!(window.percent(110 * S, 2 * S), 20.0);
        for now in 111..120 {
            let expected = 2.0 * 100.0 / (now - 100) as f64;
            assert_eq!(window.percent(now * S, 2 * S), expected);
        }
        assert_eq!(window.percent(120 * S, 7 * S), 50.0, "since 110 s");
        assert_eq!(window.percent(180 * S, 37 * S), 50.0, "since 120 s");
    }
}
