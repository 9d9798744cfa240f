//! Fuzz targets: command lines and web configuration files with arbitrary content.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::web::WebConfig;
use super::{Command, ListenAddress};
use crate::go::duration;

/// Parses a command line with one word per line. Asserts that it is accepted or refused with a message, and that
/// accepted addresses and durations read back from their text.
pub(crate) fn command_line(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let words = std::iter::once("headcount").chain(text.lines());
    if let Err(refused) = Command::parse_from(words.map(OsString::from)) {
        // Help and version are not errors.
        assert!(
            !refused.text.is_empty() && (refused.code != 0 || text.contains(['h', 'V', 'v', 'm']))
        );
    }
    for word in text.lines() {
        if let Ok(address) = word.parse::<ListenAddress>() {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        time(word);
    }
}

/// Asserts that a duration reads back from its nanoseconds, and is about the sum of its parts as floats.
fn time(word: &str) {
    let Ok(found) = duration::parse(word) else {
        return;
    };
    assert!(found <= Duration::from_nanos(i64::MAX.unsigned_abs()));
    assert_eq!(
        duration::parse(&format!("{}ns", found.as_nanos())),
        Ok(found)
    );
    let mut rest = word.trim_start_matches('+');
    let mut seconds = 0.0;
    while let Some(end) = rest.find(|c: char| c != '.' && !c.is_ascii_digit()) {
        let (number, behind) = rest.split_at(end);
        let unit = behind.find(|c: char| c == '.' || c.is_ascii_digit());
        let (unit, behind) = behind.split_at(unit.unwrap_or(behind.len()));
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "ns" => 1e-9,
            _ => 1e-6,
        };
        seconds += number.parse::<f64>().expect("a number") * scale;
        rest = behind;
    }
    let parts = 1e-9 * (word.len() as f64);
    assert!(
        (found.as_secs_f64() - seconds).abs() <= seconds * 1e-9 + parts,
        "{word}: {seconds}"
    );
}

/// Asserts that an error names a line of the file, and that an accepted file has no user twice, no empty header and
/// no contradictory TLS options.
pub(crate) fn web_configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let lines = lines(text);
    match WebConfig::parse(Path::new("/d/web.yml"), text) {
        Err(error) => {
            assert!((1..=lines).contains(&error.line()), "{error}");
            assert!(error.to_string().starts_with("/d/web.yml:"));
        }
        Ok(config) => {
            let mut names: Vec<&str> = config.users.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            assert!(names.is_sorted_by(|one, next| one < next));
            assert!(
                config
                    .headers
                    .iter()
                    .all(|(_, value)| !value.text.is_empty())
            );
            if let Some(tls) = config.tls {
                assert!(tls.min_version <= tls.max_version);
                assert!(!tls.client_auth.verifies() || tls.client_ca.is_some());
            }
        }
    }
}

/// Number of lines in a text as YAML counts them: a carriage return ends a line, too. A line that ends with both
/// counts twice here.
pub(crate) fn lines(text: &str) -> usize {
    text.matches(['\n', '\r']).count() + 1
}
