//! How long a scrape may take, as Prometheus says in each of its requests, and what it gets when that is over.
//!
//! The time is that of one client. It does not travel to the owner of the state, whose pass others may share and wait longer
//! for, and which nothing can cut short: half a pass would take the rest of the processes for gone.

use std::fmt::Debug;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::Bytes;

/// What Prometheus waits, in seconds, with a fraction if there is one.
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// What the way there and back may take of it, but no more than half.
const MARGIN: Duration = Duration::from_millis(100);

/// Who knows what can be told without the owner of the state.
pub trait Fallback: Debug + Send + Sync {
    /// The exposition of that, which says of the rest that it is missing. Waits for nobody.
    fn exposition(&self) -> Bytes;
}

/// Time to answer in: the client's, less a margin, and at most `most`. What is no time is as good as nothing.
pub(super) fn allowed(headers: &HeaderMap, most: Duration) -> Duration {
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
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn the_client_s_time_less_a_margin_counts_if_it_is_one() {
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
            assert_eq!(allowed(&headers, most), expected, "{text:?}");
        }
        assert_eq!(allowed(&HeaderMap::new(), most), most);
    }
}
