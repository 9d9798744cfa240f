//! The results of the runs: kept below `target/vm/results`, shown as a table, and written into docs/requirements.md.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use super::machines::{MACHINES, Machine};
use crate::workspace;

/// The document with the table of results, from the root of the repository.
const DOCUMENT: &str = "docs/requirements.md";

/// Around the table in [`DOCUMENT`].
const BEGIN: &str = "<!-- made by `cargo xtask vm --table` -->\n";
const END: &str = "<!-- end of that -->\n";

/// One run of one machine that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Kernel release, as `uname -r` prints it.
    pub(super) release: String,
    /// The tier of an agent there without a flag for it.
    pub(super) tier: String,
    /// Where it has final totals from, or `none`.
    pub(super) exit_hook: String,
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) seconds: u64,
    /// The commit that was built.
    pub(super) commit: String,
}

impl Finding {
    /// Whether something was tested, and all of it passed.
    pub(super) fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    fn line(&self) -> String {
        let Self {
            release,
            tier,
            exit_hook,
            passed,
            failed,
            seconds,
            commit,
        } = self;
        format!("{release} {tier} {exit_hook} {passed} {failed} {seconds} {commit}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [release, tier, exit_hook, passed, failed, seconds, commit] = words[..] else {
            return None;
        };
        Some(Self {
            release: release.to_owned(),
            tier: tier.to_owned(),
            exit_hook: exit_hook.to_owned(),
            passed: passed.parse().ok()?,
            failed: failed.parse().ok()?,
            seconds: seconds.parse().ok()?,
            commit: commit.to_owned(),
        })
    }
}

fn path(machine: &Machine) -> PathBuf {
    let folder = workspace::target_dir().join("vm/results");
    folder.join(machine.name)
}

