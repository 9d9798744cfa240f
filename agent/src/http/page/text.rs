//! Text of the page: escapes it for HTML and makes numbers short.

use crate::state::handle::Shown;

/// A text for display, escaped for HTML, between tags and in attributes with double quotes.
pub(super) fn html(shown: &Shown) -> String {
    escaped(shown.as_str())
}

/// Escapes `text` for HTML, between tags and in attributes with double quotes.
pub(in crate::http) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// A size such as `12.3 MiB`. The page's script formats sizes the same way.
pub(super) fn bytes(value: f64) -> String {
    let mut value = value;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        // Not 1024: larger values would be shown as 1024.0.
        if value < 1023.95 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    match unit {
        "B" => format!("{value:.0} B"),
        _ => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        let shown = Shown::of("<img src=x onerror=\"a&b\">");
        assert_eq!(html(&shown), "&lt;img src=x onerror=&quot;a&amp;b&quot;>");
    }

    #[test]
    fn sizes_have_one_decimal_and_the_largest_fitting_unit() {
        for (value, expected) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1024.0, "1.0 KiB"),
            (1_048_575.0, "1.0 MiB"),
            (12_900_000.0, "12.3 MiB"),
            (5e15, "4547.5 TiB"),
        ] {
            assert_eq!(bytes(value), expected);
        }
    }
}
