//! Parses decimal numbers as the kernel prints them, from bytes: no sign, no rounding, no wrap-around.

/// The number that `digits` spells; `None` for anything else, also for a number beyond 64 bits.
pub(super) fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The process or thread id that `digits` spells: 32 bits; `None` for 0.
pub(super) fn parse_id(digits: &[u8]) -> Option<u32> {
    parse_decimal(digits)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|id| *id > 0)
}

/// The words of a line, separated by blanks and tabs.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numbers_of_64_bits() {
        assert_eq!(parse_decimal(b"0"), Some(0));
        assert_eq!(parse_decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"-1",
            b"+1",
            b" 1",
            b"1\n",
            b"0x1",
            b"1.0",
            b"18446744073709551616",
            b"\xff",
        ] {
            assert_eq!(parse_decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ids_are_positive_and_32_bits_wide() {
        assert_eq!(parse_id(b"4194304"), Some(4_194_304));
        assert_eq!(parse_id(b"0"), None);
        assert_eq!(parse_id(b"4294967296"), None);
        assert_eq!(parse_id(b"self"), None);
    }
}
