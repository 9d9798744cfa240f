//! Finds the systemd unit and slice of a process in its cgroup paths.
//!
//! In come the paths as `/proc/<pid>/cgroup` shows them, out go names. If hierarchies show different names, the first that
//! shows any counts.

/// Suffixes of the systemd units that may hold processes. A slice holds other units.
const UNITS: [&str; 4] = [".service", ".scope", ".socket", ".mount"];

/// The unit of the system's manager, as `systemctl status <pid>` shows it: the first component below the slices. For a unit of
/// a user's own manager that is `user@<uid>.service`.
pub fn systemd_unit(paths: &[String]) -> Option<&str> {
    paths.iter().find_map(|path| systemd(path).1)
}

/// The innermost slice above the unit; without a unit, the innermost slice above the process.
pub fn systemd_slice(paths: &[String]) -> Option<&str> {
    let of_unit = paths.iter().map(|path| systemd(path));
    let of_unit = of_unit.filter(|(_, unit)| unit.is_some());
    of_unit
        .chain(paths.iter().map(|path| systemd(path)))
        .find_map(|(slice, _)| slice)
}

/// Slice and unit in one path.
fn systemd(path: &str) -> (Option<&str>, Option<&str>) {
    let mut slice = None;
    // A path seen from another cgroup namespace begins with `/..`.
    let components = path.split('/').filter(|part| !matches!(*part, "" | ".."));
    for component in components {
        // systemd puts an underscore before names that could be mistaken for the kernel's own files.
        let name = component.strip_prefix('_').unwrap_or(component);
        if name.ends_with(".slice") {
            slice = Some(name);
        } else {
            let is_unit = UNITS.iter().any(|suffix| name.ends_with(suffix));
            return (slice, is_unit.then_some(name));
        }
    }
    (slice, None)
}

#[cfg(test)]
mod tests {
    use super::{systemd_slice as slice, systemd_unit as unit};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn paths(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| line.replace("ID", ID)).collect()
    }

    #[test]
    fn units_and_slices() {
        let cases = [
            (
                "/system.slice/nginx.service",
                "system.slice",
                "nginx.service",
            ),
            (
                "/system.slice/docker.service/buildkit",
                "system.slice",
                "docker.service",
            ),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "system-getty.slice",
                "getty@tty1.service",
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
                "user-1000.slice",
                "user@1000.service",
            ),
            (
                "/user.slice/user-0.slice/session-3.scope",
                "user-0.slice",
                "session-3.scope",
            ),
            (
                "/../../system.slice/_cpu.service",
                "system.slice",
                "cpu.service",
            ),
            ("/init.scope", "-", "init.scope"),
            ("/user.slice", "user.slice", "-"),
            ("/docker/ID", "-", "-"),
            ("/lxc.payload.a/system.slice/x.service", "-", "-"),
            ("/", "-", "-"),
            ("", "-", "-"),
        ];
        for (path, expected_slice, expected_unit) in cases {
            let found = paths(&[path]);
            assert_eq!(slice(&found).unwrap_or("-"), expected_slice, "{path}");
            assert_eq!(unit(&found).unwrap_or("-"), expected_unit, "{path}");
        }
        let several = paths(&["/", "/system.slice", "/a.slice/x.service"]);
        assert_eq!(unit(&several), Some("x.service"));
        assert_eq!(slice(&several), Some("a.slice"), "the unit's own");
        assert_eq!(unit(&[]), None);
    }
}
