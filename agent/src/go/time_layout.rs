//! Go's `Time.Format` for a moment in UTC: a layout is the reference time, written in the form of the desired result.

use std::fmt::Write as _;

use super::civil::{Civil, MONTHS, WEEKDAYS};

/// Formats `c` by `layout`. The reference time is Monday, 2 January 2006, 15:04:05.
pub(crate) fn format(c: &Civil, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(next) = rest.chars().next() {
        let length = element(c, rest, &mut out)
            .or_else(|| fraction(c, rest, &mut out))
            .unwrap_or_else(|| {
                out.push(next);
                next.len_utf8()
            });
        rest = &rest[length..];
    }
    out
}

/// The elements of a layout; each comes before its own prefixes.
const ELEMENTS: [&str; 34] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "__2",
    "_2006",
    "_2",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "1",
    "2",
    "3",
    "4",
    "5",
    "PM",
    "pm",
    "-07:00:00",
    "-07:00",
    "-070000",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z07:00",
    "Z070000",
    "Z0700",
    "Z07",
];

/// Writes the element at the start of `rest`, and returns the element's length.
fn element(c: &Civil, rest: &str, out: &mut String) -> Option<usize> {
    let found = ELEMENTS
        .into_iter()
        .find(|element| rest.starts_with(element))?;
    let lowercase = rest[found.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    if lowercase && matches!(found, "Jan" | "Mon") {
        return None;
    }
    let (month, weekday) = (MONTHS[c.month as usize - 1], WEEKDAYS[c.weekday as usize]);
    let twelve = (c.hour + 11) % 12 + 1;
    let _ = match found {
        "January" => write!(out, "{month}"),
        "Jan" => write!(out, "{}", &month[..3]),
        "Monday" => write!(out, "{weekday}"),
        "Mon" => write!(out, "{}", &weekday[..3]),
        "MST" => write!(out, "UTC"),
        "2006" => write!(out, "{:04}", c.year),
        "_2006" => write!(out, "_{:04}", c.year),
        "06" => write!(out, "{:02}", c.year.rem_euclid(100)),
        "01" => write!(out, "{:02}", c.month),
        "1" => write!(out, "{}", c.month),
        "02" => write!(out, "{:02}", c.day),
        "_2" => write!(out, "{:2}", c.day),
        "2" => write!(out, "{}", c.day),
        "002" => write!(out, "{:03}", c.year_day),
        "__2" => write!(out, "{:3}", c.year_day),
        "15" => write!(out, "{:02}", c.hour),
        "03" => write!(out, "{twelve:02}"),
        "3" => write!(out, "{twelve}"),
        "04" => write!(out, "{:02}", c.minute),
        "4" => write!(out, "{}", c.minute),
        "05" => write!(out, "{:02}", c.second),
        "5" => write!(out, "{}", c.second),
        "PM" => write!(out, "{}", if c.hour < 12 { "AM" } else { "PM" }),
        "pm" => write!(out, "{}", if c.hour < 12 { "am" } else { "pm" }),
        zone if zone.starts_with('-') => {
            write!(out, "{}", zone.replacen('-', "+", 1).replace('7', "0"))
        }
        zone if zone.starts_with('Z') => write!(out, "Z"),
        _ => return None,
    };
    Some(found.len())
}

/// `.000` writes as many digits; `.999` leaves out trailing zeros. A comma may replace the point.
fn fraction(c: &Civil, rest: &str, out: &mut String) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (point, kind) = (*bytes.first()?, *bytes.get(1)?);
    if !matches!(point, b'.' | b',') || !matches!(kind, b'0' | b'9') {
        return None;
    }
    let digits = bytes[1..]
        .iter()
        .take_while(|digit| **digit == kind)
        .count();
    if digits > 9 || bytes.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let all = format!("{:09}", c.nanosecond);
    let kept = match kind {
        b'9' => all[..digits].trim_end_matches('0'),
        _ => &all[..digits],
    };
    if !kept.is_empty() {
        out.push(char::from(point));
        out.push_str(kept);
    }
    Some(1 + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_go() {
        let c = Civil::from_unix(1_700_000_123, 450_000_000);
        let cases = [
            ("2006-01-02T15:04:05Z07:00", "2023-11-14T22:15:23Z"),
            (
                "Mon Jan _2 15:04:05 MST 2006",
                "Tue Nov 14 22:15:23 UTC 2023",
            ),
            (
                "Monday, 02-Jan-06 03:04:05 PM",
                "Tuesday, 14-Nov-23 10:15:23 PM",
            ),
            (
                "3:4pm .000 .99 ,999 -0700 -07:00",
                "10:15pm .450 .45 ,45 +0000 +00:00",
            ),
            ("2006-002", "2023-318"),
        ];
        for (layout, expected) in cases {
            assert_eq!(format(&c, layout), expected, "{layout}");
        }
        assert_eq!(
            format(&Civil::from_unix(0, 0), "15h 3PM 2 .999|.00"),
            "00h 12AM 1 |.00"
        );
        assert_eq!(format(&c, "Monthly Jane"), "Monthly Jane");
    }
}
