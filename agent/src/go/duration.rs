//! Parses a duration in Go's syntax: `300ms`, `20s`, `1h30m`, `1.5h`; only `0` needs no unit. A negative one is
//! refused, because no flag has a use for it.

use std::time::Duration;

/// Units in nanoseconds; micro has two spellings, with the micro sign and with the Greek letter.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// The longest duration that Go can hold: 292 years.
const MOST_NS: u128 = i64::MAX as u128;

/// Parses `text`.
///
/// # Errors
/// The message for the command line: the expected form.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    nanoseconds(text)
        .map(Duration::from_nanos)
        .ok_or_else(|| "expected a duration like 300ms, 20s or 1h30m".to_owned())
}

fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total_ns: u128 = 0;
    loop {
        let (part_ns, behind) = part(rest)?;
        total_ns = total_ns.checked_add(part_ns)?;
        if behind.is_empty() {
            return u64::try_from(total_ns).ok().filter(|_| total_ns <= MOST_NS);
        }
        rest = behind;
    }
}

/// The first number with its unit, in nanoseconds, and the rest of the text.
fn part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, behind) = rest.split_at(end);
    let (_, unit_ns) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    // Digits below a nanosecond do not count; of an hour, that is the 15th digit and later ones.
    let fraction = &fraction[..fraction.len().min(14)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction_ns = number(fraction)? * unit_ns / scale;
    let part_ns = number(whole)?
        .checked_mul(unit_ns)?
        .checked_add(fraction_ns)?;
    Some((part_ns, behind))
}

fn number(digits: &str) -> Option<u128> {
    if digits.is_empty() {
        return Some(0);
    }
    digits.parse().ok()
}

/// The leading digits of `text`, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_accepted() {
        let cases = [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("300ms", 300_000_000),
            ("20s", 20_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("0h0m1s", 1_000_000_000),
            ("+5us", 5_000),
            ("2\u{b5}s", 2_000),
            ("2\u{3bc}s", 2_000),
            ("0.0000000019s", 1),
            ("0.333333333333333333333h", 1_200_000_000_000 - 1),
            ("9223372036854775807ns", i64::MAX as u64),
        ];
        for (text, expected_ns) in cases {
            assert_eq!(parse(text), Ok(Duration::from_nanos(expected_ns)), "{text}");
        }
    }

    #[test]
    fn durations_that_go_refuses_are_refused() {
        let bad = [
            "",
            "+",
            "s",
            ".s",
            "5",
            "1h5",
            "-5s",
            "5 s",
            "5S",
            "1d",
            "1hm",
            "h1",
            "1..5s",
            "٣s",
            "9223372036854775808ns",
            "99999999999999999999999999999999999999999s",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
