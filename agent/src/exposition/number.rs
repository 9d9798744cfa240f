//! Formats sample values.
//!
//! Numbers are written straight into the body. Whole numbers have no exponent; fractions are the shortest text that
//! reads back as the same number; nanoseconds become seconds by moving the decimal point, never through a float.

use std::fmt::Write as _;

/// The value of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(u64),
    /// Any number.
    Float(f64),
    /// A time in nanoseconds, printed as seconds without rounding.
    Nanoseconds(u64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(u64::from(value))
    }
}

/// Floats from this size on, and below its inverse, are printed with an exponent: all digits of `1e300` would be
/// useless.
const EXPONENT_FROM: f64 = 1e17;

impl Value {
    pub(super) fn write(self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Integer(value) => write!(out, "{value}"),
            Self::Float(value) => return write_float(value, out),
            Self::Nanoseconds(value) => return write_seconds(value, out),
        };
    }
}

fn write_float(value: f64, out: &mut String) {
    let size = value.abs();
    let _ = if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else if size != 0.0 && !(EXPONENT_FROM.recip()..EXPONENT_FROM).contains(&size) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
}

fn write_seconds(nanoseconds: u64, out: &mut String) {
    const SECOND: u64 = 1_000_000_000;
    let _ = write!(out, "{}", nanoseconds / SECOND);
    let fraction = nanoseconds % SECOND;
    if fraction != 0 {
        let _ = write!(out, ".{fraction:09}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    fn text(value: impl Into<Value>) -> String {
        let mut out = String::new();
        value.into().write(&mut out);
        out
    }

    #[test]
    fn whole_numbers_have_no_exponent() {
        assert_eq!(text(0_u64), "0");
        assert_eq!(text(u64::MAX), "18446744073709551615");
        assert_eq!(text(1_700_000_001.0), "1700000001");
        assert_eq!(text(-3.0), "-3");
        assert_eq!(text(true), "1");
    }

    #[test]
    fn fractions_are_the_shortest_text_that_reads_back() {
        for (value, expected) in [
            (0.1, "0.1"),
            (0.001, "0.001"),
            (1e-20, "1e-20"),
            (1.5e300, "1.5e300"),
            (0.0, "0"),
        ] {
            assert_eq!(text(value), expected);
            assert_eq!(
                expected.parse::<f64>().unwrap().to_bits(),
                f64::to_bits(value)
            );
        }
    }

    #[test]
    fn infinities_and_nan_are_written_as_the_format_says() {
        assert_eq!(text(f64::INFINITY), "+Inf");
        assert_eq!(text(f64::NEG_INFINITY), "-Inf");
        assert_eq!(text(f64::NAN), "NaN");
    }

    #[test]
    fn nanoseconds_become_seconds_exactly() {
        assert_eq!(text(Value::Nanoseconds(0)), "0");
        assert_eq!(text(Value::Nanoseconds(1)), "0.000000001");
        assert_eq!(text(Value::Nanoseconds(20_500_000_000)), "20.5");
        assert_eq!(text(Value::Nanoseconds(100_000_000_000)), "100");
        assert_eq!(text(Value::Nanoseconds(u64::MAX)), "18446744073.709551615");
    }
}
