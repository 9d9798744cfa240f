//! The time limit of a scrape, from the timeout that Prometheus sends with each request.
//!
//! The limit belongs to one client and is not passed on to the state thread. Other clients with longer timeouts may
//! share the same pass, and a pass cannot be cut short: after half a pass, the agent would take the remaining
//! processes for exited ones.

use std::time::Duration;

use hyper::HeaderMap;

/// Header with the scrape timeout of Prometheus: seconds, with an optional fraction.
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// Part of that timeout reserved for the network; at most half of the timeout.
const MARGIN: Duration = Duration::from_millis(100);

/// Time in which to answer: the client's timeout less the margin, and at most `most`. An invalid or zero timeout
/// counts as absent.
pub(in crate::http) fn scrape_time(headers: &HeaderMap, most: Duration) -> Duration {
    let timeout = headers
        .get(TIMEOUT)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|timeout| !timeout.is_zero());
    timeout.map_or(most, |timeout| {
        timeout.saturating_sub(MARGIN).max(timeout / 2).min(most)
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn scrape_time_is_the_valid_client_timeout_less_a_margin() {
        let most = Duration::from_secs(10);
        let cases = [
            ("5", 4_900),
            ("0.3", 200),
            (" 1.5 ", 1_400),
            ("0.1", 50),
            ("10", 9_900),
            ("60", 10_000),
            ("1e300", 10_000),
            ("inf", 10_000),
            ("nan", 10_000),
            ("-1", 10_000),
            ("0", 10_000),
            ("", 10_000),
            ("soon", 10_000),
            ("\u{e9}", 10_000),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            let expected = Duration::from_millis(expected);
            assert_eq!(scrape_time(&headers, most), expected, "{text:?}");
        }
        assert_eq!(scrape_time(&HeaderMap::new(), most), most);
    }
}
