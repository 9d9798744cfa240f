//! The results of the runs: kept below `target/vm/results`, shown as a table, and written into docs/requirements.md.

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
    /// The kernel release, as `uname -r` prints it; the tier of an agent there without a flag for it; where it has final totals
    /// from, or `none`.
    pub(super) found: [String; 3],
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
        let found = self.found.join(" ");
        let (passed, failed, seconds) = (self.passed, self.failed, self.seconds);
        format!("{found} {passed} {failed} {seconds} {}\n", self.commit)
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [release, tier, exit_hook, passed, failed, seconds, commit] = words[..] else {
            return None;
        };
        Some(Self {
            found: [release, tier, exit_hook].map(str::to_owned),
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
    let columns = |name: &str,
                   [kernel, tier, hook]: [&str; 3],
                   [passed, failed, seconds]: [&str; 3]| {
        format!("{name:14} {kernel:26} {tier:9} {hook:11} {passed:>7} {failed:>7} {seconds:>8}\n")
    };
    let what = ["kernel", "tier", "exit hook"];
    let mut text = columns("machine", what, ["passed", "failed", "seconds"]);
    for (Machine { name, .. }, run) in runs {
        text.push_str(&match run {
            Ok(Finding {
                found,
                passed,
                failed,
                seconds,
                ..
            }) => {
                let counts = [u64::from(*passed), u64::from(*failed), *seconds]
                    .map(|count| count.to_string());
                columns(
                    name,
                    found.each_ref().map(String::as_str),
                    counts.each_ref().map(String::as_str),
                )
            }
            Err(error) => format!("{name:14} {error:#}\n"),
        });
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
    let [release, tier, exit_hook] = found.found.each_ref().map(String::as_str);
    let exit_hook = match exit_hook {
        "release" => "`release_task`",
        "free" => "`sched_process_free`",
        "last_switch" => "`sched_switch`",
        "none" => "",
        other => bail!("{name}: unknown exit hook {other:?}"),
    };
    let scope = match machine.tests {
        [] => String::new(),
        tests => format!(" ({})", tests.join(", ").replace("::", "")),
    };
    let failed = match found.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    Ok(format!(
        "| {name} | {release} | {what} | {tier} | {exit_hook} | {}{failed}{scope} | {} |\n",
        found.passed, found.commit
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

    fn finding(exit_hook: &str, failed: u32) -> Finding {
        Finding {
            found: ["6.1.0-1", "procfs", exit_hook].map(str::to_owned),
            passed: 12,
            failed,
            seconds: 9,
            commit: "0123abc".to_owned(),
        }
    }

    #[test]
    fn finding_parses_back() {
        let finding = finding("none", 0);
        assert_eq!(Finding::parse(&finding.line()), Some(finding));
        assert_eq!(Finding::parse("6.1.0 procfs"), None);
    }

    #[test]
    fn row_shows_failures_and_refuses_an_unknown_exit_hook() {
        let row_of = |finding: Option<Finding>| row(&MACHINES[0], finding.as_ref());
        for exit_hook in ["release", "free", "last_switch", "none"] {
            let row = row_of(Some(finding(exit_hook, 0))).expect("its exit hook is known");
            assert!(row.starts_with("| 5.10 | 6.1.0-1 |"), "{row}");
        }
        let row = row_of(Some(finding("none", 1))).expect("its exit hook is known");
        assert!(row.contains("| 12, 1 failed |"), "{row}");
        let row = row_of(None).expect("it has no exit hook");
        assert!(row.contains("| not run whole |"), "{row}");
        assert!(row_of(Some(finding("x", 0))).is_err());
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
