//! Reads samples from an exposition.

/// Sum over all samples of `family`.
pub(crate) fn sum(body: &str, family: &str) -> f64 {
    samples(body, family).map(|(_, value)| value).sum()
}

/// Label part and value of each sample of `family`.
pub(crate) fn samples<'a>(body: &'a str, family: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    body.lines().filter_map(move |line| {
        let rest = line.strip_prefix(family)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        let (labels, value) = rest.rsplit_once(' ')?;
        Some((labels, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_family_only() {
        let body = "# HELP a A.\n# TYPE a gauge\na{x=\"1 2\"} 3\na{x=\"\"} 4.5\na_total 7\na 1\n";
        assert_eq!(sum(body, "a"), 8.5);
        assert_eq!(samples(body, "a").next(), Some(("{x=\"1 2\"}", 3.0)));
        assert_eq!(sum(body, "b"), 0.0);
    }
}
