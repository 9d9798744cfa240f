//! `properties.json` of an instance directory.
//!
//! In: the bytes of the file, whose length the reader has bounded. Out: the facts about the instance that the agent shows.

use serde::Deserialize;

use super::document::InvalidDocument;
use super::text;

/// Major version of the structure of instance directories that the agent knows.
const MAJOR_VERSION: u64 = 4;
/// Longest name of an instance, bytes.
const MAX_INSTANCE_NAME: usize = 64;

/// The properties that an instance states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Properties {
    /// `name`: 1 to 64 ASCII letters, digits, `-` and `_`.
    pub(super) name: String,
    /// `passenger_version`: 1 to 64 characters of visible ASCII.
    pub(super) version: String,
    /// `integration_mode`, as `version`.
    pub(super) integration_mode: String,
    /// `instance_dir.created_at`, seconds since the epoch.
    pub(super) created_at: u64,
    /// `watchdog_pid`, in the pid namespace of the instance, above 0.
    pub(super) watchdog_pid: u32,
}

impl Properties {
    /// Parses the file. Only instance directories of major version 4 are accepted.
    pub(super) fn parse(document: &[u8]) -> Result<Self, InvalidDocument> {
        let raw: RawProperties =
            serde_json::from_slice(document).map_err(|_| InvalidDocument::Json)?;
        if raw.instance_dir.major_version != MAJOR_VERSION {
            return Err(InvalidDocument::Value("major_version"));
        }
        if !is_instance_name(&raw.name) {
            return Err(InvalidDocument::Value("name"));
        }
        let word = |field, value: &str| text::word(value).ok_or(InvalidDocument::Value(field));
        let pid = i32::try_from(raw.watchdog_pid).ok();
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        Ok(Self {
            version: word("passenger_version", &raw.passenger_version)?,
            integration_mode: word("integration_mode", &raw.integration_mode)?,
            created_at: raw.instance_dir.created_at,
            watchdog_pid: pid
                .filter(|pid| *pid > 0)
                .ok_or(InvalidDocument::Value("watchdog_pid"))?,
            name: raw.name,
        })
    }
}

/// The file as it stands; unknown fields are skipped.
#[derive(Deserialize)]
struct RawProperties {
    instance_dir: RawInstanceDir,
    integration_mode: String,
    name: String,
    passenger_version: String,
    watchdog_pid: i64,
}

#[derive(Deserialize)]
struct RawInstanceDir {
    created_at: u64,
    major_version: u64,
}

fn is_instance_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_INSTANCE_NAME).contains(&name.len()) && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("recorded/properties-apache.json");

    fn parse(document: &str) -> Result<Properties, InvalidDocument> {
        Properties::parse(document.as_bytes())
    }

    /// The recorded file with another text in place of one that it has.
    fn with(old: &str, new: &str) -> Result<Properties, InvalidDocument> {
        assert!(RECORDED.contains(old), "{old}");
        parse(&RECORDED.replace(old, new))
    }

    #[test]
    fn the_recorded_file_is_read() {
        let expected = Properties {
            name: "DqLBCYah".to_owned(),
            version: "6.0.17".to_owned(),
            integration_mode: "apache".to_owned(),
            created_at: 1_795_235_712,
            watchdog_pid: 31_491,
        };
        assert_eq!(parse(RECORDED), Ok(expected));
    }

    #[test]
    fn another_major_version_is_refused() {
        let refused = Err(InvalidDocument::Value("major_version"));
        for version in ["3", "5", "40"] {
            let new = format!("\"major_version\" : {version}");
            assert_eq!(with("\"major_version\" : 4", &new), refused);
        }
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "x".repeat(64);
        for name in ["a", "A-b_9", &longest] {
            assert_eq!(with("DqLBCYah", name).unwrap().name, name);
        }
        let longer = "x".repeat(65);
        for name in ["", " ", "a/b", "..", "a\\nb", "\\u00e9", "é", &longer] {
            assert_eq!(
                with("DqLBCYah", name),
                Err(InvalidDocument::Value("name")),
                "{name}"
            );
        }
    }

    #[test]
    fn version_and_mode_are_words() {
        for (old, field) in [
            ("\"6.0.17\"", "passenger_version"),
            ("\"apache\"", "integration_mode"),
        ] {
            for new in [
                "\"\"",
                "\"a b\"",
                "\"a\\u0000\"",
                "\"é\"",
                &format!("\"{}\"", "x".repeat(65)),
            ] {
                assert_eq!(with(old, new), Err(InvalidDocument::Value(field)), "{new}");
            }
        }
    }

    #[test]
    fn the_watchdog_has_a_process_id() {
        assert_eq!(
            with("31491", "2147483647").unwrap().watchdog_pid,
            2_147_483_647
        );
        for pid in ["0", "-1", "2147483648", "4294967297"] {
            assert_eq!(
                with("31491", pid),
                Err(InvalidDocument::Value("watchdog_pid")),
                "{pid}"
            );
        }
    }

    #[test]
    fn a_file_of_another_shape_is_refused() {
        let refused = Err(InvalidDocument::Json);
        assert_eq!(with("31491", "\"31491\""), refused);
        assert_eq!(with("31491", "31491.0"), refused);
        assert_eq!(with("\"DqLBCYah\"", "null"), refused);
        assert_eq!(with("\"name\"", "\"nom\""), refused);
        assert_eq!(with("\"instance_id\"", "\"name\""), refused, "twice");
        assert_eq!(with("1795235712", "-1"), refused);
        let whole = RECORDED.trim_end();
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), refused, "{end}");
        }
    }
}
