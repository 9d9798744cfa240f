//! A moment, as Go's `time.Time` shows it in a template.
//!
//! In come seconds since 1970; out go Go's text of the moment and the results of its methods. Always UTC. Only those methods
//! are here that make sense in a name.

use std::fmt;

use super::civil::{self, Civil, MONTHS, WEEKDAYS};
use super::time_layout;

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time {
    seconds: i64,
    nanosecond: u32,
}

/// The result of a method.
#[derive(Debug, PartialEq)]
pub(crate) enum MethodResult {
    Number(i64),
    Text(String),
    Truth(bool),
}

/// The layout of `Time.String`.
const STRING: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// Methods without arguments that [`Time::ask`] answers, and `Format`.
pub(crate) const METHODS: [&str; 17] = [
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

impl Time {
    /// The moment `seconds` and `nanosecond` (below 1,000,000,000) after the start of 1970.
    pub(crate) const fn from_unix(seconds: i64, nanosecond: u32) -> Self {
        Time {
            seconds,
            nanosecond,
        }
    }

    /// Parses the text of [`fmt::Display`]: the data of templates hold the moment as text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
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
        Some(Time {
            seconds,
            nanosecond,
        })
    }

    /// The result of the method `name`; `layout` is the argument of `Format`.
    pub(crate) fn ask(self, name: &str, layout: Option<&str>) -> Option<MethodResult> {
        let c = self.civil();
        let scaled = |factor: i64| self.seconds.wrapping_mul(factor);
        let fraction = i64::from(self.nanosecond);
        Some(match (name, layout) {
            ("Format", Some(layout)) => MethodResult::Text(time_layout::format(&c, layout)),
            (_, Some(_)) => return None,
            ("Unix", _) => MethodResult::Number(self.seconds),
            ("UnixMilli", _) => MethodResult::Number(scaled(1_000) + fraction / 1_000_000),
            ("UnixMicro", _) => MethodResult::Number(scaled(1_000_000) + fraction / 1_000),
            ("UnixNano", _) => MethodResult::Number(scaled(1_000_000_000).wrapping_add(fraction)),
            ("Year", _) => MethodResult::Number(c.year),
            ("Month", _) => MethodResult::Text(MONTHS[c.month as usize - 1].to_owned()),
            ("Day", _) => MethodResult::Number(c.day.into()),
            ("Hour", _) => MethodResult::Number(c.hour.into()),
            ("Minute", _) => MethodResult::Number(c.minute.into()),
            ("Second", _) => MethodResult::Number(c.second.into()),
            ("Nanosecond", _) => MethodResult::Number(fraction),
            ("Weekday", _) => MethodResult::Text(WEEKDAYS[c.weekday as usize].to_owned()),
            ("YearDay", _) => MethodResult::Number(c.year_day.into()),
            ("String", _) => MethodResult::Text(self.to_string()),
            ("IsZero", _) => MethodResult::Truth(false),
            ("Location", _) => MethodResult::Text("UTC".to_owned()),
            _ => return None,
        })
    }

    fn civil(self) -> Civil {
        Civil::from_unix(self.seconds, self.nanosecond)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&time_layout::format(&self.civil(), STRING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_reads_back_from_its_text() {
        let cases = [
            (450_000_000, "2023-11-14 22:15:23.45 +0000 UTC"),
            (0, "2023-11-14 22:15:23 +0000 UTC"),
        ];
        for (nanosecond, expected) in cases {
            let time = Time::from_unix(1_700_000_123, nanosecond);
            assert_eq!(time.to_string(), expected);
            assert_eq!(Time::parse(expected), Some(time));
        }
        for text in [
            "",
            "x",
            "2023-11-14 +0000 UTC",
            "2023-11-14 22:15:23.4x +0000 UTC",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