/// Takes the result of an older run away: one that hangs or panics leaves none.
pub(super) fn forget(machine: &Machine) -> Result<()> {
    match fs::remove_file(path(machine)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Keeps it for the table of [`DOCUMENT`].
pub(super) fn keep(machine: &Machine, finding: &Finding) -> Result<()> {
    let path = path(machine);
    fs::create_dir_all(path.parent().context("results have a folder")?)?;
    Ok(fs::write(path, finding.line())?)
}

/// One line each, for the terminal.
pub(super) fn summary(runs: &[(&Machine, Result<Finding>)]) -> String {
    let mut text = format!(
        "{:14} {:26} {:9} {:11} {:>7} {:>7} {:>8}\n",
        "machine", "kernel", "tier", "exit hook", "passed", "failed", "seconds"
    );
    for (machine, run) in runs {
        let name = machine.name;
        let _ = match run {
            Ok(found) => writeln!(
                text,
                "{name:14} {:26} {:9} {:11} {:>7} {:>7} {:>8}",
                found.release,
                found.tier,
                found.exit_hook,
                found.passed,
                found.failed,
                found.seconds
            ),
            Err(error) => writeln!(text, "{name:14} {error:#}"),
        };
    }
    text
}

/// Puts the kept results into [`DOCUMENT`]. The row of a machine that was not run whole, or whose last run did not end, has no
/// result.
pub(super) fn write_document() -> Result<()> {
    let path = workspace::root().join(DOCUMENT);
    let document = fs::read_to_string(&path)?;
    let mut table = String::from(
        "| machine | kernel | difference | tier | final totals at | live tests | commit |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for machine in MACHINES {
        table.push_str(&row(machine, kept(machine)?.as_ref())?);
    }
    Ok(fs::write(&path, with_table(&document, &table)?)?)
}

/// The result of the last whole run; `None`: there was none.
fn kept(machine: &Machine) -> Result<Option<Finding>> {
    let path = path(machine);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let finding = Finding::parse(&text);
    finding
        .map(Some)
        .with_context(|| format!("{} is malformed", path.display()))
}

fn row(machine: &Machine, found: Option<&Finding>) -> Result<String> {
    let (name, what) = (machine.name, machine.what);
    let Some(found) = found else {
        return Ok(format!("| {name} | | {what} | | | not run whole | |\n"));
    };
    let exit_hook = match found.exit_hook.as_str() {
        "release" => "`release_task`",
        "free" => "`sched_process_free`",
        "last_switch" => "`sched_switch`",
        "none" => "",
        other => bail!("{name}: unknown exit hook {other:?}"),
    };
    let topics: Vec<&str> = machine
        .tests
        .iter()
        .map(|word| word.trim_end_matches("::"))
        .collect();
    let scope = match topics.as_slice() {
        [] => String::new(),
        topics => format!(" ({})", topics.join(", ")),
    };
    let failed = match found.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    Ok(format!(
        "| {name} | {} | {what} | {} | {exit_hook} | {}{failed}{scope} | {} |\n",
        found.release, found.tier, found.passed, found.commit
    ))
}

/// `document` with `table` between the two comments.
fn with_table(document: &str, table: &str) -> Result<String> {
    let (before, _, after) = parts(document)?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// The text before, between and behind the two comments.
fn parts(document: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = document
        .split_once(BEGIN)
        .with_context(|| format!("{DOCUMENT} has no line {BEGIN:?}"))?;
    let (between, after) = rest
        .split_once(END)
        .with_context(|| format!("{DOCUMENT} has no line {END:?}"))?;
    Ok((before, between, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            release: "6.1.0-1".to_owned(),
            tier: "procfs".to_owned(),
            exit_hook: "none".to_owned(),
            passed: 12,
            failed: 0,
            seconds: 9,
            commit: "0123abc".to_owned(),
        }
    }

    #[test]
    fn finding_parses_back() {
        assert_eq!(Finding::parse(&finding().line()), Some(finding()));
        assert_eq!(Finding::parse("6.1.0 procfs"), None);
    }

    #[test]
    fn row_shows_failures_and_refuses_an_unknown_exit_hook() {
        let row_of = |finding| row(&MACHINES[0], finding);
        let good = finding();
        let passed = row_of(Some(&good)).expect("its exit hook is known");
        assert!(passed.starts_with("| 5.10 | 6.1.0-1 |"), "{passed}");
        let failed = Finding {
            failed: 1,
            ..finding()
        };
        let row_with = row_of(Some(&failed)).expect("its exit hook is known");
        assert!(row_with.contains("| 12, 1 failed |"), "{row_with}");
        let without = row_of(None).expect("it has no exit hook");
        assert!(without.contains("| not run whole |"), "{without}");
        let unknown = Finding {
            exit_hook: "x".to_owned(),
            ..finding()
        };
        assert!(row_of(Some(&unknown)).is_err());
        for exit_hook in ["release", "free", "last_switch", "none"] {
            let known = Finding {
                exit_hook: exit_hook.to_owned(),
                ..finding()
            };
            assert!(row(&MACHINES[0], Some(&known)).is_ok(), "{exit_hook}");
        }
    }

    #[test]
    fn document_names_exactly_the_machines_of_the_table() {
        let document = include_str!("../../../docs/requirements.md");
        let (_, table, _) = parts(document).expect("the comments are there");
        let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
        let named: Vec<&str> = rows.filter_map(|row| row.split(" | ").next()).collect();
        let expected: Vec<String> = MACHINES
            .iter()
            .map(|machine| format!("| {}", machine.name))
            .collect();
        assert_eq!(named, expected);
    }

    #[test]
    fn only_the_text_between_the_comments_is_replaced() {
        let document = format!("a\n{BEGIN}old\n{END}b\n");
        let written = with_table(&document, "new\n").expect("both comments are there");
        assert_eq!(written, format!("a\n{BEGIN}\nnew\n\n{END}b\n"));
        assert!(with_table("a", "new").is_err());
    }
}
