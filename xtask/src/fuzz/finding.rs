//! A finding of a fuzz target: an input that made it fail, and the output that helps to fix it.

use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err as fs;

use crate::workspace;

/// Largest part of an input that is shown, bytes.
const SHOWN: usize = 2048;
/// Largest number of lines of the target's output that are shown; the panic's message is among the last.
const LINES: usize = 40;

/// Describes a finding by the output of libFuzzer.
///
/// # Errors
/// The target did not end because of an input, or the input cannot be read.
pub(super) fn describe(binary: &Path, target: &str, said: &str) -> Result<String> {
    let path = input_path(said);
    let path = path.with_context(|| format!("{target} did not run: {}", tail(said)))?;
    let (said, escaped) = (tail(said), escape(&fs::read(path)?));
    let from_root = |path| {
        Path::strip_prefix(path, workspace::root())
            .unwrap_or(path)
            .display()
    };
    let (binary, input) = (from_root(binary), from_root(Path::new(path)));
    Ok(format!(
        "fuzz: {target} does not survive {input}\n{said}\n  the input: b\"{escaped}\"\n  again:     {binary} {input}\n  \
         smaller:   {binary} -minimize_crash=1 -max_total_time=30 {input}\n  keep it:   move it to \
         agent/fuzz/corpus/{target}/, where it is a test, and mend the fault"
    ))
}

/// The file that libFuzzer has written, or was reading.
fn input_path(said: &str) -> Option<&str> {
    let mut lines = said.lines();
    let (_, path) = lines.find_map(|line| line.split_once("Test unit written to "))?;
    Some(path.trim()).filter(|path| !path.is_empty())
}

fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn escape(input: &[u8]) -> String {
    let shown = input[..input.len().min(SHOWN)].escape_ascii().to_string();
    match input.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown}... and {more} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_path_is_read_from_the_output_of_libfuzzer() {
        let said = "thread panicked\n==7== ERROR: libFuzzer: deadly signal\nartifact_prefix='/r/x/'; Test unit written to /r/x/crash-0a\n\
                    Base64: AA==\n";
        assert_eq!(input_path(said), Some("/r/x/crash-0a"));
        assert_eq!(input_path("error: no such option\n"), None);
        assert!(describe(Path::new("b"), "t", "no such option").is_err());
    }

    #[test]
    fn shown_input_is_escaped_and_bounded() {
        assert_eq!(escape(b"a\"\n\xff"), r#"a\"\n\xff"#);
        assert!(escape(&[b'x'; SHOWN + 3]).ends_with("xx... and 3 bytes"));
    }
}
