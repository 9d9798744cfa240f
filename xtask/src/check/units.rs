//! Lets systemd check the unit files of `deploy/systemd`: nothing in them is misspelt or ignored, and the service has no more
//! access to the machine than it needs.
//!
//! In comes the unit, alone and with each of its drop-ins; out come the complaints of systemd, and exposures above the limit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use crate::command;

const SERVICE: &str = "headcount.service";
const SOCKET: &str = "headcount.socket";

/// A drop-in, and the highest exposure allowed with it: `systemd-analyze security`, in tenths.
const FORMS: &[(Option<&str>, u32)] = &[
    (None, 25),
    (Some("root.conf"), 26), // as user root
    (Some("old-kernel.conf"), 25),
    (Some("broker.conf"), 25),
];

/// Checks all forms; `folder` is for temporary files.
pub(super) fn check(root: &Path, folder: &Path) -> Result<Vec<String>> {
    let units = root.join("deploy/systemd");
    let mut findings = Vec::new();
    for (drop_in, limit) in FORMS {
        let form = drop_in.unwrap_or(SERVICE);
        let laid_out = lay_out(&units, *drop_in, &folder.join(form))?;
        findings.extend(complaints(&laid_out, *limit).map(|what| format!("{form}: {what}")));
    }
    Ok(findings)
}

/// Lays out the files as on an installed machine. The program is missing there, so that its absence would be a complaint;
/// `/bin/true` takes its place.
fn lay_out(units: &Path, drop_in: Option<&str>, folder: &Path) -> Result<PathBuf> {
    let read = |name: &str| fs::read_to_string(units.join(name));
    let drop_ins = folder.join(format!("{SERVICE}.d"));
    fs::create_dir_all(&drop_ins)?;
    let program = "ExecStart=/usr/bin/headcount";
    let service = read(SERVICE)?.replace(program, "ExecStart=/bin/true");
    fs::write(folder.join(SERVICE), service)?;
    fs::write(folder.join(SOCKET), read(SOCKET)?)?;
    if let Some(name) = drop_in {
        fs::write(drop_ins.join(name), read(name)?)?;
    }
    Ok(folder.to_owned())
}

fn complaints(folder: &Path, limit: u32) -> impl Iterator<Item = String> {
    let analyze = |arguments: &[&str]| {
        let mut analyze = Command::new("systemd-analyze");
        analyze.current_dir(folder).args(arguments);
        analyze
    };
    let service = format!("./{SERVICE}");
    let mut verify = analyze(&["verify", "--man=no", &service, &format!("./{SOCKET}")]);
    let threshold = format!("--threshold={limit}");
    let mut security = analyze(&["security", "--no-pager", "--offline=true"]);
    let exposed = command::read(security.args([&threshold, &service])).err();
    let exposed =
        exposed.map(|error| format!("{error:#}; without --threshold it lists what counts"));
    [complaint(&mut verify), exposed].into_iter().flatten()
}

/// The complaint of `verify`, which succeeds even with a line that reports something ignored.
fn complaint(verify: &mut Command) -> Option<String> {
    let output = match verify.output() {
        Ok(output) => output,
        Err(error) => return Some(format!("start {}: {error}", command::show(verify))),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    (!said.is_empty() || !output.status.success())
        .then(|| format!("{} from: {}\n{said}", output.status, command::show(verify)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_passed_on() {
        let folder = std::env::temp_dir().join(format!("headcount-units-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the units");
        let loose = "[Service]\nExecStart=/bin/true\nNoNewPrivilege=yes\n";
        fs::write(folder.join(SERVICE), loose).expect("a unit");
        fs::write(folder.join(SOCKET), "[Socket]\nListenStream=9256\n").expect("a socket");
        let found: Vec<String> = complaints(&folder, 25).collect();
        fs::remove_dir_all(&folder).expect("the folder goes");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("NoNewPrivilege"), "{found:?}");
    }
}
