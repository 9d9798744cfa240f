//! The start time of a process, as Go's `time.Time` shows it in a name template.
//!
//! In come the boot time and the start since boot; out go Go's text of it and the results of its methods. Always UTC. Only
//! those methods are here that make sense in a name.

use std::fmt;

use crate::config::civil::{self, Civil};

/// When the machine booted: `btime` of `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootTime {
    /// Seconds since 1970.
    pub unix_seconds: u64,
}

/// A moment, exact to the tick of `/proc/<pid>/stat` (10 ms), even if the source knew it better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StartTime {
    seconds: i64,
    nanosecond: u32,
}

/// The result of a method.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Number(i64),
    Text(String),
    Truth(bool),
}

const TICK_NS: u64 = 10_000_000;
const SECOND_NS: u64 = 1_000_000_000;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Methods without arguments that [`StartTime::ask`] answers, and `Format`.
pub(super) const METHODS: [&str; 17] = [
    "Unix",
    "UnixMilli",
    "UnixMicro",
    "UnixNano",
    "Year",
    "Month",
    "Day",
    "Hour",
    "Minute",
    "Second",
    "Nanosecond",
    "Weekday",
    "YearDay",
    "String",
    "IsZero",
    "Location",
    "Format",
];

impl StartTime {
    /// The moment `start_ns` nanoseconds after `boot`.
    pub(super) fn new(boot: BootTime, start_ns: u64) -> Self {
        let seconds = boot.unix_seconds.saturating_add(start_ns / SECOND_NS);
        let fraction = start_ns % SECOND_NS / TICK_NS * TICK_NS;
        StartTime {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX / 4),
            nanosecond: u32::try_from(fraction).unwrap_or_default(),
        }
    }

    /// Parses the text of [`fmt::Display`]: the data of templates hold the moment as text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let moment = text.strip_suffix(" +0000 UTC")?;
        let (whole, fraction) = moment.split_once('.').unwrap_or((moment, ""));
        // Numbers of 32 bits: then the seconds fit into 64 bits.
        let mut numbers = whole
            .split(['-', ' ', ':'])
            .map(|number| Some(i64::from(number.parse::<i32>().ok()?)));
        let mut next = || numbers.next().flatten();
        let (year, month, day) = (next()?, next()?, next()?);
        let (hour, minute, second) = (next()?, next()?, next()?);
        let seconds =
            civil::unix_days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        let nanosecond = format!("{fraction:0<9}").parse().ok()?;
        Some(StartTime {
            seconds,
            nanosecond,
        })
    }

    /// The result of the method `name`; `layout` is the argument of `Format`.
    pub(super) fn ask(self, name: &str, layout: Option<&str>) -> Option<Answer> {
        let c = self.civil();
        let scaled = |factor: i64| self.seconds.wrapping_mul(factor);
        let fraction = i64::from(self.nanosecond);
        Some(match (name, layout) {
            ("Format", Some(layout)) => Answer::Text(super::time_layout::format(&c, layout)),
            (_, Some(_)) => return None,
            ("Unix", _) => Answer::Number(self.seconds),
            ("UnixMilli", _) => Answer::Number(scaled(1_000) + fraction / 1_000_000),
            ("UnixMicro", _) => Answer::Number(scaled(1_000_000) + fraction / 1_000),
            ("UnixNano", _) => Answer::Number(scaled(1_000_000_000).wrapping_add(fraction)),
            ("Year", _) => Answer::Number(c.year),
            ("Month", _) => Answer::Text(MONTHS[c.month as usize - 1].to_owned()),
            ("Day", _) => Answer::Number(c.day.into()),
            ("Hour", _) => Answer::Number(c.hour.into()),
            ("Minute", _) => Answer::Number(c.minute.into()),
            ("Second", _) => Answer::Number(c.second.into()),
            ("Nanosecond", _) => Answer::Number(fraction),
            ("Weekday", _) => Answer::Text(WEEKDAYS[c.weekday as usize].to_owned()),
            ("YearDay", _) => Answer::Number(c.year_day.into()),
            ("String", _) => Answer::Text(self.to_string()),
            ("IsZero", _) => Answer::Truth(false),
            ("Location", _) => Answer::Text("UTC".to_owned()),
            _ => return None,
        })
    }

    fn civil(self) -> Civil {
        Civil::from_unix(self.seconds, self.nanosecond)
    }
}

impl fmt::Display for StartTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::time_layout::format(
            &self.civil(),
            "2006-01-02 15:04:05.999999999 -0700 MST",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
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
            let time = StartTime::new(boot, start_ns);
            assert_eq!(time.to_string(), expected);
            assert_eq!(StartTime::parse(expected), Some(time));
        }
        assert!(
            !StartTime::new(
                BootTime {
                    unix_seconds: u64::MAX
                },
                u64::MAX
            )
            .to_string()
            .is_empty()
        );
        for text in [
            "",
            "x",
            "2023-11-14 +0000 UTC",
            "2023-11-14 22:15:23.4x +0000 UTC",
        ] {
            assert_eq!(StartTime::parse(text), None, "{text}");
        }
    }
}
