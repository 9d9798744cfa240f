//! Converts seconds since 1970 to a date and time of day in UTC, for the methods and layouts of Go's `time.Time`.
//!
//! The log needs it as well. It knows no time zones and no leap seconds.

/// A moment in UTC, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    /// Year.
    pub(crate) year: i64,
    /// Month, 1 to 12.
    pub(crate) month: u32,
    /// Day of the month, from 1.
    pub(crate) day: u32,
    /// Hour, 0 to 23.
    pub(crate) hour: u32,
    /// Minute.
    pub(crate) minute: u32,
    /// Second.
    pub(crate) second: u32,
    /// Nanosecond of the second.
    pub(crate) nanosecond: u32,
    /// Day of the week, 0 for Sunday.
    pub(crate) weekday: u32,
    /// Day of the year, from 1.
    pub(crate) year_day: u32,
}

const DAY: i64 = 86_400;

/// Names of the months; January is the first.
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
/// Names of the days of the week; Sunday is the first.
pub(super) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Civil {
    /// The moment `seconds` and `nanosecond` (below 1,000,000,000) after the start of 1970.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // every value is bounded by its calendar
    pub(crate) fn from_unix(seconds: i64, nanosecond: u32) -> Self {
        let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY) as u32);
        // Years that start in March have the leap day last; an era is 400 of them.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march = (5 * of_year + 2) / 153;
        let month = if march < 10 { march + 3 } else { march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let year_day = if month <= 2 {
            of_year - 306
        } else {
            of_year + 59 + i64::from(leap)
        };
        Civil {
            year,
            month: month as u32,
            day: (of_year - (153 * march + 2) / 5 + 1) as u32,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            nanosecond,
            weekday: (days + 4).rem_euclid(7) as u32,
            year_day: year_day as u32 + 1,
        }
    }
}

/// Days from the start of 1970 to a date: the inverse of [`Civil::from_unix`].
pub(crate) fn unix_days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let cases = [
            (0, (1970, 1, 1, 0, 0, 0, 4, 1)),
            (1_700_000_123, (2023, 11, 14, 22, 15, 23, 2, 318)),
            (951_782_399, (2000, 2, 28, 23, 59, 59, 1, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0, 2, 60)),
            (951_868_800, (2000, 3, 1, 0, 0, 0, 3, 61)),
            (1_735_689_599, (2024, 12, 31, 23, 59, 59, 2, 366)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0, 1, 60)),
            (-1, (1969, 12, 31, 23, 59, 59, 3, 365)),
        ];
        for (seconds, expected) in cases {
            let c = Civil::from_unix(seconds, 0);
            let found = (
                c.year, c.month, c.day, c.hour, c.minute, c.second, c.weekday, c.year_day,
            );
            assert_eq!(found, expected, "{seconds}");
            assert_eq!(
                unix_days(c.year, c.month.into(), c.day.into()),
                seconds.div_euclid(DAY)
            );
        }
    }
}
