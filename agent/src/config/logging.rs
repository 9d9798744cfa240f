//! The agent's log: one line per record on standard error, in logfmt or JSON.
//!
//! A call site that logs too often is suppressed for a while; its next line says how many lines were left out, and
//! [`Logger::suppressed`] counts them all. A message is cut at 4 KiB. There are no log files, no rotation and no
//! colours.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use log::{LevelFilter, Log, Metadata, Record};

use super::limiter::{BURST, DEBUG_BURST, Limiter};
use crate::go::civil::Civil;

/// Longest message, in bytes; longer ones are cut.
const MAX_MESSAGE: usize = 4096;

/// Lowest level of the lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Level {
    /// Failures.
    Error,
    /// Also what works less well than it could.
    Warn,
    /// Also normal events.
    #[default]
    Info,
    /// Also the group of each process, and the reason.
    Debug,
}

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// `ts=… level=info target=… msg="…"`
    #[default]
    Logfmt,
    /// `{"ts":"…","level":"info","target":"…","msg":"…"}`
    Json,
}

/// The logger of the process.
#[derive(Debug)]
pub struct Logger {
    level: LevelFilter,
    format: Format,
    started: Instant,
    limiter: Mutex<Limiter>,
    suppressed: AtomicU64,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Installs the logger. A second call changes nothing and returns the first logger.
pub fn init(level: Level, format: Format) -> &'static Logger {
    let level = match level {
        Level::Error => LevelFilter::Error,
        Level::Warn => LevelFilter::Warn,
        Level::Info => LevelFilter::Info,
        Level::Debug => LevelFilter::Debug,
    };
    let logger = LOGGER.get_or_init(|| Logger {
        level,
        format,
        started: Instant::now(),
        limiter: Mutex::default(),
        suppressed: AtomicU64::new(0),
    });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(logger.level);
    }
    logger
}

impl Logger {
    /// Lines left out since the start because their call site logged too often.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    fn admit(&self, record: &Record<'_>) -> Option<u64> {
        let Some((file, line)) = record.file_static().zip(record.line()) else {
            return Some(0);
        };
        // The lock guards plain counters, which are still valid if it is poisoned.
        let mut limiter = self
            .limiter
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_ours = record.target().starts_with(env!("CARGO_PKG_NAME"));
        let burst = match record.level() {
            log::Level::Debug if is_ours => DEBUG_BURST,
            _ => BURST,
        };
        let admitted = limiter.admit((file, line), burst, self.started.elapsed());
        if admitted.is_none() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(left_out) = self.admit(record) else {
            return;
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let line = line(self.format, now, record, left_out);
        // If standard error is closed, there is no place to report that.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Formats one log line, including its line break.
fn line(format: Format, now: Duration, record: &Record<'_>, left_out: u64) -> String {
    let time = timestamp(now);
    let level = record.level().as_str().to_ascii_lowercase();
    let mut message = record.args().to_string();
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    let target = record.target();
    match format {
        Format::Logfmt => {
            let (target, message) = (logfmt(target), logfmt(&message));
            let suppressed = if left_out > 0 {
                format!(" suppressed={left_out}")
            } else {
                String::new()
            };
            format!("ts={time} level={level} target={target} msg={message}{suppressed}\n")
        }
        Format::Json => {
            let (target, message) = (json(target), json(&message));
            let suppressed = if left_out > 0 {
                format!(",\"suppressed\":{left_out}")
            } else {
                String::new()
            };
            format!(
                "{{\"ts\":\"{time}\",\"level\":\"{level}\",\"target\":{target},\"msg\":{message}{suppressed}}}\n"
            )
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(now: Duration) -> String {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX / 2);
    let c = Civil::from_unix(seconds, now.subsec_nanos());
    let (date, millis) = (
        format!("{:04}-{:02}-{:02}", c.year, c.month, c.day),
        c.nanosecond / 1_000_000,
    );
    format!(
        "{date}T{:02}:{:02}:{:02}.{millis:03}Z",
        c.hour, c.minute, c.second
    )
}

/// A value in logfmt: bare if it is one plain word, else quoted.
fn logfmt(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    match !value.is_empty() && value.chars().all(plain) {
        true => value.to_owned(),
        false => json(value),
    }
}

/// A value quoted with JSON's escapes; other control characters, including terminal escapes, become `\u`.
fn json(value: &str) -> String {
    let mut quoted = serde_json::Value::from(value).to_string();
    if quoted.contains(char::is_control) {
        quoted = quoted
            .chars()
            .map(|c| {
                if c.is_control() {
                    format!("\\u{:04x}", u32::from(c))
                } else {
                    c.to_string()
                }
            })
            .collect();
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, message: &str, left_out: u64) -> String {
        let now = Duration::from_millis(1_700_000_123_450);
        let args = format_args!("{message}");
        let record = Record::builder()
            .level(log::Level::Warn)
            .target("headcount::http")
            .args(args)
            .build();
        line(format, now, &record, left_out)
    }

    #[test]
    fn logfmt_lines() {
        let start = "ts=2023-11-14T22:15:23.450Z level=warn target=headcount::http msg=";
        let cases = [
            ("ready", "ready"),
            ("two words", "\"two words\""),
            ("a=\"b\"\n\\\u{1b}[1m", r#""a=\"b\"\n\\\u001b[1m""#),
            ("", "\"\""),
            ("\u{85}", r#""\u0085""#),
            ("naïve", "naïve"),
        ];
        for (message, expected) in cases {
            assert_eq!(
                written(Format::Logfmt, message, 0),
                format!("{start}{expected}\n")
            );
        }
        assert_eq!(
            written(Format::Logfmt, "x", 3),
            format!("{start}x suppressed=3\n")
        );
    }

    #[test]
    fn json_lines_parse() {
        let message = "a\"b\\c\nd\u{7f}é";
        let line = written(Format::Json, message, 2);
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], message);
        assert_eq!(value["ts"], "2023-11-14T22:15:23.450Z");
        assert_eq!(
            (&value["level"], &value["suppressed"]),
            (&"warn".into(), &2.into())
        );
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let line = written(Format::Logfmt, &"é".repeat(MAX_MESSAGE), 0);
        assert!(line.len() < MAX_MESSAGE + 100, "{}", line.len());
        assert!(line.ends_with("é…\n"));
    }

    #[test]
    fn repeats_are_counted() {
        let logger = init(Level::Error, Format::Logfmt);
        let site = Record::builder()
            .file_static(Some("repeats.rs"))
            .line(Some(1))
            .build();
        let before = logger.suppressed();
        let written = (0..20).filter(|_| logger.admit(&site).is_some()).count();
        assert_eq!((written, logger.suppressed() - before), (5, 15));
        let written = |target, line| {
            let site = Record::builder()
                .level(log::Level::Debug)
                .target(target)
                .file_static(Some("repeats.rs"))
                .line(Some(line))
                .build();
            (0..2000).filter(|_| logger.admit(&site).is_some()).count()
        };
        assert_eq!(written("headcount::group", 2), 1000);
        assert_eq!(written("aya", 3), 5);
        assert_eq!(logger.suppressed() - before, 15 + 1000 + 1995);
    }
}
