//! Starts other programs, so that a failure names the command to repeat.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Prints the command and runs it with the terminal of this process; fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    println!("+ {}", show(command));
    let status = command.status();
    let status = status.with_context(|| format!("start {}", show(command)))?;
    if !status.success() {
        bail!("{status} from: {}", show(command));
    }
    Ok(())
}

/// Runs it without output and returns its standard output; the error contains its standard error.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", show(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let (status, stderr) = (output.status, stderr.trim_end());
        bail!("{status} from: {}\n{stderr}", show(command));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether it starts and succeeds; its output is dropped.
pub fn works(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// The command as a user would type it: variables, program, arguments.
pub fn show(command: &Command) -> String {
    let mut text = String::new();
    for (name, value) in command.get_envs() {
        if let (Some(name), Some(value)) = (name.to_str(), value) {
            let _ = write!(text, "{name}={} ", quote(&value.to_string_lossy()));
        }
    }
    // Under cargo, $CARGO is a long path; the name says enough.
    let program = Path::new(command.get_program());
    let is_cargo = program.ends_with("bin/cargo");
    let program = if is_cargo {
        Path::new("cargo")
    } else {
        program
    };
    text.push_str(&program.to_string_lossy());
    for argument in command.get_args() {
        let _ = write!(text, " {}", quote(&argument.to_string_lossy()));
    }
    text
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_shown_as_a_user_would_type_it() {
        let mut command = Command::new("/x/bin/cargo");
        command.env("LLVM_PREFIX", "/a b");
        command.args(["build", "it's", ""]);
        assert_eq!(
            show(&command),
            r"LLVM_PREFIX='/a b' cargo build 'it'\''s' ''"
        );
    }

    #[test]
    fn failure_names_the_command() {
        let error = run(&mut Command::new("false")).expect_err("false fails");
        assert!(error.to_string().contains("false"), "{error}");
        let error = read(Command::new("sh").args(["-c", "echo because >&2; exit 3"]));
        let error = error.expect_err("exit 3 fails").to_string();
        assert!(
            error.contains("because") && error.contains("exit status: 3"),
            "{error}"
        );
    }
}
