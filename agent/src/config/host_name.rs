//! Host names, as used in the header `Host` and in `--web.allowed-host`.

use std::net::IpAddr;

/// Longest name that DNS allows, in bytes.
const MAX_NAME: usize = 253;

/// The name in lower case without a trailing dot; `None` if it cannot be a host name.
pub fn normalized(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_name.then(|| name.to_ascii_lowercase())
}

/// Parses a value of `--web.allowed-host`.
///
/// # Errors
/// The value is not a host name; the message names the expected form.
pub(super) fn parse(text: &str) -> Result<String, String> {
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(
            "is an IP address, and those are always allowed; expected a host name".to_owned(),
        );
    }
    normalized(text).ok_or_else(|| {
        "is no host name; expected one such as agents.example.org, without scheme and port, in its ASCII form".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_in_any_case_and_with_a_dot() {
        for text in ["Agents.Example.org.", "agents.example.org"] {
            assert_eq!(parse(text), Ok("agents.example.org".to_owned()));
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_expected_form() {
        let long = "a".repeat(MAX_NAME + 1);
        for text in [
            "",
            ".",
            "a:1",
            "http://a",
            "*",
            "a b",
            "b\u{fc}cher.example",
            &long,
        ] {
            assert!(
                parse(text).unwrap_err().contains("without scheme and port"),
                "{text}"
            );
        }
        for text in ["[::1]", "::1", "10.0.0.1"] {
            assert!(
                parse(text).unwrap_err().contains("always allowed"),
                "{text}"
            );
        }
    }
}
