//! Command lines and web configuration files with any content.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::web::WebConfig;
use super::{Command, ListenAddress, duration};

/// The words of a command line, one a line: understood or refused with a text; addresses and durations mean what they print.
pub(crate) fn command_line(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let words = std::iter::once("headcount").chain(text.lines());
    if let Err(refused) = Command::parse_from(words.map(OsString::from)) {
        // Help and version are no errors.
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

/// A duration is what its nanoseconds are, and about the sum of its parts as floats.
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

/// A refusal names a line of the file; what is taken names no key twice and hides what may be secret.
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

/// Lines of a text as YAML counts them: a carriage return ends one, too. One that both end counts twice here.
pub(crate) fn lines(text: &str) -> usize {
    text.matches(['\n', '\r']).count() + 1
}
